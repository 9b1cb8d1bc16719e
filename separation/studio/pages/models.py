"""The Models page: weights, their origin and speed, and downloads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from separation.separators import METHODS
from separation.studio.components import fragments
from separation.studio.components.method_cards import method_cards
from separation.studio.components.model_cards import model_cards, model_list
from separation.studio.errors import visitor_message
from separation.studio.i18n import Translator, translatable, translator_for
from separation.studio.inputs import songs
from separation.studio.jobs.queue import QUEUE
from separation.studio.jobs.speeds import note_speed
from separation.studio.jobs.zero_gpu import with_gpu
from separation.studio.limits import may_manage_models
from separation.studio.pages.fetching import fetch_in_turn
from separation.studio.pages.model_choice import choose_weights, weights_dropdown
from separation.studio.pages.separate import SeparatePage
from separation.studio.visitor import visitor_name

__all__ = ["build", "download_weights", "measure"]

if TYPE_CHECKING:
    from separation.weights.model import Model

MEASURED = 10.0  # seconds of the first sample track


def build(separate: SeparatePage, tab: gr.Tab) -> None:
    """Lay out the page in the current tab and connect its events."""
    gr.Markdown(translatable("models_intro"), elem_classes="intro")
    speed = gr.Button(translatable("measure"), elem_id="measure", visible=may_manage_models(), scale=0)
    status = gr.HTML(elem_id="models-status")
    place = model_list()
    with gr.Accordion(translatable("default_of"), open=False, elem_id="defaults"), gr.Row():
        defaults = {name: weights_dropdown(name, f"default-{name}") for name in separate.weights}
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(_show, None, place, **private)
    measured = speed.click(measure, separate.job.visitor, [status, place], concurrency_limit=None, **private)
    for method, dropdown in defaults.items():
        dropdown.input(
            lambda chosen, kept, method=method: ({**(kept or {}), method: chosen}, chosen),
            [dropdown, separate.defaults],
            [separate.defaults, separate.weights[method]],
            **private,
        )
    known = partial(_choices, list(defaults))
    everywhere = [*defaults.values(), *separate.weights.values()]
    fetched = place.fetch_model(download_weights, separate.job.visitor, place, concurrency_limit=None, **private)
    fetched.then(known, separate.defaults, everywhere, **private)
    for event in (measured, fetched):
        event.then(_method_cards, None, separate.methods, **private)
    blocks = gr.context.Context.root_block
    assert blocks is not None
    blocks.load(known, separate.defaults, everywhere, **private)


def _choices(methods: list[str], kept: dict[str, str] | None) -> list[dict[str, Any]]:
    """Return updates of both pages' weights dropdowns, with the visitor's last choice selected."""
    return 2 * [choose_weights(method, (kept or {}).get(method)) for method in methods]


def _method_cards(request: gr.Request) -> dict[str, Any]:
    return gr.update(cards=method_cards(translator_for(request)))


def _show(request: gr.Request) -> str:
    return _cards(translator_for(request))


def _cards(words: Translator, fetching: dict[str, str] | None = None) -> str:
    from separation.weights import catalogue

    return model_cards(catalogue.list_models(), words, fetching)


def measure(request: gr.Request, visitor: Any) -> Iterator[tuple[str, str]]:
    """Wait in the queue, then separate ten seconds with every method that can work, and report the speeds."""
    words = translator_for(request)
    try:
        if not may_manage_models():
            raise songs.StudioError(words("models_off"))
        with QUEUE.queue(visitor_name(visitor, request)) as turn:
            for ahead in turn.wait():
                yield fragments.work(words("queue"), [words("ahead", ahead=ahead)]), _cards(words)
            yield from _measure(words)
    except ValueError as error:
        yield fragments.work(words("failed_title"), problems=[visitor_message(error, words)]), _cards(words)


def _measure(words: Translator) -> Iterator[tuple[str, str]]:
    from separation.studio.inputs.checks import has_weights
    from separation.weights import catalogue

    song = songs.open_song("sample", next(iter(songs.samples())), duration=MEASURED)
    todo: list[tuple[str, str | None]] = [
        (name, None)
        for name, method in METHODS.items()
        if not (method.has_model or method.needs_references) and has_weights(name)
    ]
    todo += [(model.method, model.name) for model in catalogue.list_models() if model.installed]
    problems: list[str] = []
    for number, (method, model) in enumerate(todo):
        title = model or words.named("method", method, METHODS[method].title)
        yield fragments.work(title, share=number / len(todo), problems=problems), _cards(words)
        try:
            note_speed(method, model, _speed(method, model, song))
        except ValueError as error:
            problems.append(f"{title}: {visitor_message(error, words)}")
    yield (
        fragments.work(words("done"), [words("measured", count=len(todo) - len(problems))], problems=problems),
        _cards(words),
    )


@with_gpu(lambda method, model, song: 30.0)
def _speed(method: str, model: str | None, song: songs.Song) -> float:
    """Return seconds of computing per second of audio; raise ValueError if the model cannot be loaded."""
    from separation.pipeline.run import run
    from separation.separators import create

    separator = create(method, model=model)
    began = time.perf_counter()
    for _ in run(separator, song.audio):
        pass
    return (time.perf_counter() - began) / song.audio.duration


def download_weights(request: gr.Request, visitor: Any, event: gr.EventData) -> Iterator[str]:
    """Queue the download of a released model, with progress in its card; an interrupted download resumes next time."""
    from separation.weights import catalogue, download

    words = translator_for(request)
    wanted = event._data.get("model") if isinstance(event._data, dict) else None
    model: Model | None = next((model for model in catalogue.list_models() if model.name == wanted), None)
    if model is None:
        yield _cards(words)
        return
    retry = f'class="get" data-model="{escape(model.name)}"'
    fetch, who = partial(download.download_model, model), visitor_name(visitor, request)
    for news in fetch_in_turn(fetch, who, words, retry=retry):
        yield _cards(words, {model.name: news})
