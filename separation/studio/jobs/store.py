"""The files of a job in its result folder: its order, its state and the visitor's uploads.

Every page and process reads a job's state from ``job.json``, so that a reload, a second tab or a restarted server finds
it. The process that queues or runs an unfinished job touches that file every few seconds. If the file has not been
touched for a while, the process has died, and the job reads as "interrupted".
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from separation.studio.inputs.form import open_with_own
from separation.studio.inputs.request import SeparationRequest
from separation.studio.inputs.songs import Song
from separation.studio.results import storage

__all__ = ["UNFINISHED", "JobOrder", "JobState"]

UNFINISHED = ("waiting", "working")
LOST_SECONDS = 15.0  # without a touch, after which a job is lost
BEAT_SECONDS = 2.0
MOST_LISTED = 20  # jobs in a visitor's history


@dataclass(frozen=True, kw_only=True)
class JobOrder:
    """The order of a job: the song and the request, from which another process can resume it.

    Attributes
    ----------
    song : mapping
        Arguments of :func:`separation.studio.inputs.form.open_with_own`.
    name : str
        Name of the song for display.
    problems : sequence of str
        A sentence for each chosen method that cannot work and is left out of the request.
    seconds : float or None
        Length of the excerpt, if it is known before decoding.
    """

    song: Mapping[str, Any]
    name: str
    request: SeparationRequest
    problems: Sequence[str] = ()
    seconds: float | None = None

    @property
    def steps(self) -> list[str]:
        """The steps that take time: the methods, and scoring once for each if the true sources are known."""
        methods = list(self.request.methods)
        known = self.song["kind"] != "upload" or self.song["references"]
        return methods + [self.request.scoring] * len(methods) if known else methods

    def open_song(self) -> Song:
        """Open the song with the visitor's references and estimates."""
        return open_with_own(**self.song)


@dataclass(frozen=True, kw_only=True)
class JobState:
    """The progress of a job.

    Attributes
    ----------
    state : str
        "waiting", "working", "done", "stopped", "failed" or "interrupted".
    place : int
        Number of jobs ahead while it waits.
    seconds_left : float or None
        Seconds until its turn while it waits, until its end while it works; None if not known yet.
    stage, method, device, real_time_factor, share
        See :class:`separation.studio.jobs.session_update.SessionUpdate`.
    methods : sequence of str
        The methods that it runs, in their order.
    total : int
        Number of requested methods, plus 1 if there are another tool's stems.
    results : sequence of mapping
        Documents of the finished methods' :class:`~separation.pipeline.result.Result`; paths are relative to the
        folder.
    own : bool
        Whether another tool's stems are among the finished results.
    problems : sequence of str
        A sentence for each method that could not work from the beginning.
    failed : mapping of str to str
        Method -> a sentence that tells why it failed, or why it has no scores.
    only : str
        The failed method that this run retries; empty to run all unfinished methods.
    error : str or None
        The sentence that tells why the whole job failed.
    field : str
        The field of the form that the error is about, or "".
    paces : mapping of str to float
        Method, or :attr:`SeparationRequest.scoring` -> seconds of work per second of audio, for finished steps.
    run : int
        Number of the run: 1 at first, 1 more each time the job is resumed or retried.
    created : float
        Seconds since the epoch.
    """

    name: str
    state: str = "waiting"
    place: int = 0
    seconds_left: float | None = None
    stage: str = ""
    method: str = ""
    device: str = ""
    real_time_factor: float | None = None
    share: float = 0.0
    methods: Sequence[str] = ()
    total: int = 1
    results: Sequence[Mapping[str, Any]] = ()
    own: bool = False
    problems: Sequence[str] = ()
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    only: str = ""
    error: str | None = None
    field: str = ""
    paces: Mapping[str, float] = dataclasses.field(default_factory=dict)
    run: int = 1
    created: float = dataclasses.field(default_factory=time.time)

    @property
    def unfinished(self) -> bool:
        return self.state in UNFINISHED

    @property
    def finished(self) -> int:
        """Number of finished results."""
        return len(self.results) + self.own

    @property
    def can_go_on(self) -> bool:
        """Whether the methods that are not finished can be run; not if the song itself was refused."""
        is_broken = self.state == "failed" and self.error is not None and not self.field
        return self.state in ("interrupted", "stopped") or is_broken

    @property
    def can_begin_again(self) -> bool:
        """Whether the job can go on, or one of its methods can be tried again."""
        return self.can_go_on or any(map(self.can_retry, self.failed))

    @property
    def came_to_nothing(self) -> bool:
        """Whether it has ended and there is nothing to hear."""
        return self.state in ("failed", "stopped") and not self.finished

    @property
    def is_worth_a_visit(self) -> bool:
        """Whether its page shows or offers anything."""
        return not self.came_to_nothing or self.can_begin_again

    def can_retry(self, method: object) -> bool:
        """Return whether a method has failed and can be tried again."""
        return self.state in ("done", "failed") and any(method == name for name in self.failed)


# -- order and input


def save_order(folder: Path, order: JobOrder) -> None:
    """Write the order, and keep the visitor's files with it: uploads may expire before the job ends."""
    song, count = dict(order.song), 0

    def keep(file: str) -> str:
        nonlocal count
        count += 1  # a folder each, since files may have equal names
        kept = folder / "input" / str(count) / Path(file).name
        kept.parent.mkdir(parents=True)
        try:
            os.link(file, kept)
        except OSError:  # on another file system
            shutil.copyfile(file, kept)
        return kept.relative_to(folder).as_posix()

    if song["kind"] == "upload" and song["choice"]:
        song["choice"] = keep(song["choice"])
    for own in ("references", "estimates"):
        song[own] = [keep(file) for file in song[own] or ()]
    storage.write_document(folder / "order.json", {**asdict(order), "song": song})


def load_order(folder: Path) -> JobOrder:
    """Return the order of a job; raise OSError if it is gone."""
    document = json.loads((folder / "order.json").read_text("utf-8"))
    song = document["song"]
    if song["kind"] == "upload" and song["choice"]:
        song["choice"] = str(folder / song["choice"])
    for own in ("references", "estimates"):
        song[own] = [str(folder / file) for file in song[own]]
    return JobOrder(**{**document, "song": song, "request": SeparationRequest(**document["request"])})


def drop_input(folder: Path) -> None:
    """Remove the order and the visitor's files when nothing remains to be done."""
    (folder / "order.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "input", ignore_errors=True)


# -- state


def write_state(folder: Path, state: JobState) -> None:
    """Write ``job.json`` atomically."""
    storage.write_document(folder / "job.json", asdict(state))


def read_state(folder: Path | None) -> JobState | None:
    """Return the state of the job in a folder, "interrupted" if its process is gone; None if there is no job."""
    if folder is None:
        return None
    path = folder / "job.json"
    try:
        document = json.loads(path.read_text("utf-8"))
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    known = {one.name for one in fields(JobState)}
    state = JobState(**{name: value for name, value in document.items() if name in known})
    return replace(state, state="interrupted") if state.unfinished and age > LOST_SECONDS else state


def touch(folder: Path) -> None:
    """Tell other processes that the job is not lost."""
    with suppress(OSError):
        os.utime(folder / "job.json")
        os.utime(folder)  # its hour begins when the work ends


def release(folder: Path) -> None:
    """Tell other processes that this one no longer works on the job."""
    with suppress(OSError):
        os.utime(folder / "job.json", (0, 0))


@contextmanager
def alive(folder: Path) -> Iterator[None]:
    """Touch a job's state in the background within the block."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            touch(folder)

    touch(folder)
    thread = threading.Thread(target=beat, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# -- signals between processes


def ask_to_stop(folder: Path) -> None:
    """Stop the job after its current segment, in whatever process it runs."""
    (folder / "stop").touch()


def is_stop_asked(folder: Path) -> bool:
    return (folder / "stop").exists()


def forget_stop(folder: Path) -> None:
    (folder / "stop").unlink(missing_ok=True)


def watch(folder: Path) -> None:
    """Note that a page shows this job."""
    with suppress(OSError):
        (folder / "watched").touch()


def unwatched_seconds(folder: Path) -> float:
    """Return the seconds since a page has shown this job."""
    try:
        return time.time() - (folder / "watched").stat().st_mtime
    except OSError:
        return 0.0


# -- a visitor's jobs


def remember(visitor: str, folder: Path) -> None:
    """Add a job to the visitor's history.

    The list is stored under a hash of the visitor's secret name. No result folder contains that name, so that somebody
    with the link to one result cannot find the others.
    """
    with _history(visitor).open("a", encoding="utf-8") as file:
        file.write(f"{folder.name}\n")


def jobs_of(visitor: str) -> list[tuple[str, JobState]]:
    """Return token and state of a visitor's jobs of the last hour, the newest first."""
    try:
        tokens = _history(visitor).read_text("utf-8").split()
    except OSError:
        return []
    newest = list(dict.fromkeys(reversed(tokens)))[:MOST_LISTED]
    found = ((token, read_state(storage.find_result(token))) for token in newest)
    return [(token, state) for token, state in found if state is not None]


def _history(visitor: str) -> Path:
    return storage.RESULTS / f"{hashlib.sha256(visitor.encode('utf-8', 'replace')).hexdigest()}.jobs"
