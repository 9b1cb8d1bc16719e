"""Theme, style and scripts of the page: system fonts, one accent colour, no external resources."""

from __future__ import annotations

import gradio as gr

from separation.resources import ASSETS
from separation.studio import i18n
from separation.studio.components.scripts import join_modules

__all__ = ["CSS", "HEAD", "theme"]

# Tokens of tokens.css, which holds the colour for action.
_ACTION = ("var(--action)", "var(--action)")
_ACTION_FILL = ("var(--action-fill)", "var(--action-fill)")  # 5.2:1 under white
_ACTION_DEEP = ("color-mix(in srgb, var(--action-fill) 84%, black)",) * 2
_LINK = ("color-mix(in srgb, var(--action) 84%, black)", "var(--action)")
_TEXT = ("#17191e", "#eceef2")

#: Property of Gradio's theme -> its value in light, in dark.
_COLOURS = {
    "body_background_fill": ("#f6f5f2", "#0e1014"),
    "body_text_color": _TEXT,
    "body_text_color_subdued": ("#545b68", "#a6aebd"),  # 6.3:1 and 8.4:1
    "background_fill_primary": ("#ffffff", "#171a20"),
    "background_fill_secondary": ("#f0eeea", "#1e222a"),
    "block_background_fill": ("#ffffff", "#171a20"),
    "block_border_color": ("#e2dfd8", "#2b303a"),
    "block_label_background_fill": ("#ffffff", "#171a20"),
    "block_label_text_color": ("#545b68", "#a6aebd"),
    "block_title_text_color": _TEXT,
    "block_info_text_color": ("#545b68", "#a6aebd"),
    "border_color_primary": ("#e2dfd8", "#2b303a"),
    "border_color_accent": _ACTION,
    "color_accent_soft": ("var(--action-soft)", "var(--action-soft)"),
    "input_background_fill": ("#faf9f7", "#12151a"),
    "input_border_color": ("#cfcac0", "#3a414d"),
    "input_border_color_focus": _ACTION,
    "checkbox_background_color": ("#ffffff", "#12151a"),
    "checkbox_border_color": ("#8c8f97", "#6d7686"),
    "checkbox_background_color_selected": _ACTION_FILL,
    "checkbox_border_color_selected": _ACTION,
    "checkbox_label_background_fill": ("#f0eeea", "#1e222a"),
    "button_primary_background_fill": _ACTION_FILL,
    "slider_color": _ACTION,
    "button_primary_background_fill_hover": _ACTION_DEEP,
    "button_primary_text_color": ("#ffffff", "#ffffff"),
    "button_secondary_background_fill": ("#ffffff", "#1e222a"),
    "button_secondary_background_fill_hover": ("#f0eeea", "#2b303a"),
    "button_secondary_border_color": ("#cfcac0", "#3a414d"),
    "button_secondary_text_color": _TEXT,
    "button_cancel_background_fill": ("#ffffff", "#1e222a"),
    "button_cancel_background_fill_hover": ("#fdeceb", "#3a1b1a"),
    "button_cancel_border_color": ("#b42318", "#fda29b"),
    "button_cancel_text_color": ("#b42318", "#fda29b"),
    "link_text_color": _LINK,
    "link_text_color_hover": _TEXT,
}


def theme() -> gr.themes.Base:
    """Return a theme with the system's fonts, so that the page works offline."""
    colours = {name: light for name, (light, _) in _COLOURS.items()}
    dark = {f"{name}_dark": dark for name, (_, dark) in _COLOURS.items()}
    return gr.themes.Base(
        primary_hue=gr.themes.colors.orange,
        secondary_hue=gr.themes.colors.slate,
        neutral_hue=gr.themes.colors.slate,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
        radius_size=gr.themes.sizes.radius_lg,
    ).set(
        block_label_text_size="0.8125rem",
        block_title_text_size="0.875rem",
        block_title_text_weight="600",
        block_border_width="1px",
        block_shadow="none",
        button_large_radius="12px",
        button_large_text_weight="650",
        **colours,
        **dark,
    )


_PLAYER = ASSETS / "player"


def _style(*names: str) -> str:
    return "".join((_PLAYER / name).read_text("utf-8") for name in names)


CSS = _style("tokens.css", "page.css", "drop.css", "controls.css")


def _head() -> str:
    """Return the player's scripts and style, inlined into the page."""
    style = _style("player.css", "dock.css", "charts.css", "touch.css")
    return f'<style>{style}</style>\n<script type="module">{join_modules(_PLAYER)}</script>\n'


HEAD = i18n.language_script() + _head()
