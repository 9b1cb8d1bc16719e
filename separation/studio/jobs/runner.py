"""Submit, stop, resume and retry jobs: separations that run on the server, independently of any page.

A job waits in the queue and runs in its own thread, or on a worker of a cluster. Pages and programs only read its
state, so closing or reloading a page does not affect it.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from separation.studio.errors import at_field, field_of, visitor_message
from separation.studio.inputs.request import SeparationRequest
from separation.studio.inputs.songs import StudioError
from separation.studio.jobs import cluster, session, store
from separation.studio.jobs.pace import Clock, Paces
from separation.studio.jobs.queue import QUEUE, Ticket
from separation.studio.jobs.speeds import note_results
from separation.studio.jobs.store import JobOrder, JobState
from separation.studio.results import storage

__all__ = ["UNWATCHED_SECONDS", "find", "go_on", "release", "retry", "run_job", "stop", "submit", "wait"]

log = logging.getLogger(__name__)

UNWATCHED_SECONDS = 300.0  # after which a waiting job is cancelled; background tabs poll once a minute
ENDING_SECONDS = 5.0

_paces = Paces()
_threads: dict[str, threading.Thread] = {}  # by token: the unfinished jobs of this process


# -- for pages and programs


def submit(order: JobOrder, visitor: object, *, watched: bool = True) -> str:
    """Put a job into the queue and return its token.

    Parameters
    ----------
    visitor : object
        Identifies the visitor in the queue.
    watched : bool
        Whether a page shows the job. If so, it is in the visitor's history, and it is cancelled if no page shows it any
        more while it waits.

    Raises
    ------
    ValueError
        If the queue is full, holds too many jobs of this visitor, or the cluster cannot be reached.
    OSError
        If the order cannot be stored.
    """
    if cluster.address():
        cluster.connect()
    with ExitStack() as place:
        turn = place.enter_context(QUEUE.queue(visitor))
        folder = storage.new_folder()
        try:
            store.save_order(folder, order)
            methods = order.request.methods
            total = len(methods) + len(order.problems) + bool(order.song.get("estimates"))
            ahead = QUEUE.ahead_of(turn)
            state = JobState(name=order.name, methods=methods, place=ahead, total=total, problems=order.problems)
            store.write_state(folder, state)
            if watched:
                store.remember(str(visitor), folder)
        except BaseException:
            storage.remove_folder(folder)
            raise
        _start(folder, order, turn, place.pop_all(), watched=watched)
    return folder.name


def go_on(token: str | None, visitor: object) -> None:
    """Resume a job that was interrupted, stopped or broken: finished methods are kept, the others are run.

    Raises
    ------
    ValueError
        If it has expired or cannot be resumed, or as in :func:`submit`.
    """
    _run_again(token, visitor, lambda state: state.can_go_on)


def retry(token: str | None, visitor: object, method: object) -> None:
    """Run a failed method of an ended job again; finished methods and other failures are kept.

    Raises
    ------
    ValueError
        As :func:`go_on`.
    """
    _run_again(token, visitor, lambda state: state.can_retry(method), only=str(method))


def _run_again(token: str | None, visitor: object, is_allowed: Callable[[JobState], bool], only: str = "") -> None:
    folder = storage.find_result(token)
    if folder is None or store.read_state(folder) is None:
        raise StudioError("this result no longer exists")
    with FileLock(folder / ".again"), ExitStack() as place:
        state = store.read_state(folder)
        if state is None or not is_allowed(state):
            return  # another tab was faster, or a page of another process
        if (thread := _threads.get(folder.name)) is not None:
            thread.join(ENDING_SECONDS)  # it has written its last state
            if thread.is_alive():
                return  # it was only slow, not interrupted
        turn = place.enter_context(QUEUE.queue(visitor))
        order = _remaining(store.load_order(folder), replace(state, only=only))
        store.forget_stop(folder)
        store.watch(folder)
        with suppress(ValueError, OSError):  # pages load it until it is finished again
            storage.write_player(folder, {**storage.read_player(folder), "working": True})
        ahead = QUEUE.ahead_of(turn)
        store.write_state(folder, replace(state, state="waiting", place=ahead, run=state.run + 1, only=only))
        _start(folder, order, turn, place.pop_all(), watched=True)


def stop(token: str | None) -> None:
    """Stop a job after its current segment, wherever it runs."""
    folder = storage.find_result(token)
    if folder is not None:
        store.ask_to_stop(folder)


def find(token: str | None) -> JobState | None:
    """Return the state of a job; None if there is none. Unfinished results of an interrupted job are removed."""
    folder = storage.find_result(token)
    state = store.read_state(folder)
    if folder is not None and state is not None and state.state == "interrupted":
        _drop_unfinished(folder)
    return state


def wait(token: str) -> JobState | None:
    """Wait for the end of a job of this process and return its state."""
    if (thread := _threads.get(token)) is not None:
        thread.join()
    return find(token)


def release() -> None:
    """Mark this process's jobs as interrupted; they can go on in another one."""
    if cluster.address() is None:
        for token in list(_threads):
            store.release(storage.RESULTS / token)


def _drop_unfinished(folder: Path) -> None:
    """Remove unfinished groups from the player; remove the player if nothing else is in it."""
    with suppress(ValueError, OSError):
        document = storage.read_player(folder)
        if not document["working"]:
            return
        groups = [group for group in document["groups"] if not group["working"]]
        if all(group["id"] in ("song", "references") for group in groups):
            (folder / "player.json").unlink()
        else:
            storage.write_player(folder, {**document, "groups": groups, "working": False})


# -- waiting


def _start(folder: Path, order: JobOrder, turn: Ticket, place: ExitStack, *, watched: bool) -> None:
    turn.seconds = _paces.expected(order.steps, order.seconds)

    def attend() -> None:
        try:
            with place, store.alive(folder):
                _attend(folder, order, turn, watched=watched)
        except Exception:  # the state says "interrupted" soon
            log.exception("a job was lost")
        finally:
            del _threads[folder.name]

    # On ZeroGPU, the context determines whose GPU time is used.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(attend,), name="job", daemon=True)
    _threads[folder.name] = thread
    thread.start()


def _attend(folder: Path, order: JobOrder, turn: Ticket, *, watched: bool) -> None:
    """Wait for a job's turn, then work on it."""
    state = store.read_state(folder)
    for ahead in turn.wait():
        if state is None or store.is_stop_asked(folder):
            _end(folder, "stopped")
            return
        if watched and store.unwatched_seconds(folder) > UNWATCHED_SECONDS:
            _end(folder, "interrupted")
            return
        now = replace(state, place=ahead, seconds_left=QUEUE.seconds_ahead(turn))
        if now != state:
            store.write_state(folder, now)
            state = now

    def follow(state: JobState) -> None:
        if state.seconds_left is not None or state.stage == "scoring":  # before the first estimate, the expected time
            turn.seconds = state.seconds_left

    if cluster.address() is None:
        run_job(folder, on_state=follow)
    else:
        _run_on_cluster(folder, follow)
    if (state := store.read_state(folder)) is not None:
        _paces.learn(state.paces)
        note_results(state.results, order.request.models)


def _run_on_cluster(folder: Path, follow: Callable[[JobState], None]) -> None:
    state = store.read_state(folder)
    run = state.run if state else 1

    def poll() -> None:
        if (state := store.read_state(folder)) is not None:
            follow(state)

    try:
        cluster.run(run_job, folder, run, key=f"stemscope-{folder.name}-{run}", on_poll=poll)
    except cluster.ClusterError:
        log.exception("a job was lost")
        _end(folder, "interrupted")


def _end(folder: Path, how: str) -> None:
    _drop_unfinished(folder)
    if (state := store.read_state(folder)) is not None:
        store.write_state(folder, replace(state, state=how, place=0, seconds_left=None))


# -- work


def run_job(folder: Path, run: int | None = None, on_state: Callable[[JobState], None] = lambda state: None) -> None:
    """Run a job to its end, from the point where an earlier run stopped; errors become part of its state.

    Does nothing if `run` is outdated: a cluster may still hold a run that the visitor has stopped and replaced.
    """
    first = store.read_state(folder)
    if first is None or first.run != (run or first.run):
        return
    others = {name: why for name, why in first.failed.items() if first.only and name != first.only}
    state = replace(
        first, state="working", place=0, seconds_left=None, failed=others, error=None, field="", **_kept(folder, first)
    )
    with store.alive(folder):
        try:
            for step in _steps(folder, state):
                state = step
                if state.unfinished:  # the end is told once nothing changes any more
                    with suppress(OSError):  # if the disk is full, the work itself will fail
                        store.write_state(folder, state)
                on_state(state)
        except Exception as error:
            state = replace(state, state="failed", error=visitor_message(error), field=field_of(error))
            _drop_unfinished(folder)
        try:
            if not state.can_begin_again:
                store.drop_input(folder)
            store.write_state(folder, replace(state, seconds_left=None))
        except OSError:
            log.exception("the state of a job was lost")


def _kept(folder: Path, state: JobState) -> dict[str, Any]:
    """Return the finished methods of an earlier run, without those that its player does not have."""
    try:
        groups = storage.read_player(folder)["groups"]
    except ValueError:
        groups = []
    here = {group["id"] for group in groups if not group["working"]}
    return {"results": tuple(result for result in state.results if result["method"] in here), "own": False}


def _steps(folder: Path, state: JobState) -> Iterator[JobState]:
    """Yield a job's states up to the last."""
    order = store.load_order(folder)
    yield state
    song = order.open_song()
    kept = tuple(state.results)
    with at_field("song"):  # decoding ends, or fails, here
        clock = Clock(song.audio.duration)
    finished, others = [result["method"] for result in kept], state.failed
    with closing(session.separate_song(song, _request_of(order, state), folder, finished)) as updates:
        for update in updates:
            results = (*kept, *(_portable(result.document(), folder) for result in update.results))
            if len(results) > len(state.results):
                state = replace(state, paces={**state.paces, results[-1]["method"]: clock.pace()})
            state = replace(
                state,
                stage=update.stage,
                method=update.method,
                device=update.device,
                real_time_factor=update.real_time_factor,
                share=update.share,
                seconds_left=None if update.stage == "scoring" else clock.seconds_left(update.share),
                results=results,
                failed={**others, **update.failed},
            )
            if update.stage == "done":
                if song.references:
                    scoring = {order.request.scoring: clock.pace() / max(1, len(results))}
                    state = replace(state, paces={**state.paces, **scoring})
                state = replace(state, own=bool(song.estimates))
                yield replace(state, state="done" if state.finished else "failed")
                return
            yield state
            if store.is_stop_asked(folder):
                break
    yield replace(state, state="stopped")


def _request_of(order: JobOrder, state: JobState) -> SeparationRequest:
    """Return the request of a run: all methods, or the finished ones and the only one that is tried again."""
    done = [result["method"] for result in state.results]
    methods = [name for name in order.request.methods if not state.only or name == state.only or name in done]
    return replace(order.request, methods=methods)


def _remaining(order: JobOrder, state: JobState) -> JobOrder:
    """Return the part of an order that remains to be done."""
    done = [result["method"] for result in state.results]
    request = _request_of(order, state)
    return replace(order, request=replace(request, methods=[name for name in request.methods if name not in done]))


def _portable(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a result's document with paths relative to the job's folder."""

    def inside(path: str) -> str:
        return Path(path).resolve().relative_to(folder.resolve()).as_posix()

    stems = {source: inside(path) for source, path in document["stems"].items()}
    return {**document, "stems": stems, "card": inside(document["card"])}
