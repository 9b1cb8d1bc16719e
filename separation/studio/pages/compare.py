"""The Compare page: methods side by side on one song."""

from __future__ import annotations

from typing import Any

import gradio as gr

from separation.studio import components, storage
from separation.studio.i18n import Translator, translator_for

__all__ = ["build", "show"]


def build(token: gr.State, tab: gr.Tab) -> None:
    """Lay out the page in the current tab and connect its events; it shows the Separate page's result."""
    place = gr.HTML(components.hint(Translator("en")("compare_first")), elem_id="compare")
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(show, token, place, **private)


def show(token: str | None, request: gr.Request) -> str:
    """Return the comparison of the result on the Separate page."""
    folder = storage.find_result(token)
    if folder is None:
        return components.hint(translator_for(request)("compare_first"))
    return components.player(folder, view="compare")
