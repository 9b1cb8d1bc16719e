"""What the studio does, without Gradio: from a chosen song to results that can be shown."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shlex
import shutil
import tempfile
import time
import zipfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separation.data.folders import read_references, references_beside
from separation.separators import METHODS, Method

if TYPE_CHECKING:
    from torch import Tensor

    from separation.audio import Audio
    from separation.data.musdb18 import Track
    from separation.pipeline import Result
    from separation.separators.base import Separator

__all__ = ["Song", "StudioError", "Update", "musdb_tracks", "open_song", "samples", "separate_song", "warm_up"]

SAMPLES = Path(__file__).resolve().parents[2] / "assets" / "samples"
RESULTS = Path(tempfile.gettempdir()) / f"stemscope-{os.getuid()}"  # each run in a folder nobody can guess
KEEP_SECONDS = 3600.0
SHORTEST_EXCERPT = 0.1  # seconds

_own_folders: list[Path] = []

log = logging.getLogger(__name__)


class StudioError(ValueError):
    """Something the visitor can mend; the message is for them."""


@dataclass(frozen=True, kw_only=True)
class Song:
    """What is to be taken apart, and its true sources where they are known.

    Attributes
    ----------
    name : str
        For people and for the archive.
    start : float
        Seconds into the recording at which the excerpt begins.
    file : str or None
        What the command line would be given; None for a MUSDB18 track, which it cannot name.
    """

    name: str
    audio: Audio
    references: Mapping[str, Tensor] | None = None
    start: float = 0.0
    file: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stem:
    """One sound on the page."""

    name: str
    path: Path
    picture: Path


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One method's section of the page."""

    method: Method
    result: Result
    stems: tuple[Stem, ...]
    archive: Path


@dataclass(frozen=True, kw_only=True)
class Update:
    """Where the work is, and what is finished so far.

    Attributes
    ----------
    title, details : str, tuple of str
        For people.
    share : float or None
        Of everything, 0 to 1.
    known : tuple of Stem
        The excerpt itself, and its true sources if they are known, once they are read.
    results : tuple of MethodResult
        The finished methods.
    failed : tuple of str
        A sentence for each method that could not work.
    """

    title: str
    details: tuple[str, ...] = ()
    share: float | None = None
    known: tuple[Stem, ...] = ()
    results: tuple[MethodResult, ...] = ()
    failed: tuple[str, ...] = ()


# -- songs -----------------------------------------------------------------------------------------


def samples() -> dict[str, Path]:
    """The tracks that come with the project, by their title."""
    return {path.parent.name.replace("-", " ").capitalize(): path for path in sorted(SAMPLES.glob("*/mixture.flac"))}


@cache
def musdb_tracks() -> dict[str, Track]:
    """The tracks of the folder that ``MUSDB_ROOT`` names, by name; none if it is not set or not usable."""
    root = os.environ.get("MUSDB_ROOT")
    if not root:
        return {}
    from separation.data.musdb18 import list_tracks

    try:
        return {f"{track.name} ({track.subset})": track for track in list_tracks(root)}
    except ValueError as error:
        log.warning("MUSDB_ROOT: %s", error)
        return {}


def open_song(kind: str, choice: str | None, *, start: float = 0.0, duration: float | None = None) -> Song:
    """Read the excerpt of a song.

    Parameters
    ----------
    kind : "upload", "sample" or "musdb"
    choice : str or None
        The path of an upload, or the title of a sample or track.
    start, duration : float, seconds
        The excerpt.

    Raises
    ------
    StudioError
        If nothing is chosen or the choice is unknown.
    ValueError
        If it cannot be read.
    """
    from separation.audio import read

    if duration is not None and duration < SHORTEST_EXCERPT:
        raise StudioError(f"The excerpt must last at least {SHORTEST_EXCERPT} s.")
    if not choice:
        raise StudioError("Choose a song first: upload one, record one, or pick a sample.")
    if kind == "upload":
        audio = read(choice, start=start, duration=duration)
        return Song(name=Path(choice).name, audio=audio, start=start, file=Path(choice).name)
    if kind == "sample":
        path = samples().get(choice)
        if path is None:
            raise StudioError("There is no such sample.")
        audio = read(path, start=start, duration=duration)
        references = read_references(references_beside(path), frames=audio.frames, start=start, duration=duration)
        file = path.relative_to(SAMPLES.parent.parent).as_posix()
        return Song(name=path.parent.name, audio=audio, references=references, start=start, file=file)
    track = musdb_tracks().get(choice)
    if track is None:
        raise StudioError("There is no such MUSDB18 track.")
    return _open_track(track, start=start, duration=duration)


def _open_track(track: Track, *, start: float, duration: float | None) -> Song:
    import torch

    from separation.audio import Audio

    mixture, references, rate = track.read()
    first = round(start * rate)
    last = mixture.shape[1] if duration is None else min(mixture.shape[1], first + round(duration * rate))
    if first >= last:
        raise StudioError(f"The excerpt starts at {start:g} s, the track ends at {mixture.shape[1] / rate:.1f} s.")

    def cut(waveform: Any) -> Tensor:
        return torch.from_numpy(waveform[:, first:last].copy())

    audio = Audio(waveform=cut(mixture), sample_rate=rate)
    cut_references = {name: cut(wave) for name, wave in references.items()}
    return Song(name=track.name, audio=audio, references=cut_references, start=start)


# -- separating ------------------------------------------------------------------------------------


def separate_song(song: Song, methods: Sequence[str]) -> Generator[Update]:
    """Take a song apart by several methods, one after the other.

    A generator that stops within one segment when it is closed. A method that fails is named
    and the others go on; the results lie in a folder that :func:`sweep` removes after an hour.
    """
    if not methods:
        raise StudioError("Choose at least one method.")
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise StudioError("There is no such method.")
    sweep()
    began = time.monotonic()
    folder = _new_folder()
    results: list[MethodResult] = []
    try:
        yield Update(title="Reading the song", share=0.0)
        known, scale = _known_sounds(song, folder)
        yield Update(title="Reading the song", share=0.0, known=known)
        failed: list[str] = []
        for number, name in enumerate(methods):
            try:
                for update, result in _one_method(song, METHODS[name], folder, scale):
                    results += [result] if result else []
                    share = (number + (update.share or 0.0)) / len(methods)
                    yield replace(update, share=share, known=known, results=tuple(results), failed=tuple(failed))
            except (ValueError, OSError) as error:
                failed.append(f"{METHODS[name].title}: {_reason(error)}")
        title = "Done" if results else "Nothing could be separated"
        took = (f"{len(results)} of {len(methods)} methods in {time.monotonic() - began:.0f} s",) if results else ()
        yield Update(title=title, details=took, share=1.0, known=known, results=tuple(results), failed=tuple(failed))
    finally:
        if not results:
            shutil.rmtree(folder, ignore_errors=True)


def _reason(error: Exception) -> str:
    """A sentence without the paths that system errors carry."""
    return str(error) if isinstance(error, ValueError) else (getattr(error, "strerror", None) or "the disk refused")


def _one_method(
    song: Song, method: Method, folder: Path, scale: tuple[float, float]
) -> Iterator[tuple[Update, MethodResult | None]]:
    from separation.pipeline import separate_to_folder

    yield Update(title=method.title, details=("loading",), share=0.0), None
    separator = separator_for(method, song)
    place = folder / method.name
    result = None
    for progress in separate_to_folder(song.audio, separator, place, name=song.name, origin=_origin(song, method)):
        segments = max(progress.segments, 1)
        share = 0.9 * min(progress.segment / segments, 1.0)
        details = [progress.stage, f"segment {progress.segment} of {segments}", f"{round(100 * share)} %"]
        if progress.seconds_left is not None:
            details.append(f"{progress.seconds_left:.0f} s left")
        yield Update(title=method.title, details=(*details, f"on {separator.device}"), share=share), None
        result = progress.result
    assert result is not None, "the last step of a separation holds its result"
    yield Update(title=method.title, details=("drawing",), share=0.92), None
    stems = tuple(
        Stem(name=source, path=path, picture=_draw(source, path, scale)) for source, path in result.stems.items()
    )
    archive = _archive(result, place, song.name)
    done = MethodResult(method=method, result=result, stems=stems, archive=archive)
    yield Update(title=method.title, details=("done",), share=1.0), done


def _origin(song: Song, method: Method) -> dict[str, Any]:
    """Where the excerpt comes from, and the command that repeats the result."""
    origin: dict[str, Any] = {"start": song.start}
    if song.file is not None:
        excerpt = ["--start", f"{song.start:g}", "--duration", f"{song.audio.duration:.6f}"]
        words = ["python", "-m", "separation", "separate", song.file, "--method", method.name, *excerpt]
        origin["command"] = shlex.join(words)
    return origin


def separator_for(method: Method, song: Song) -> Separator:
    """A method's separator; those with weights are loaded once and kept."""
    from separation.separators import create

    if method.needs_references:
        if song.references is None:
            raise StudioError("an oracle needs the true sources; they are known for samples and MUSDB18 tracks only")
        return create(method.name, references=song.references)
    return _loaded(method.name) if method.has_model else create(method.name)


@cache
def _loaded(name: str) -> Separator:
    from separation.separators import create

    return create(name)


def warm_up() -> None:
    """Load what the first separation needs, so that the first visitor does not wait for it."""
    import separation.pipeline
    import separation.plots  # noqa: F401

    for name in ("open-unmix", "demucs"):
        try:
            _loaded(name)
        except ValueError as error:
            log.warning("%s: %s", name, error)


# -- what is shown ---------------------------------------------------------------------------------


def _known_sounds(song: Song, folder: Path) -> tuple[tuple[Stem, ...], tuple[float, float]]:
    """The mixture and true sources as sounds on the page, and the scales that all pictures share.

    The scales are the power that is 0 dB and the sample value at the waveform's edge.
    """
    import soundfile

    from separation.plots import picture_of

    picture = picture_of(song.audio.waveform, song.audio.sample_rate)
    scale = picture.loudest, max(1e-3, float(abs(picture.peaks).max()))
    stems = []
    for name, waveform in {"mixture": song.audio.waveform, **(song.references or {})}.items():
        path = folder / f"{name}.wav"
        soundfile.write(path, waveform.T.numpy(), song.audio.sample_rate, subtype="FLOAT")
        stems.append(Stem(name=name, path=path, picture=_draw(name, path, scale)))
    return tuple(stems), scale


def _draw(source: str, path: Path, scale: tuple[float, float]) -> Path:
    """The picture of a file, beside it."""
    from separation.audio import read
    from separation.plots import draw_sound, picture_of, save

    audio = read(path)
    loudest, peak = scale
    figure = draw_sound(picture_of(audio.waveform, audio.sample_rate), name=source, loudest=loudest, peak=peak)
    return save(figure, path.with_suffix(".png"))


def _archive(result: Result, folder: Path, name: str) -> Path:
    """All stems and result.json in one file; WAV hardly gets smaller, so nothing is compressed.

    Fifty characters of the name at most: file systems allow 255 bytes, and a character can take four.
    """
    path = folder / f"{Path(name).stem[:50]} - {result.method}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in (*result.stems.values(), result.card):
            archive.write(file, file.name)
    return path


def _new_folder() -> Path:
    """A folder for one run that only this user can look into, under a name that nobody can guess."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    if RESULTS.stat().st_uid != os.getuid():
        raise OSError(errno.EPERM, "the folder for results belongs to somebody else")
    RESULTS.chmod(0o700)
    folder = RESULTS / secrets.token_urlsafe(16)
    folder.mkdir(mode=0o700)
    _own_folders.append(folder)
    return folder


def remove_results() -> None:
    """Remove what this process has made: nothing of a visitor stays when the studio stops."""
    while _own_folders:
        shutil.rmtree(_own_folders.pop(), ignore_errors=True)


def sweep(now: float | None = None) -> None:
    """Remove results that are older than an hour."""
    now = time.time() if now is None else now
    for folder in RESULTS.glob("*"):
        try:
            if now - folder.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process was faster
            continue
