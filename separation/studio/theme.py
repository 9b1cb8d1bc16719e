"""How the studio looks: system fonts, one accent, nothing fetched from elsewhere."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from separation.studio import words

__all__ = ["CSS", "HEAD", "theme"]


def theme() -> gr.themes.Base:
    """A quiet theme whose fonts are those of the visitor's system: the page works with no network."""
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
.masthead h1 { font-size: 1.9rem; letter-spacing: -0.02em; margin: 0.2rem 0 0; }
.masthead p { margin: 0.15rem 0 0.6rem; color: var(--body-text-color-subdued); font-size: 1.02rem; }
.method-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: 0.6rem; }
.method-card { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 0.7rem 0.85rem; }
.method-card h4 { margin: 0 0 0.25rem; font-size: 0.98rem; }
.method-card p { margin: 0; font-size: 0.88rem; line-height: 1.45; color: var(--body-text-color); }
.method-card small { display: block; margin-top: 0.4rem; color: var(--body-text-color-subdued); }
.work { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 0.75rem 0.9rem; }
.work .line { display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; align-items: baseline; font-size: 0.95rem; }
.work .line strong { font-size: 1rem; }
.work .line span { color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.work p { margin: 0.35rem 0 0; font-size: 0.92rem; color: #b42318; }
.dark .work p { color: #fda29b; }
.work .track { height: 6px; border-radius: 3px; background: var(--border-color-primary); margin-top: 0.55rem; }
.work .track i { display: block; height: 100%; border-radius: 3px; background: #ea580c; transition: width 0.2s; }
.page p.intro { margin: 0.4rem 0 0.8rem; max-width: 46rem; color: var(--body-text-color-subdued); }
.figure img { width: 100%; max-width: 1180px; height: auto; display: block; margin: 0.5rem auto; }
.small-figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1rem; }
.small-figures .figure img { max-width: 26rem; margin: 0; }
.figure h4 { margin: 1.2rem 0 0.2rem; font-size: 1rem; }
.figure p { color: var(--body-text-color-subdued); font-size: 0.87rem; }
.figure table, .models table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
.figure :is(th, td) { padding: 0.25rem 0.7rem; text-align: right; }
.figure :is(th, td) { border-bottom: 1px solid var(--border-color-primary); }
.figure :is(th, td):first-child { text-align: left; }
.scroll { overflow-x: auto; }
.models { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 0.8rem; }
.models article { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 0.8rem 0.95rem; }
.models h4 { margin: 0; display: flex; justify-content: space-between; gap: 0.6rem; font-size: 1rem; }
.models h4 span { font-weight: 600; font-size: 0.78rem; color: #c2410c; }
.dark .models h4 span { color: #fb923c; }
.models svg { width: 100%; height: auto; margin: 0.5rem 0; }
.models dl { display: grid; grid-template-columns: auto 1fr; gap: 0.15rem 0.8rem; }
.models dl { margin: 0.4rem 0 0; font-size: 0.87rem; }
.models dt { color: var(--body-text-color-subdued); }
.models dd { margin: 0; overflow-wrap: anywhere; }
.models p { font-size: 0.9rem; margin: 0.3rem 0; }
"""

_PLAYER = Path(__file__).resolve().parents[2] / "assets" / "player"


def _head() -> str:
    """The player's script and style: ours, in the page itself, with no build step and nothing to fetch."""
    script = "\n".join((_PLAYER / f"{name}.js").read_text("utf-8") for name in ("engine", "drawing", "player"))
    style = (_PLAYER / "player.css").read_text("utf-8")
    return f'<style>{style}</style>\n<script type="module">{script}</script>\n'


HEAD = words.script() + _head()
