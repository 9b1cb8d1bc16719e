"""The Blind test page: a listening test in the manner of MUSHRA; see :mod:`separation.studio.listening.blind_test`."""

from __future__ import annotations

from typing import Any

import gradio as gr

from separation.studio import errors
from separation.studio.components import fragments
from separation.studio.i18n import translatable, translator_for
from separation.studio.listening.blind_test import begin_test, ratable_sources
from separation.studio.pages.job_control import token_of_address
from separation.studio.results import storage

__all__ = ["begin", "build", "offer"]


def build(token: gr.State, tab: gr.Tab) -> None:
    """Lay out the page in the current tab and connect its events."""
    gr.Markdown(translatable("blind_intro"), elem_classes="intro")
    sources = gr.CheckboxGroup(
        [], label=translatable("blind_stems"), elem_id="blind-sources", visible=False, elem_classes="pills"
    )
    button = gr.Button(translatable("begin"), variant="primary", elem_id="begin", visible=False)
    place = gr.HTML(fragments.skeleton(), elem_id="blind")
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(offer, token, [sources, button, place], queue=False, **private)
    button.click(begin, [token, sources], place, concurrency_limit=2, show_progress="minimal", api_visibility="private")


def offer(token: str | None, request: gr.Request) -> tuple[Any, ...]:
    """Return the stems that can be rated, and the ratings that the browser has kept."""
    words, folder = translator_for(request), storage.find_playable(token or token_of_address(request))
    names = ratable_sources(folder) if folder else []
    if not names:
        hint = fragments.hint(words("compare_first"))
        return gr.update(visible=False), gr.update(visible=False), hint + fragments.blind_session([])
    choices = [(words.named("stem", name, name), name) for name in names]
    chosen = gr.update(choices=choices, value=names[:1], visible=True)
    return chosen, gr.update(visible=True), fragments.blind_session([], folder)


def begin(token: str | None, sources: list[str], request: gr.Request) -> str:
    """Return a blind test of the chosen stems."""
    words, folder = translator_for(request), storage.find_result(token or token_of_address(request))
    if folder is None:
        return fragments.work(words("over"))
    if not sources:
        return fragments.work(words("failed_title"), problems=[words("blind_no_stem")])
    try:
        return fragments.blind_session([(source, begin_test(folder, source)) for source in sources], folder)
    except (ValueError, OSError) as error:
        return fragments.work(words("failed_title"), problems=[errors.visitor_message(error, words)])
