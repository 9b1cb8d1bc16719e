"""Separate many songs, in turn, in several processes or on a cluster; and one song on a worker of a cluster."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from separation.pipeline.batch import Job, JobResult, separate_song
from separation.pipeline.claims import claim
from separation.pipeline.result import SeparationProgress
from separation.pipeline.storage import Content
from separation.workers.cluster import report, stop_if_cancelled
from separation.workers.executor import WORKER_DIED, map_jobs

__all__ = ["separate_on_worker", "separate_songs"]

_REPORT_SECONDS = 0.5  # between two reports of a job's progress


def separate_songs(jobs: Sequence[Job], *, workers: int = 1, cluster: str | None = None) -> Iterator[JobResult]:
    """Separate all songs, yielding each result as it finishes; see :func:`separation.workers.executor.map_jobs`."""
    device = jobs[0].options.device if jobs else "auto"
    function = separate_song if cluster is None else separate_on_worker
    yield from map_jobs(function, jobs, lost=_worker_died, workers=workers, cluster=cluster, device=device, key=_key)


def _worker_died(job: Job) -> JobResult:
    return JobResult(job=job, error=f"{job.file.name}: {WORKER_DIED}")


def _key(job: Job) -> str:
    """Return the same name for jobs with the same song, folder and options, from any client."""
    places = [str(place.absolute() if isinstance(place, Path) else place) for place in (job.file, job.folder)]
    text = json.dumps([*places, {**asdict(job.options), "command": None}])
    return f"separate-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()}"


def separate_on_worker(job: Job, topic: str | None = None) -> JobResult:
    """Separate one song in a job of a cluster; errors are returned, not raised.

    If another process has claimed the folder, this one waits, and then finds the finished result. The separator
    stays loaded for the next song with the same options.

    Parameters
    ----------
    job : Job
        The song - a path or URL that the worker can read, or its content - and the folder for its stems, a path or
        URL that the client can read.
    topic : str, optional
        Where to report progress: messages with the fields `stage`, `segment`, `segments` and `seconds_left` of
        :class:`separation.pipeline.result.SeparationProgress`, twice a second at most.

    Raises
    ------
    CancelledError
        If the client cancels the job or is gone; nothing of the result remains.
    """
    named = replace(job, file=Path(job.file.name)) if isinstance(job.file, Content) else job  # without the content
    try:
        with claim(job.folder, waiting=stop_if_cancelled):
            return replace(separate_song(job, _on_progress(topic)), job=named)
    except OSError as error:  # the folder cannot be claimed
        return JobResult(job=named, error=f"{error.filename or job.folder}: {error.strerror or error}")


def _on_progress(topic: str | None) -> Callable[[SeparationProgress], None]:
    last = -_REPORT_SECONDS

    def show(progress: SeparationProgress) -> None:
        nonlocal last
        if progress.stage != "done":  # then the result is complete
            stop_if_cancelled()
        if topic is not None and (time.monotonic() - last >= _REPORT_SECONDS or progress.stage == "done"):
            last = time.monotonic()
            fields = ("stage", "segment", "segments", "seconds_left")
            report(topic, {name: getattr(progress, name) for name in fields})

    return show
