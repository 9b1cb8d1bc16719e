"""How the studio looks: system fonts, one accent, nothing fetched from elsewhere."""

from __future__ import annotations

import gradio as gr

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
        button_primary_background_fill_hover_dark="#ea580c",
        button_primary_text_color="#ffffff",
        block_label_text_size="0.85rem",
        body_text_color_subdued="#526077",  # 6.3:1 on white; the default is 2.6:1
        body_text_color_subdued_dark="#a3b0c4",
        block_info_text_color="#526077",
        block_info_text_color_dark="#a3b0c4",
    )


CSS = """
.gradio-container { max-width: 1280px !important; margin: 0 auto; }
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
.columns { display: grid !important; gap: 1.1rem; }
.columns, #known .sounds { grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); }
.result header { display: flex; flex-wrap: wrap; gap: 0.15rem 0.9rem; align-items: baseline; margin: 0.7rem 0 0.5rem; }
.result h3 { margin: 0; font-size: 1.2rem; }
.result header span { color: var(--body-text-color-subdued); font-size: 0.87rem; font-variant-numeric: tabular-nums; }
.result header em { font-style: normal; color: #c2410c; font-size: 0.87rem; flex-basis: 100%; }
.dark .result header em { color: #fb923c; }
.result a { color: #c2410c; font-size: 0.85rem; font-weight: 600; text-decoration: none; }
.dark .result a { color: #fb923c; }
.result a:hover { text-decoration: underline; }
.result .zip { margin-left: auto; }
.sounds { display: grid; gap: 0.8rem; grid-template-columns: minmax(0, 1fr); }
.sound { margin: 0; border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 0.6rem 0.7rem; }
.sound figcaption { display: flex; justify-content: space-between; font-weight: 600; margin-bottom: 0.35rem; }
.sound audio { width: 100%; height: 36px; color-scheme: light; }
.dark .sound audio { color-scheme: dark; }
.sound img { width: 100%; height: auto; aspect-ratio: 780 / 345; display: block; margin-top: 0.4rem; }
"""

# One sound at a time: starting one pauses the others.
HEAD = """
<script>
document.addEventListener("play", (event) => {
  for (const sound of document.querySelectorAll(".sound audio")) {
    if (sound !== event.target) sound.pause();
  }
}, true);
</script>
"""
