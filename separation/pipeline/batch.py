"""Jobs of many songs: find the files, separate one song, skip finished ones."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from separation.audio.files import Recording
from separation.audio.suffixes import SUFFIXES
from separation.datasets.stem_files import is_hidden
from separation.datasets.stem_folders import read_references, references_beside
from separation.pipeline.ownership import RESULT_FILE, listed_files, read_manifest
from separation.pipeline.result import Result, SeparationProgress
from separation.pipeline.staged_folder import staged_folder
from separation.pipeline.storage import Content, Location, Url, local_file
from separation.pipeline.to_folder import separate_to_folder
from separation.separators import create, find_method
from separation.separators.base import Separator
from separation.separators.loaded import load
from separation.separators.two_stems import TwoStems
from separation.workers.devices import claim_gpu

__all__ = ["Job", "JobOptions", "JobResult", "check_options", "find_jobs", "separate_song"]


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """Options of every separation; fields not listed are those of `create` and `separate_to_folder`.

    Attributes
    ----------
    start, duration : float, float or None
        The excerpt in seconds; see :func:`separation.audio.decoding.open_audio`.
    options : tuple of (str, str)
        Options of the method.
    two_stems : str or None
        Separate this source from the rest: :class:`separation.separators.two_stems.TwoStems`.
    strict : bool
        Raise an error for truncated or damaged files.
    command : str
        Command line that repeats the separation, recorded in ``result.json``.
    """

    method: str
    model: str | None = None
    device: str = "auto"
    precision: str = "auto"
    options: tuple[tuple[str, str], ...] = ()
    start: float = 0.0
    duration: float | None = None
    stems: tuple[str, ...] | None = None
    two_stems: str | None = None
    format: str = "wav"
    float32: bool = False
    sum_to_mixture: bool = False
    strict: bool = False
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A file, the folder for its stems, and the options; pickled for worker processes."""

    file: Location | Content
    folder: Location
    options: JobOptions


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """The result of one job: `document` from :meth:`separation.pipeline.result.Result.document`, or an `error`.

    `skipped` is True if the document is that of an earlier result with the same input, weights and options.
    """

    job: Job
    document: dict[str, Any] | None = None
    error: str | None = None
    skipped: bool = False


# Finding the songs.


def find_jobs(paths: Sequence[Location], out: Location, job_options: JobOptions) -> list[Job]:
    """Return a job for every file, and for every audio file in folders, recursively, that is no stem of a result.

    Stems go to ``out/<file>/<method>``; for files found in a folder, its subfolders are kept.

    Raises
    ------
    ValueError
        If the method is unknown, a folder holds no audio, two files have the same output folder, or an oracle is to
        read the true sources next to a URL.
    """
    method = find_method(job_options.method)
    folders: dict[Location, PurePath] = {}
    taken = set()
    for path in paths:
        if method.needs_references and isinstance(path, Url):
            raise ValueError(f"{method.name} reads the true sources next to the mixture: give a local file")
        if path.is_dir():
            songs = sorted(_songs(path))
            if not songs:
                raise ValueError(f"{path.name!r} contains no audio file")
            relative = {path / song: song.parent / _folder_name(song) for song in songs}
        else:
            relative = {path: PurePath(_folder_name(path))}
        for file, folder in relative.items():
            if _on_disk(folder) in taken:
                raise ValueError(
                    f"several files are called {str(folder)!r}, and their stems would go to one folder: "
                    "separate them one by one"
                )
            folders[file] = folder
            taken.add(_on_disk(folder))
    return [Job(file=file, folder=out / folder / method.name, options=job_options) for file, folder in folders.items()]


def _songs(folder: Location) -> list[PurePath]:
    """Return the audio files in a folder, relative to it, without the stems of earlier results in its subfolders."""
    if isinstance(folder, Url):
        files: list[PurePath] = [*folder.files()]
    else:
        files = [file.relative_to(folder) for file in _local_files(folder)]
    results = {file.parent for file in files if file.name == RESULT_FILE and file.parent.parts}
    stems = {result / name for result in results for name in listed_files(folder / result)}
    return [
        file
        for file in files
        if file.suffix.lower() in SUFFIXES and file not in stems and not any(is_hidden(part) for part in file.parts)
    ]


def _local_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders; warn of subfolders that cannot be read."""

    def report(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        warnings.warn(f"{Path(error.filename).relative_to(folder)} was skipped: {error.strerror}", stacklevel=3)

    for place, _, names in os.walk(folder, onerror=report):
        for file in (Path(place, name) for name in names):
            try:
                if file.is_file():
                    yield file
            except PermissionError as error:  # the folder may be listed, but not entered
                report(error)


def _on_disk(folder: PurePath) -> str:
    """Return what a file system compares: most of macOS and Windows ignore case."""
    return str(folder) if sys.platform.startswith("linux") else str(folder).casefold()


def _folder_name(file: PurePath | Url) -> str:
    """Return the name of a file's output folder: valid Unicode, and never ``..``."""
    name = file.stem if file.stem.strip(".") else file.name
    return os.fsencode(name).decode("utf-8", "replace")


# One song.


def check_options(job_options: JobOptions) -> None:
    """Create the separator once, so that wrong options raise ValueError before any song is opened."""
    if find_method(job_options.method).needs_references:
        return
    _separator(job_options)


def separate_song(job: Job, show: Callable[[SeparationProgress], None] = lambda progress: None) -> JobResult:
    """Separate one song; errors are returned, not raised."""
    try:
        with claim_gpu(job.options.device):
            existing = _existing_result(job)
            if existing is not None:
                return JobResult(job=job, document=existing, skipped=True)
            return JobResult(job=job, document=_located(_separate(job, show).document(), job))
    except ValueError as error:
        return JobResult(job=job, error=str(error))
    except OSError as error:
        return JobResult(job=job, error=f"{error.filename or job.file.name}: {error.strerror or error}")
    except (RuntimeError, MemoryError) as error:  # of torch, such as too little memory; other songs may need less
        return JobResult(job=job, error=f"{job.file.name}: {type(error).__name__}: {error}")


def _separate(job: Job, show: Callable[[SeparationProgress], None]) -> Result:
    with (
        staged_folder(job.folder, keep=job.options.stems is not None) as folder,
        local_file(job.file) as file,
        _open_recording(file, folder, job) as recording,
        closing(_steps(job, recording, folder)) as steps,  # an error in `show` cancels
    ):
        result = None
        for progress in steps:
            show(progress)
            result = progress.result
    assert result is not None, "the last step of a separation holds its result"
    return result


def _steps(job: Job, recording: Recording, folder: Path) -> Generator[SeparationProgress, None, None]:
    job_options = job.options
    needs_references = find_method(job_options.method).needs_references
    return separate_to_folder(
        recording,
        _oracle(job, recording.frames) if needs_references else _separator(job_options),
        folder,
        name=str(job.file),
        stems=job_options.stems,
        format=job_options.format,
        float32=job_options.float32,
        sum_to_mixture=job_options.sum_to_mixture,
        origin={"command": job_options.command, "start": job_options.start, "asked": _cache_key(job)},
    )


def _located(document: dict[str, Any], job: Job) -> dict[str, Any]:
    """Return the document of a result with the locations of its files in the job's folder."""
    stems = {source: str(job.folder / Path(name).name) for source, name in document["stems"].items()}
    return {**document, "input": str(job.file), "stems": stems, "card": str(job.folder / RESULT_FILE)}


def _open_recording(file: Path, folder: Path, job: Job) -> Recording:
    """Open the song, decoded to a temporary file on the disk of the stems; an OSError names the stems' folder."""
    scratch = _existing(folder)
    try:
        options = job.options
        return Recording(file, scratch, start=options.start, duration=options.duration, strict=options.strict)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)).parent == scratch != file.parent:
            error.filename = str(job.folder)  # the name that the user knows
        raise


def _existing(folder: Path) -> Path:
    """Return the folder or its nearest existing parent, which is on the disk that the stems are written to."""
    return folder if folder.is_dir() else _existing(folder.absolute().parent)


def _separator(job_options: JobOptions) -> Separator:
    """Return the separator of a job; its model stays in memory for other songs, excerpts and commands."""
    separator = load(
        job_options.method,
        model=job_options.model,
        device=job_options.device,
        precision=job_options.precision,
        options=dict(job_options.options),
    )
    return _chosen_stems(separator, job_options)


def _chosen_stems(separator: Separator, job_options: JobOptions) -> Separator:
    return TwoStems(separator, job_options.two_stems) if job_options.two_stems else separator


def _oracle(job: Job, frames: int) -> Separator:
    job_options = job.options
    assert isinstance(job.file, Path), "find_jobs refuses oracles of URLs"
    stems = references_beside(job.file)
    references = (
        read_references(stems, frames=frames, start=job_options.start, duration=job_options.duration) if stems else None
    )
    separator = create(
        job_options.method, device=job_options.device, options=dict(job_options.options), references=references
    )
    return _chosen_stems(separator, job_options)


# Earlier results.


def _cache_key(job: Job) -> dict[str, Any]:
    """Return everything that determines the stems except the weights; editing a file changes its size or time."""
    state = job.file.stat()
    job_options = asdict(job.options) | {"options": dict(job.options.options)}
    del job_options["command"]
    if preset := find_method(job.options.method).preset:  # a file that may have been edited
        job_options["preset"] = hashlib.sha256(repr(preset).encode()).hexdigest()[:16]
    for name in ("two_stems", "strict"):  # omitted if unset, as in results of earlier versions
        if not job_options[name]:
            del job_options[name]
    inputs = {"file": job.file.name, "bytes": state.st_size, "modified": state.st_mtime_ns, **job_options}
    document: dict[str, Any] = json.loads(json.dumps(inputs))  # with lists instead of tuples, as read from result.json
    return document


def _existing_result(job: Job) -> dict[str, Any] | None:
    """Return the document of an earlier result with the same inputs, or None if no complete one exists."""
    document = read_manifest(job.folder)
    if find_method(job.options.method).needs_references or document is None:
        return None
    try:
        stems = [job.folder / name for name in document["stems"].values()]
        same = document["asked"] == _cache_key(job) and document["model_sha256"] == _separator(job.options).model_hash
        if not same or not all(path.is_file() for path in stems):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not one of our result.json files
        return None
    fields = {name: value for name, value in document.items() if name in Result.__dataclass_fields__}
    return _located(fields, job)
