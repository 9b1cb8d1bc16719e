"""The first page: choose a song and methods, watch, listen, look, download."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr
from gradio.components import Component

from separation.separators import METHODS
from separation.studio import cards, jobs

__all__ = ["build", "leave"]

log = logging.getLogger(__name__)

UPLOAD, SAMPLE, MUSDB = "Upload or record", "Sample", "MUSDB18 track"
KINDS = {UPLOAD: "upload", SAMPLE: "sample", MUSDB: "musdb"}


def build() -> None:
    """Lay the page out inside the current Blocks, and wire it."""
    gr.HTML(cards.masthead())
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            kind, upload, sample, track = _song_choice()
        with gr.Column(scale=5, min_width=320):
            methods, start, duration = _method_choice()
            with gr.Row():
                run = gr.Button("Separate", variant="primary", elem_id="separate", scale=3)
                stop = gr.Button("Stop", variant="stop", elem_id="stop", interactive=False, scale=1)
    with gr.Accordion("What the methods are", open=False):
        gr.HTML(cards.method_cards(METHODS.values()))
    status = gr.HTML(cards.work("Choose a song and press Separate"), elem_id="status")
    known = gr.HTML(visible=False, elem_classes="results", elem_id="known")
    with gr.Row(elem_classes="columns"):
        # A place for each method: what is new is filled in, and what plays goes on playing.
        places = {name: gr.HTML(visible=False, elem_classes="results") for name in METHODS}
    choice = [kind, upload, sample, track, methods, start, duration]
    _wire(choice, run, stop, status, known, places)


def _song_choice() -> tuple[gr.Radio, gr.Audio, gr.Dropdown, gr.Dropdown]:
    tracks = list(jobs.musdb_tracks())
    titles = list(jobs.samples())
    kinds = [UPLOAD, SAMPLE, *([MUSDB] if tracks else [])]
    kind = gr.Radio(kinds, value=UPLOAD, label="Song", elem_id="kind")
    upload = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",  # the file itself: Gradio's own decoding would open playlists
        label="Your song",
        elem_id="upload",
        buttons=[],
    )
    sample = gr.Dropdown(titles, value=titles[0] if titles else None, label="Sample", visible=False, elem_id="sample")
    track = gr.Dropdown(tracks, label="MUSDB18 track", visible=False, elem_id="musdb", filterable=True)
    kind.change(
        lambda chosen: [gr.update(visible=chosen == name) for name in (UPLOAD, SAMPLE, MUSDB)],
        kind,
        [upload, sample, track],
        show_progress="hidden",
        api_visibility="private",
    )
    return kind, upload, sample, track


def _method_choice() -> tuple[gr.CheckboxGroup, gr.Number, gr.Number]:
    choices = [(method.title, method.name) for method in METHODS.values()]
    methods = gr.CheckboxGroup(
        choices,
        value=["open-unmix"],
        label="Methods, side by side",
        info="Oracles know the true sources: for the samples and MUSDB18 tracks only.",
        elem_id="methods",
    )
    with gr.Row():
        start = gr.Number(0, label="Start (s)", elem_id="start")
        duration = gr.Number(0, label="Length (s); 0: to the end", elem_id="duration")
    return methods, start, duration


def _wire(
    choice: list[Component],
    run: gr.Button,
    stop: gr.Button,
    status: gr.HTML,
    known: gr.HTML,
    places: dict[str, gr.HTML],
) -> None:
    run.click(
        separate,
        choice,
        [status, run, stop, known, *places.values()],
        concurrency_limit=1,
        concurrency_id="processor",
        show_progress="minimal",
        show_progress_on=status,
        api_visibility="private",
    )
    stop.click(ask_to_stop, None, stop, queue=False, show_progress="hidden", api_visibility="private")


# Gradio's own way to cancel races with the running generator, and the page then shows an error;
# a flag that is looked at after every segment always ends in a finished page.
_stop_asked: dict[str, threading.Event] = {}


def ask_to_stop(request: gr.Request) -> dict[str, Any]:
    """What Stop does: the separation ends after the segment it is working on."""
    leave(request)
    return gr.update(interactive=False)


def leave(request: gr.Request) -> None:
    """What closing the page does."""
    flag = _stop_asked.get(str(request.session_hash))
    if flag is not None:
        flag.set()


def _buttons(*, working: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    return gr.update(interactive=not working), gr.update(interactive=working)


def separate(
    kind: str,
    upload: str | None,
    sample: str | None,
    track: str | None,
    methods: list[str],
    start: float | None,
    duration: float | None,
    request: gr.Request,
) -> Iterator[tuple[Any, ...]]:
    """What the button does: yields the status, the two buttons, the known sounds and every method's place."""
    choice = {UPLOAD: upload, SAMPLE: sample, MUSDB: track}.get(kind)
    idle, busy = _buttons(working=False), _buttons(working=True)
    unchanged = [gr.skip()] * (1 + len(METHODS))
    session = str(request.session_hash)
    stop = _stop_asked[session] = threading.Event()
    yield (cards.work("Reading the song", share=0.0), *busy, *[gr.update(value="", visible=False) for _ in unchanged])
    try:
        song = jobs.open_song(KINDS.get(kind, ""), choice, start=start or 0.0, duration=duration or None)
        shown: set[str] = set()
        with closing(jobs.separate_song(song, methods)) as updates:
            for update in updates:
                places = _new_on_page(update, shown)
                yield (cards.work(update.title, update.details, share=update.share), *busy, *places)
                if stop.is_set():
                    break
        if stop.is_set():
            kept = f"{len(update.results)} of {len(methods)} methods finished"
            yield (cards.work("Stopped", [kept]), *idle, *unchanged)
        else:
            yield (cards.work(update.title, update.details, problems=update.failed), *idle, *unchanged)
    except ValueError as error:
        yield (cards.work("That did not work", problems=[str(error)]), *idle, *unchanged)
    except Exception:  # the visitor is told so; the log has the rest
        log.exception("separation failed")
        yield (cards.work("Something went wrong on our side", ["It has been noted."]), *idle, *unchanged)
    finally:
        _stop_asked.pop(session, None)


def _new_on_page(update: jobs.Update, shown: set[str]) -> list[Any]:
    """Values for the known sounds and every method's place: only what is not on the page yet."""
    finished = {result.method.name: result for result in update.results}
    values: list[Any] = []
    for name in ("", *METHODS):
        html = ""
        if name not in shown:
            if not name and update.known:
                html = cards.known_sounds(update.known)
            elif name in finished:
                html = cards.method_result(finished[name])
        if html:
            shown.add(name)
        values.append(gr.update(value=html, visible=True) if html else gr.skip())
    return values
