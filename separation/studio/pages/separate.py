"""The Separate page: choose a song and methods, listen, and download."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from separation.separators import DEFAULT_METHOD, METHODS
from separation.studio import components, errors, session, songs, storage
from separation.studio.checks import usable_part
from separation.studio.form import Form
from separation.studio.i18n import Translator, translatable, translator_for
from separation.studio.model_choice import default_weights, installed_weights
from separation.studio.queue import QUEUE, Ticket
from separation.studio.request import SeparationRequest

__all__ = ["SeparatePage", "ask_to_stop", "build", "leave", "restore", "separate"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SeparatePage:
    """Components of this page that other pages use."""

    token: gr.State
    place: gr.HTML
    status: gr.HTML
    defaults: gr.BrowserState
    weights: dict[str, gr.Dropdown]
    described: gr.HTML


def build() -> SeparatePage:
    """Lay out the page in the current Blocks and connect its events."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            song = _song_choice()
            with gr.Accordion(translatable("own"), open=False, elem_id="own"):
                own = _own_sounds()
        with gr.Column(scale=5, min_width=300):
            methods = _method_choice()
            with gr.Accordion(translatable("what_methods"), open=False):
                described = gr.HTML(components.method_cards(Translator("en")))
            with gr.Row(elem_classes="pair"):
                start = gr.Number(0, label=translatable("start"), elem_id="start", minimum=0, min_width=100)
                duration = gr.Number(0, label=translatable("duration"), elem_id="duration", minimum=0, min_width=100)
            with gr.Accordion(translatable("advanced"), open=False, elem_id="advanced"):
                advanced, weights = _advanced()
            with gr.Row(elem_classes="pair"):
                run = gr.Button(translatable("separate"), variant="primary", elem_id="separate", scale=3, min_width=100)
                stop = gr.Button(
                    translatable("stop"), variant="stop", elem_id="stop", interactive=False, scale=1, min_width=80
                )
    status = gr.HTML(components.hint(Translator("en")("ready")), elem_id="status")
    place = gr.HTML(visible=False, elem_id="result")
    token = gr.State(None)
    defaults = gr.BrowserState({}, storage_key="stemscope-defaults", secret="stemscope")
    choice = [*song, methods, start, duration, *own, *advanced, *weights.values()]
    run.click(
        separate,
        choice,
        [status, run, stop, place, token],
        concurrency_limit=None,  # unlimited here: QUEUE decides whose turn it is
        show_progress="hidden",
        api_visibility="private",
    )
    stop.click(ask_to_stop, None, stop, queue=False, show_progress="hidden", api_visibility="private")
    return SeparatePage(
        token=token, place=place, status=status, defaults=defaults, weights=weights, described=described
    )


def _song_choice() -> list[Any]:
    tracks = list(songs.musdb_tracks())
    titles = list(songs.samples())
    kinds = ["upload", "sample", *(["musdb"] if tracks else [])]
    kind = gr.Radio(
        [(translatable(f"kind_{name}"), name) for name in kinds],
        value="upload",
        label=translatable("song"),
        elem_id="kind",
    )
    upload = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",  # a file, not gr.Audio's decoding, which would open playlists
        label=translatable("your_song"),
        elem_id="upload",
        buttons=[],
    )
    sample = gr.Dropdown(
        titles, value=titles[0] if titles else None, label=translatable("sample"), visible=False, elem_id="sample"
    )
    track = gr.Dropdown(tracks, label=translatable("musdb"), visible=False, elem_id="musdb", filterable=True)
    kind.change(
        lambda chosen: [gr.update(visible=chosen == name) for name in ("upload", "sample", "musdb")],
        kind,
        [upload, sample, track],
        show_progress="hidden",
        api_visibility="private",
    )
    return [kind, upload, sample, track]


def _method_choice() -> gr.CheckboxGroup:
    return gr.CheckboxGroup(
        [(translatable(f"method_{name}"), name) for name in METHODS],
        value=[DEFAULT_METHOD],
        label=translatable("methods_label"),
        info=translatable("methods_info"),
        elem_id="methods",
    )


def _own_sounds() -> list[Any]:
    gr.Markdown(translatable("references_info"), elem_classes="note")
    references, estimates = (
        gr.File(label=translatable(name), file_count="multiple", type="filepath", elem_id=name, height=150)
        for name in ("references", "estimates")
    )
    name = gr.Textbox("Your separator", label=translatable("estimates_name"), elem_id="yours", max_length=40)
    return [references, estimates, name]


def _advanced() -> tuple[list[Any], dict[str, gr.Dropdown]]:
    karaoke = gr.Checkbox(False, label=translatable("karaoke"), info=translatable("karaoke_info"), elem_id="karaoke")
    together = gr.Checkbox(False, label=translatable("sum"), info=translatable("sum_info"), elem_id="sum")
    iterations = gr.Slider(0, 4, value=1, step=1, label=translatable("iterations"), elem_id="iterations")
    shifts = gr.Slider(0, 10, value=0, step=1, label=translatable("shifts"), elem_id="shifts")
    gr.Markdown(translatable("model_of"), elem_classes="note")
    with gr.Row():
        weights = {
            method.name: gr.Dropdown(
                installed_weights(method.name),
                value=default_weights(method.name),
                label=method.title,
                elem_id=f"weights-{method.name}",
                visible=bool(installed_weights(method.name)),
            )
            for method in METHODS.values()
            if method.has_model
        }
    return [karaoke, together, iterations, shifts], weights


# Gradio's cancellation races with the running generator, and the page then shows an error.
# A flag that is checked after every segment always ends in a consistent page.
_stop_asked: dict[str, threading.Event] = {}


def ask_to_stop(request: gr.Request) -> dict[str, Any]:
    """Stop the running separation after the current segment."""
    leave(request)
    return gr.update(interactive=False)


def leave(request: gr.Request) -> None:
    """Stop the separation of a visitor who closes the page."""
    flag = _stop_asked.get(str(request.session_hash))
    if flag is not None:
        flag.set()


def restore(request: gr.Request) -> tuple[Any, ...]:
    """Show the result that the page's address links to, if any.

    Returns the status, the player and the token.
    """
    words = translator_for(request)
    token = request.query_params.get("result")
    folder = storage.find_result(token)
    if folder is None:
        return components.work(words("over")) if token else components.hint(words("ready")), gr.skip(), None
    return components.work(words("done")), gr.update(value=components.player(folder), visible=True), token


def _buttons(*, working: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    return gr.update(interactive=not working), gr.update(interactive=working)


def separate(request: gr.Request, *values: Any) -> Generator[tuple[Any, ...]]:
    """Handle the Separate button, yielding the status, the two buttons, the player and the result's token.

    The values are those of a :class:`separation.studio.form.Form`.
    """
    words, visitor = translator_for(request), str(request.session_hash)
    idle, busy = _buttons(working=False), _buttons(working=True)
    if visitor in _stop_asked:
        refusal = components.work(words("failed_title"), problems=[words("one_at_a_time")])
        yield (refusal, *idle, gr.skip(), gr.skip())
        return
    token = None
    stop = _stop_asked[visitor] = threading.Event()
    try:
        form = Form.from_values(values)
        yield (components.work(words("stage_reading"), share=0.0), *busy, gr.update(value="", visible=False), None)
        form.check_song()
        separation_request, problems = usable_part(
            form.request(), references=form.has_references, estimates=bool(form.estimates), words=words
        )
        with QUEUE.queue(visitor) as turn:
            for step in _work(turn, form.open_song, separation_request, stop, words, (idle, busy), problems):
                token = step[-1] if isinstance(step[-1], str) else token
                yield step
    except (ValueError, OSError, MemoryError) as error:
        problem = components.work(words("failed_title"), problems=[errors.visitor_message(error)])
        yield (problem, *idle, *_remaining(token))
    except Exception:  # shown to the visitor in general terms; the log has the details
        log.exception("separation failed")
        yield (components.work(words("our_side"), [words("noted")]), *idle, *_remaining(token))
    finally:
        _stop_asked.pop(visitor, None)


def _remaining(token: str | None) -> tuple[Any, Any]:
    """Return updates that keep the player and the token of a result, and remove those of a result that is gone."""
    return (gr.skip(), gr.skip()) if storage.find_result(token) else (gr.update(value="", visible=False), None)


def _work(
    turn: Ticket,
    open_song: Callable[[], songs.Song],
    separation_request: SeparationRequest,
    stop: threading.Event,
    words: Translator,
    buttons: tuple[Any, Any],
    problems: list[str],
) -> Iterator[tuple[Any, ...]]:
    """Wait in the queue, then separate; the player appears with the first audio and updates itself.

    `problems` known in advance are shown from the beginning, and at the end with those that come up.
    """
    idle, busy = buttons
    for ahead in turn.wait():
        waiting = components.work(words("queue"), [words("ahead", ahead=ahead)], problems=problems)
        yield (waiting, *busy, gr.skip(), gr.skip())
        if stop.is_set():
            yield (components.work(words("stopped")), *idle, gr.skip(), gr.skip())
            return
    song = open_song()  # not earlier: waiting requests use neither disk nor memory
    total = len(separation_request.methods) + len(problems) + bool(song.estimates)
    shown = False
    with closing(session.separate_song(song, separation_request)) as updates:
        for update in updates:
            player, token = gr.skip(), gr.skip()
            if not shown and (update.folder / "player.json").exists():
                shown = True
                player, token = gr.update(value=components.player(update.folder), visible=True), update.folder.name
            status = components.work(*_describe(update, words), share=update.share, problems=problems)
            yield (status, *busy, player, token)
            if stop.is_set():
                break
    done = len(update.results)
    if update.stage == "done":
        title = words("done" if done or song.estimates else "nothing")
        problems = [*problems, *update.failed]
    else:
        title = words("stopped")
    finished = done + bool(song.estimates and update.stage == "done")
    kept = words("finished" if update.stage == "done" else "kept", done=finished, all=total)
    yield (components.work(title, [kept], problems=problems), *idle, *_remaining(update.folder.name))


def _describe(update: session.SessionUpdate, words: Translator) -> tuple[str, list[str]]:
    """Return a title and details that describe an update."""
    stage = words("done") if update.stage == "done" else words(f"stage_{update.stage}")
    if not update.method:
        return stage, []
    name = next((method.name for method in METHODS.values() if method.title == update.method), "")
    details = [stage]
    if update.seconds_left is not None and update.stage == "separating":
        details.append(words("left", seconds=f"{update.seconds_left:.0f}"))
    if update.device:
        details.append(words("on_device", device=update.device))
    if update.real_time_factor is not None:
        details.append(words.speed(update.real_time_factor))
    return words.named("method", name, update.method), details
