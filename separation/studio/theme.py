"""Theme, style and scripts of the page: system fonts, one accent colour, no external resources."""

from __future__ import annotations

import gradio as gr

from separation.resources import ASSETS
from separation.studio import i18n

__all__ = ["CSS", "HEAD", "theme"]


def theme() -> gr.themes.Base:
    """Return a theme with the system's fonts, so that the page works offline."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.orange,
        secondary_hue=gr.themes.colors.slate,
        neutral_hue=gr.themes.colors.slate,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
        radius_size=gr.themes.sizes.radius_md,
    ).set(
        button_primary_background_fill="#c2410c",
        button_primary_background_fill_hover="#9a3412",
        button_primary_background_fill_dark="#c2410c",
        button_primary_background_fill_hover_dark="#9a3412",
        button_primary_text_color="#ffffff",
        block_label_text_size="0.85rem",
        body_text_color_subdued="#526077",  # 6.3:1 on white; the default is 2.6:1
        body_text_color_subdued_dark="#a3b0c4",
        block_info_text_color="#526077",
        block_info_text_color_dark="#a3b0c4",
    )


CSS = """
.gradio-container { max-width: 1280px !important; width: 100% !important; margin: 0 auto; }
.gradio-container main, .gradio-container .tabs { width: 100%; }
button:focus-visible, input:focus-visible, a:focus-visible { outline: 3px solid #ea580c; outline-offset: 2px; }
.html-container { padding: 0 !important; }
.masthead { display: flex; gap: 0.8rem; align-items: center; padding-bottom: 0.5rem; }
.masthead svg { width: 3.2rem; height: 3.2rem; flex: none; }
.masthead h1 { font-size: 1.75rem; line-height: 1.15; letter-spacing: -0.02em; margin: 0; }
.masthead p { margin: 0.15rem 0 0; color: var(--body-text-color-subdued); font-size: 1rem; line-height: 1.35; }
.intro, .note { max-width: 50rem; }
:is(.intro, .note) p { color: var(--body-text-color-subdued); }
.note p { font-size: 0.87rem; line-height: 1.45; }
.hint {
  border: 1px dashed var(--border-color-primary); border-radius: 10px; padding: 1.6rem 1rem; text-align: center;
  color: var(--body-text-color-subdued);
}
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); gap: 0.6rem; }
.cards.wide { grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); gap: 0.8rem; }
.models { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 0.8rem; }
.card { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 0.8rem 0.95rem; }
.card h3 { margin: 0 0 0.25rem; font-size: 1rem; }
.card h3 { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0.1rem 0.6rem; }
.card p { margin: 0; font-size: 0.9rem; line-height: 1.5; color: var(--body-text-color); }
.card small { display: block; margin-top: 0.4rem; color: var(--body-text-color-subdued); }
.card h3 span {
  font-weight: 600; font-size: 0.75rem; border-radius: 99px; padding: 0.1rem 0.6rem; white-space: nowrap;
  align-self: center; background: #e2e8f0; color: #475569;
}
.card h3 span:is(.bundled, .installed) { background: #d9f2e6; color: #10593f; }
.dark .card h3 span { background: #334155; color: #dbe2ec; }
.dark .card h3 span:is(.bundled, .installed) { background: #134534; color: #b4ecd2; }
.card svg { width: 100%; height: auto; margin: 0.6rem 0 0.5rem; }
.card dl { display: grid; grid-template-columns: auto 1fr; gap: 0.15rem 0.8rem; margin: 0; font-size: 0.87rem; }
.card dt { color: var(--body-text-color-subdued); }
.card dd { margin: 0; overflow-wrap: anywhere; }
.about h2 { font-size: 1.2rem; margin: 0.5rem 0 0.9rem; }
.about > h3 { font-size: 1rem; margin: 1.4rem 0 0.3rem; }
.about ul { margin: 0; padding-left: 1.1rem; list-style: disc; font-size: 0.9rem; line-height: 1.6; }
.work { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 0.75rem 0.9rem; }
.work .line { display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; align-items: baseline; font-size: 0.95rem; }
.work .line strong { font-size: 1rem; }
.work .line span { color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.work p { margin: 0.35rem 0 0; font-size: 0.92rem; color: #b42318; }
.dark .work p { color: #fda29b; }
.work .track { height: 6px; border-radius: 3px; background: var(--border-color-primary); margin-top: 0.55rem; }
.work .track i { display: block; height: 100%; border-radius: 3px; background: #ea580c; transition: width 0.2s; }
.figure h3 { margin: 1.4rem 0 0.5rem; font-size: 1.05rem; }
.figure img { width: 100%; height: auto; display: block; margin: 0; filter: brightness(0.8); }
.dark .figure img { filter: brightness(1.25); }
.figure p { color: var(--body-text-color-subdued); font-size: 0.85rem; margin: 0.6rem 0 0; }
.figure summary { cursor: pointer; padding: 0.5rem 0; font-weight: 600; font-size: 0.95rem; }
.small-figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr)); gap: 1rem; }
.small-figures figure { margin: 0; }
.small-figures figcaption { font-weight: 600; font-size: 0.92rem; margin-bottom: 0.3rem; }
.tables { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); gap: 1rem 2rem; }
.tables table { border-collapse: collapse; font-size: 0.87rem; font-variant-numeric: tabular-nums; width: 100%; }
.tables :is(table, thead, tbody, tr) { border: 0 !important; }
.tables :is(th, td) {
  padding: 0.3rem 0.5rem; text-align: right; white-space: nowrap;
  border: 0; border-bottom: 1px solid var(--border-color-primary);
}
.tables tbody th { font-weight: 400; }
.tables :is(th, td):first-child { text-align: left; padding-left: 0; }
.scroll { overflow-x: auto; }
.pair { flex-wrap: nowrap; }
.actions { align-items: stretch; }
.narrow { max-width: 34rem; }
@media (max-width: 640px) {
  .gradio-container main { padding-left: 0.9rem !important; padding-right: 0.9rem !important; }
  .masthead svg { width: 2.6rem; height: 2.6rem; }
  .masthead p { font-size: 0.9rem; }
  .figure .scroll img { width: 62rem; max-width: none; }
  .tab-container button { padding-left: 0.7rem; padding-right: 0.7rem; }
}
"""

_PLAYER = ASSETS / "player"

#: The player's scripts in the order in which they are joined to one module.
_SCRIPTS = (
    "i18n",
    "dom",
    "stems",
    "wav",
    "pieces",
    "engine",
    "drawing",
    "timeline",
    "transport",
    "downloads",
    "stems_view",
    "score_chart",
    "comparison_view",
    "blind_test_view",
    "keyboard",
    "player",
)


#: Gradio hides the link to the API on phones but not the dot after it, and applies `css` to its pages only.
_FOOTER = "@media (max-width: 640px) { footer .divider { display: none !important; } }"


def _head() -> str:
    """Return the player's scripts and style, inlined into the page."""
    script = "\n".join((_PLAYER / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)
    style = (_PLAYER / "player.css").read_text("utf-8")
    return f'<style>{style}{_FOOTER}</style>\n<script type="module">{script}</script>\n'


HEAD = i18n.language_script() + _head()
