"""Separate many songs: find the files, skip finished ones, run in turn or in parallel."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from separation.audio.files import Recording
from separation.datasets.stem_folders import read_references, references_beside
from separation.pipeline.result import Result, SeparationProgress
from separation.pipeline.to_folder import separate_to_folder
from separation.separators import METHODS, create
from separation.separators.base import Separator
from separation.workers.devices import claim_gpu
from separation.workers.executor import WORKER_DIED, map_jobs

__all__ = ["Job", "JobOptions", "JobResult", "check_options", "find_jobs", "separate_song", "separate_songs"]

SUFFIXES = {
    *(".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".aac"),
    *(".aiff", ".aif", ".caf", ".au", ".webm", ".mkv", ".mka", ".w64"),
}


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """How to separate each song: arguments of `create` and of `separate_to_folder`.

    Attributes
    ----------
    options : tuple of (str, str)
        Options of the method.
    command : str
        The command line that repeats the separation, for ``result.json``.
    """

    method: str
    model: str | None = None
    device: str = "auto"
    precision: str = "auto"
    options: tuple[tuple[str, str], ...] = ()
    start: float = 0.0
    duration: float | None = None
    stems: tuple[str, ...] | None = None
    format: str = "wav"
    float32: bool = False
    sum_to_mixture: bool = False
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A file, the folder for its stems, and the options; pickled for worker processes."""

    file: Path
    folder: Path
    order: JobOptions


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """The result of one job: `document` from :meth:`separation.pipeline.result.Result.document`, or an `error`.

    `skipped` means that an earlier result has the same weights and options.
    """

    song: Job
    document: dict[str, Any] | None = None
    error: str | None = None
    skipped: bool = False


# -- which songs -----------------------------------------------------------------------------------


def find_jobs(paths: Sequence[Path], out: Path, order: JobOptions) -> list[Job]:
    """Return a job for every file, and for every audio file in folders, recursively.

    Stems go to ``out/<file>/<method>``; for files found in a folder, its subfolders are kept.

    Raises
    ------
    ValueError
        If a folder holds no audio, or two files have the same output folder.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise ValueError(f"there is no sound file in {path.name!r}")
            places = {file: file.parent.relative_to(path) / _folder_name(file) for file in inside}
        else:
            places = {path: Path(_folder_name(path))}
        for file, place in places.items():
            if place in found.values():
                raise ValueError(
                    f"several files are called {str(place)!r}, and their stems would go to one folder: "
                    "separate them one by one"
                )
            found[file] = place
    return [Job(file=file, folder=out / place / order.method, order=order) for file, place in found.items()]


def _folder_name(file: Path) -> str:
    """Return the name of a file's output folder: valid Unicode, and never ``..``."""
    name = file.stem if file.stem.strip(".") else file.name
    return os.fsencode(name).decode("utf-8", "replace")


# -- one song --------------------------------------------------------------------------------------


def check_options(order: JobOptions) -> None:
    """Create the separator once, so that wrong options raise ValueError before any song is opened."""
    if order.method in METHODS and METHODS[order.method].needs_references:
        return
    _separator(order)


def separate_song(song: Job, show: Callable[[SeparationProgress], None] = lambda progress: None) -> JobResult:
    """Separate one song; errors are returned, not raised."""
    try:
        with claim_gpu(song.order.device):
            done = _existing_result(song)
            if done is not None:
                return JobResult(song=song, document=done, skipped=True)
            return JobResult(song=song, document=_separate(song, show).document())
    except ValueError as error:
        return JobResult(song=song, error=str(error))
    except OSError as error:
        return JobResult(song=song, error=f"{error.filename or song.file.name}: {error.strerror or error}")


def _separate(song: Job, show: Callable[[SeparationProgress], None]) -> Result:
    order = song.order
    with Recording(song.file, _existing(song.folder), start=order.start, duration=order.duration) as recording:
        steps = separate_to_folder(
            recording,
            _separator(order) if not METHODS[order.method].needs_references else _oracle(song, recording.frames),
            song.folder,
            name=str(song.file),
            stems=order.stems,
            format=order.format,
            float32=order.float32,
            sum_to_mixture=order.sum_to_mixture,
            origin={"command": order.command, "start": order.start, "asked": _cache_key(song)},
        )
        result = None
        for progress in steps:
            show(progress)
            result = progress.result
    assert result is not None, "the last step of a separation holds its result"
    return result


def _existing(folder: Path) -> Path:
    """Return the folder or its nearest existing parent, which is on the disk that the stems are written to."""
    return folder if folder.is_dir() else _existing(folder.absolute().parent)


@lru_cache(maxsize=1)
def _separator(order: JobOptions) -> Separator:
    """Create the separator once per process."""
    options = dict(order.options)
    return create(order.method, model=order.model, device=order.device, precision=order.precision, options=options)


def _oracle(song: Job, frames: int) -> Separator:
    order = song.order
    paths = references_beside(song.file)
    references = read_references(paths, frames=frames, start=order.start, duration=order.duration) if paths else None
    return create(order.method, device=order.device, options=dict(order.options), references=references)


# -- what is done already --------------------------------------------------------------------------


def _cache_key(song: Job) -> dict[str, Any]:
    """Return all that determines the stems except the weights; an edited file has another size or time."""
    state = song.file.stat()
    order = asdict(song.order) | {"options": dict(song.order.options)}
    del order["command"]
    asked = {"file": song.file.name, "bytes": state.st_size, "modified": state.st_mtime_ns, **order}
    plain: dict[str, Any] = json.loads(json.dumps(asked))  # as it comes back from the card: lists, not tuples
    return plain


def _existing_result(song: Job) -> dict[str, Any] | None:
    """Return the document of an earlier result with the same inputs, or None if no complete one exists."""
    card = song.folder / "result.json"
    if METHODS[song.order.method].needs_references or not card.is_file():
        return None
    try:
        found = json.loads(card.read_text("utf-8"))
        stems = {source: song.folder / name for source, name in found["stems"].items()}
        same = found["asked"] == _cache_key(song) and found["model_sha256"] == _separator(song.order).model_hash
        if not same or not all(path.is_file() for path in stems.values()):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not a card of ours
        return None
    fields = {name: value for name, value in found.items() if name in Result.__dataclass_fields__}
    return fields | {
        "input": str(song.file),
        "stems": {source: str(path) for source, path in stems.items()},
        "card": str(card),
    }


# -- many songs ------------------------------------------------------------------------------------


def separate_songs(songs: Sequence[Job], *, workers: int = 1, cluster: str | None = None) -> Iterator[JobResult]:
    """Separate all songs, yielding each result as it finishes; see :func:`separation.workers.executor.map_jobs`."""
    device = songs[0].order.device if songs else "auto"
    yield from map_jobs(separate_song, songs, lost=_worker_died, workers=workers, cluster=cluster, device=device)


def _worker_died(song: Job) -> JobResult:
    return JobResult(song=song, error=f"{song.file.name}: {WORKER_DIED}")
