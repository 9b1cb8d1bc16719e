"""The Models page: weights, their origin and speed, and downloads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from separation.separators import METHODS
from separation.studio import components, songs
from separation.studio.i18n import translatable, translator_for
from separation.studio.limits import may_manage_models
from separation.studio.model_choice import choose_weights, default_weights, installed_weights
from separation.studio.pages.separate import SeparatePage
from separation.studio.queue import QUEUE
from separation.studio.zero_gpu import with_gpu

if TYPE_CHECKING:
    from separation.weights.model import Model

__all__ = ["build", "download_weights", "measure"]

MEASURED = 10.0  # seconds of the first sample track

_speeds: dict[str, float] = {}  # model -> seconds of computing per second of audio on this machine


def build(separate: SeparatePage, tab: gr.Tab) -> None:
    """Lay out the page in the current tab and connect its events."""
    from separation.weights import catalogue

    gr.Markdown(translatable("models_intro"), elem_classes="intro")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            gr.Markdown(translatable("default_of"), elem_classes="note")
            with gr.Row():
                defaults = {
                    name: gr.Dropdown(
                        installed_weights(name),
                        value=default_weights(name),
                        label=METHODS[name].title,
                        elem_id=f"default-{name}",
                        visible=bool(installed_weights(name)),
                    )
                    for name in separate.weights
                }
        with gr.Column(scale=2, min_width=300, visible=may_manage_models()):
            gr.Markdown(translatable("get"), elem_classes="note")
            with gr.Row(elem_classes="pair actions"):
                missing = [
                    model.name for model in catalogue.list_models() if not (model.bundled or model.own or model.package)
                ]
                name = gr.Dropdown(missing, show_label=False, container=False, elem_id="get-model", min_width=150)
                fetch = gr.Button(translatable("download"), elem_id="download-model", min_width=120)
            speed = gr.Button(translatable("measure"), elem_id="measure")
    status = gr.HTML(elem_id="models-status")
    place = gr.HTML(elem_id="models")
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(_show, None, place, **private)
    speed.click(measure, None, [status, place], concurrency_limit=None, **private)
    for method, dropdown in defaults.items():
        dropdown.input(
            lambda chosen, kept, method=method: ({**(kept or {}), method: chosen}, chosen),
            [dropdown, separate.defaults],
            [separate.defaults, separate.weights[method]],
            **private,
        )
    known = partial(_choices, list(defaults))
    everywhere = [*defaults.values(), *separate.weights.values()]
    fetched = fetch.click(download_weights, name, [status, place], concurrency_limit=None, **private)
    fetched.then(known, separate.defaults, everywhere, **private)
    blocks = gr.context.Context.root_block
    assert blocks is not None
    blocks.load(known, separate.defaults, everywhere, **private)


def _choices(methods: list[str], kept: dict[str, str] | None) -> list[dict[str, Any]]:
    """Return updates of both pages' weights dropdowns, with the visitor's last choice selected."""
    return 2 * [choose_weights(method, (kept or {}).get(method)) for method in methods]


def _show(request: gr.Request) -> str:
    from separation.weights import catalogue

    return components.model_cards(catalogue.list_models(), _speeds, translator_for(request))


def measure(request: gr.Request) -> Iterator[tuple[str, str]]:
    """Separate ten seconds with every installed model in turn and report the speed."""
    yield from _in_turn(_measure, request)


def _in_turn(work: Callable[[gr.Request], Iterator[tuple[str, str]]], request: gr.Request) -> Iterator[tuple[str, str]]:
    """Wait in the queue, then work; refuse if the host does not allow it, or the queue is full."""
    words = translator_for(request)
    try:
        if not may_manage_models():
            raise songs.StudioError(words("models_off"))
        with QUEUE.queue(str(request.session_hash)) as turn:
            for ahead in turn.wait():
                yield components.work(words("queue"), [words("ahead", ahead=ahead)]), _show(request)
            yield from work(request)
    except ValueError as error:
        yield components.work(words("failed_title"), problems=[str(error)]), _show(request)


def _measure(request: gr.Request) -> Iterator[tuple[str, str]]:
    from separation.weights import catalogue

    words = translator_for(request)
    song = songs.open_song("sample", next(iter(songs.samples())), duration=MEASURED)
    here = [model for model in catalogue.list_models() if model.installed]
    for number, model in enumerate(here):
        yield components.work(model.name, share=number / len(here)), _show(request)
        try:
            _speeds[model.name] = _speed(model, song)
        except ValueError as error:
            yield components.work(model.name, problems=[str(error)]), _show(request)
    yield components.work(words("done")), _show(request)


@with_gpu(lambda model, song: 30.0)
def _speed(model: Model, song: songs.Song) -> float:
    """Return seconds of computing per second of audio; raise ValueError if the model cannot be loaded."""
    from separation.pipeline.run import run
    from separation.separators import create

    separator = create(model.method, model=model.name)
    began = time.perf_counter()
    for _ in run(separator, song.audio):
        pass
    return (time.perf_counter() - began) / song.audio.duration


def download_weights(name: str | None, request: gr.Request) -> Iterator[tuple[str, str]]:
    """Download a released model with progress; an interrupted download resumes next time."""
    from separation.weights import catalogue

    model = next((model for model in catalogue.list_models() if model.name == name), None)
    if model is None:
        yield "", _show(request)
    else:
        yield from _in_turn(partial(_download, model), request)


def _download(model: Model, request: gr.Request) -> Iterator[tuple[str, str]]:
    from separation.weights import download

    words = translator_for(request)
    news: queue.Queue[tuple[str, int, int | None] | None] = queue.Queue()
    failed: list[str] = []

    def fetch() -> None:
        try:
            download.download_model(model, lambda file, have, total: news.put((file, have, total)))
        except ValueError as error:
            failed.append(str(error))
        finally:
            news.put(None)

    threading.Thread(target=fetch, name="download", daemon=True).start()
    yield components.work(model.name, [model.licence], share=0.0), _show(request)
    last = 0.0
    while (step := news.get()) is not None:
        file, have, total = step
        if time.monotonic() - last > 0.3:
            last = time.monotonic()
            of = f"{have / 1e6:.1f} MB" + (f" / {total / 1e6:.1f} MB" if total else "")
            yield components.work(model.name, [file, of], share=have / total if total else None), gr.skip()
    yield components.work(words("failed_title" if failed else "done"), problems=failed), _show(request)
