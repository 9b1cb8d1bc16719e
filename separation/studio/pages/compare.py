"""The Compare page: methods side by side on one song."""

from __future__ import annotations

from typing import Any

import gradio as gr

from separation.studio.components import fragments
from separation.studio.i18n import translator_for
from separation.studio.jobs import runner
from separation.studio.pages.job_control import token_of_address
from separation.studio.results import storage

__all__ = ["build", "show"]


def build(token: gr.State, tab: gr.Tab) -> None:
    """Lay out the page in the current tab and connect its events; it shows the Separate page's result."""
    place = gr.HTML(fragments.skeleton(), elem_id="compare")
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(show, token, place, queue=False, **private)


def show(token: str | None, request: gr.Request) -> str:
    """Return the comparison of the result on the Separate page."""
    folder = storage.find_playable(token or token_of_address(request))
    if folder is None:
        return fragments.hint(translator_for(request)("compare_first"))
    state = runner.find(folder.name)
    return fragments.player(folder, view="compare", run=state.run if state else 1)
