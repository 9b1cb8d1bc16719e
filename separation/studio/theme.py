"""Theme, style and scripts of the page: system fonts, one accent colour, no external resources."""

from __future__ import annotations

import gradio as gr

from separation.resources import ASSETS
from separation.studio import i18n
from separation.studio.scripts import join_modules

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


_PLAYER = ASSETS / "player"

CSS = (_PLAYER / "page.css").read_text("utf-8")

#: Gradio hides the link to the API on phones but not the dot after it, and applies `css` to its pages only.
_FOOTER = "@media (max-width: 640px) { footer .divider { display: none !important; } }"


def _head() -> str:
    """Return the player's scripts and style, inlined into the page."""
    style = "".join((_PLAYER / name).read_text("utf-8") for name in ("player.css", "dock.css"))
    return f'<style>{style}{_FOOTER}</style>\n<script type="module">{join_modules(_PLAYER)}</script>\n'


HEAD = i18n.language_script() + _head()
