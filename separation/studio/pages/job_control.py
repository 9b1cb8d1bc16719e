"""The handlers of the Separate page that start, watch, stop, resume and retry jobs.

The page polls the state of the job that it shows. The job's token is in the page's address, so that a reload or a
second tab shows the same job.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from separation.studio import errors
from separation.studio.components import fragments
from separation.studio.i18n import Translator, translator_for
from separation.studio.inputs.checks import usable_part
from separation.studio.inputs.form import Form
from separation.studio.jobs import runner, store
from separation.studio.jobs.history import history, time_span
from separation.studio.jobs.queue import MAX_PER_VISITOR, QUEUE
from separation.studio.jobs.store import JobOrder, JobState
from separation.studio.results import storage
from separation.studio.visitor import is_name, visitor_name

__all__ = ["JobParts", "ask_to_stop", "go_on", "restore", "retry", "separate", "token_of_address", "watch", "wire"]

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0

#: Puts the token into the page's address, or takes it out.
_ADDRESS = """(token) => {
  const url = new URL(window.location.href);
  if ((url.searchParams.get("result") ?? "") === (token ?? "")) return;
  if (token) url.searchParams.set("result", token);
  else url.searchParams.delete("result");
  window.history.replaceState(null, "", url);
}"""


#: Asks for another try of a method, and for the state of a result of which the player has found that it is gone.
_ASK = """
document.addEventListener("result-gone", () => trigger("gone"));
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-method]");
  if (button) trigger("retry", { method: button.dataset.method });
});"""


@dataclass(frozen=True, kw_only=True)
class JobParts:
    """Components of the page that show a job; the invisible ones are made here."""

    run: gr.Button
    stop: gr.Button
    go_on: gr.Button
    status: gr.HTML
    place: gr.HTML
    history: gr.HTML
    token: gr.State
    address: gr.Textbox
    timer: gr.Timer
    visitor: gr.BrowserState

    @classmethod
    def around(cls, **visible: Any) -> JobParts:
        """Complete the visible components."""
        return cls(
            **visible,
            token=gr.State(None),
            address=gr.Textbox(visible=False),
            timer=gr.Timer(POLL_SECONDS, active=False),
            visitor=gr.BrowserState(None, storage_key="stemscope-visitor", secret="stemscope"),
        )

    @property
    def shown(self) -> list[Any]:
        """The outputs of every handler, in the order of :class:`View`."""
        return [
            self.status,
            self.run,
            self.stop,
            self.go_on,
            self.place,
            self.token,
            self.address,
            self.timer,
            self.history,
        ]


def status_line() -> gr.HTML:
    """Return the status; it triggers ``retry`` with the method that is to be tried again, and ``gone``."""
    return gr.HTML(fragments.hint(Translator("en")("ready")), js_on_load=_ASK, elem_id="status")


def wire(parts: JobParts, choice: list[Any]) -> None:
    """Connect the events; `choice` are the components of a :class:`separation.studio.inputs.form.Form`."""
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    at_once = {**private, "queue": False}
    known = [parts.token, parts.visitor]
    events = [
        # Unlimited here: QUEUE decides whose turn it is.
        parts.run.click(separate, [*known, *choice], parts.shown, concurrency_limit=None, **private),
        parts.go_on.click(go_on, known, parts.shown, concurrency_limit=None, **private),
        parts.status.retry(retry, known, parts.shown, concurrency_limit=None, **private),
        *(
            event(watch, [*known, parts.place, parts.history], parts.shown, **at_once)
            for event in (parts.timer.tick, parts.status.gone)
        ),
    ]
    parts.stop.click(ask_to_stop, parts.token, parts.stop, **at_once)
    for event in events:
        event.then(None, parts.address, None, js=_ADDRESS, **at_once)


def wire_load(studio: gr.Blocks, parts: JobParts) -> None:
    """Show the job of the page's address when the page is loaded."""
    studio.load(restore, parts.visitor, [*parts.shown, parts.visitor], show_progress="hidden", api_visibility="private")


# -- handlers


def separate(request: gr.Request, token: str | None, visitor: Any, *values: Any) -> tuple[Any, ...]:
    """Start a job for the values of a :class:`separation.studio.inputs.form.Form` and show it, or say why not."""
    words, who = translator_for(request), visitor_name(visitor, request)
    try:
        form = Form.from_values(values)
        seconds = form.check_song()
        with errors.at_field("methods"):
            asked, problems = usable_part(
                form.request(), references=form.has_references, estimates=bool(form.estimates), words=words
            )
        order = JobOrder(song=form.song, name=form.name, request=asked, problems=problems, seconds=seconds)
        started = runner.submit(order, who)
    except (ValueError, OSError, MemoryError) as error:
        return _refused(errors.visitor_message(error, words), token, who, words, field=errors.field_of(error))
    except Exception:  # shown to the visitor in general terms; the log has the details
        log.exception("a job could not be started")
        return _refused(f"{words('our_side')}. {words('noted')}", token, who, words)
    return _view(started, who, words)


def go_on(request: gr.Request, token: str | None, visitor: Any) -> tuple[Any, ...]:
    """Resume the interrupted job that the page shows."""
    return _again(request, token, visitor, runner.go_on)


def retry(request: gr.Request, token: str | None, visitor: Any, event: gr.EventData) -> tuple[Any, ...]:
    """Retry a failed method of the job that the page shows; the event's data is not trusted."""
    method = event._data.get("method") if isinstance(event._data, dict) else None
    return _again(request, token, visitor, lambda token, who: runner.retry(token, who, method))


def _again(
    request: gr.Request, token: str | None, visitor: Any, begin: Callable[[str | None, str], None]
) -> tuple[Any, ...]:
    words, who = translator_for(request), visitor_name(visitor, request)
    try:
        begin(token, who)
    except (ValueError, OSError) as error:
        return _refused(errors.visitor_message(error, words), None, who, words)
    return _view(token, who, words)


def ask_to_stop(token: str | None) -> dict[str, Any]:
    """Stop the job that the page shows after its current segment."""
    runner.stop(token)
    return gr.update(interactive=False)


def watch(request: gr.Request, token: str | None, visitor: Any, place: str, listed: str) -> tuple[Any, ...]:
    """Show the progress of the page's job; `place` and `listed` are the page's present player and history."""
    view = list(_view(token, visitor_name(visitor, request), translator_for(request), place=place, listed=listed))
    if view[5] == token:
        view[5] = gr.skip()  # an answer that comes after that of the next job must not bring this one back
    return tuple(view)


def restore(request: gr.Request, visitor: Any) -> tuple[Any, ...]:
    """Show the job that the page's address names, and give a new visitor a secret name."""
    words, token = translator_for(request), token_of_address(request)
    if not is_name(visitor):
        visitor = secrets.token_urlsafe(16)
    view = list(_view(token, visitor, words))
    if token is None:
        view[0] = fragments.hint(words("ready"))
    return (*view, visitor)


def token_of_address(request: gr.Request) -> str | None:
    """Return the token in the page's address, which a page has before :func:`restore` has told it the token."""
    return request.query_params.get("result")


# -- what the page shows


def _refused(sentence: str, token: str | None, visitor: str, words: Translator, *, field: str = "") -> tuple[Any, ...]:
    """Say why a job cannot start: at a field of the form, and in the status unless that shows another's progress."""
    state = runner.find(token)
    refusal = fragments.refusal(sentence, field, key=secrets.token_urlsafe(6))
    if state is not None and state.unfinished:
        if not field:
            gr.Warning(sentence, title=words("failed_title"))
            return _view(token, visitor, words)
        return (describe(state, words) + refusal, *_view(token, visitor, words)[1:])
    status = fragments.work(words("failed_title"), problems=[sentence]) + refusal
    return (status, *_view(None, visitor, words)[1:4], *[gr.skip()] * 5)


def _view(token: str | None, visitor: str, words: Translator, *, place: str = "", listed: str = "") -> tuple[Any, ...]:
    """Return updates of :attr:`JobParts.shown`."""
    folder, state = storage.find_result(token), runner.find(token)
    if folder is not None:
        store.watch(folder)
    nothing = state is not None and state.came_to_nothing
    kept = folder.name if folder is not None and (state is None or state.is_worth_a_visit) else None
    link = "" if kept is None or nothing else kept  # no link to a job without a result
    player = ""
    if folder is not None and link and (folder / "player.json").exists():
        player = fragments.player(folder, run=state.run if state else 1)
    others = store.jobs_of(visitor)
    busy = QUEUE.count(visitor)
    list_of_jobs = history(others, words, shown=token, busy=busy)
    if folder is None:
        status: Any = gr.skip() if token is None else fragments.work(words("over"))
    else:
        status = describe(state, words) + _facts(state, words) + _late_refusal(folder, state, words)
    unfinished = state is not None and state.unfinished
    stoppable = unfinished and folder is not None and not store.is_stop_asked(folder)
    watching = unfinished or any(other.unfinished for _, other in others)
    return (
        status,
        gr.update(interactive=busy < MAX_PER_VISITOR),
        gr.update(interactive=stoppable),
        gr.update(visible=state is not None and state.can_go_on, value=words("start_again" if nothing else "go_on")),
        gr.skip() if player == place else gr.update(value=player, visible=bool(player)),
        kept,
        link,
        gr.Timer(POLL_SECONDS, active=watching),
        gr.skip() if list_of_jobs == listed else list_of_jobs,
    )


def describe(state: JobState | None, words: Translator) -> str:
    """Return the status of a job as HTML; a result without a job is done."""
    if state is None:
        return fragments.work(words("done"))
    if state.state == "waiting":
        details = [words("ahead", ahead=state.place)] if state.place else []
        if state.place and state.seconds_left is not None:
            details.append(words("starts_in", time=time_span(state.seconds_left, words)))
        return fragments.work(words("queue"), details, problems=state.problems)
    if state.state == "working":
        return fragments.work(*_progress(state, words), share=state.share, problems=state.problems)
    problems = [*state.problems, *(_failure(state, method, words) for method in state.failed)]
    if state.state == "failed":
        if state.error is not None:
            return fragments.work(words("failed_title"), problems=[*state.problems, words.sentence(state.error)])
        return fragments.work(words("nothing"), [words("finished", done=0, all=state.total)], problems=problems)
    kept = words("finished" if state.state == "done" else "kept", done=state.finished, all=state.total)
    return fragments.work(words(state.state), [kept], problems=problems)


def _facts(state: JobState | None, words: Translator) -> str:
    if state is None:
        return ""
    methods = ", ".join(words.named("method", method, method) for method in state.methods)
    return fragments.job_facts(words.sentence(state.name), methods)


def _late_refusal(folder: Path, state: JobState | None, words: Translator) -> str:
    """Tell the page why a song could not be opened once it was its turn."""
    if state is None or state.unfinished or state.error is None:
        return ""
    return fragments.refusal(words.sentence(state.error), state.field, key=f"{folder.name}-{state.run}")


def _failure(state: JobState, method: str, words: Translator) -> str | fragments.Retry:
    """Return why a method failed, with a button if it can be tried again."""
    sentence = words.sentence(state.failed[method])
    if not state.can_retry(method):
        return sentence
    label = words("retry_method", method=words.named("method", method, method))
    return fragments.Retry(sentence, method, words("retry"), label)


def _progress(state: JobState, words: Translator) -> tuple[str, list[str]]:
    """Return a title and details that describe the work."""
    stage = words(f"stage_{state.stage or 'reading'}") if state.stage != "done" else words("done")
    if not state.method:
        return stage, []
    details = [stage]
    if state.seconds_left is not None:
        details.append(words("left", time=time_span(state.seconds_left, words)))
    if state.device:
        details.append(words("on_device", device=state.device.upper()))
    if state.real_time_factor is not None:
        details.append(words.speed(state.real_time_factor))
    return words.sentence(state.method), details
