"""The Blind test page: a listening test in the manner of MUSHRA; see :mod:`separation.studio.blind_test`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from separation.studio import components, errors, storage
from separation.studio.blind_test import begin_test, ratable_sources
from separation.studio.i18n import Translator, translatable, translator_for

__all__ = ["build"]


def build(token: gr.State, tab: gr.Tab) -> None:
    """Lay out the page in the current tab and connect its events."""
    gr.Markdown(translatable("blind_intro"), elem_classes="intro")
    with gr.Row(elem_classes="pair actions narrow"):
        source = gr.Dropdown(
            [], label=translatable("source"), elem_id="blind-source", visible=False, container=False, min_width=120
        )
        button = gr.Button(translatable("begin"), variant="primary", elem_id="begin", visible=False, min_width=120)
    place = gr.HTML(components.hint(Translator("en")("compare_first")), elem_id="blind")
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(_offer, token, [source, button, place], **private)
    button.click(_begin, [token, source], place, concurrency_limit=2, show_progress="minimal", api_visibility="private")


def _offer(token: str | None, request: gr.Request) -> tuple[Any, ...]:
    words, folder = translator_for(request), storage.find_result(token)
    names = ratable_sources(folder) if folder else []
    if not names:
        return gr.update(visible=False), gr.update(visible=False), components.hint(words("compare_first"))
    choices = [(words.named("stem", name, name), name) for name in names]
    return gr.update(choices=choices, value=names[0], visible=True), gr.update(visible=True), ""


def _begin(token: str | None, source: str | None, request: gr.Request) -> str:
    words, folder = translator_for(request), storage.find_result(token)
    if folder is None:
        return components.work(words("over"))
    try:
        return components.player(begin_test(folder, source or ""), view="blind")
    except (ValueError, OSError) as error:
        return components.work(words("failed_title"), problems=[errors.visitor_message(error)])
