"""Songs to separate - uploads, samples, MUSDB18 tracks - and the visitor's references and estimates."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separation.datasets.sample_set import sample_set_folder
from separation.datasets.stem_folders import read_references, references_beside
from separation.resources import ASSETS
from separation.studio.limits import LIMITS
from separation.studio.results import storage

if TYPE_CHECKING:
    from torch import Tensor

    from separation.audio.signal import Audio, AudioSource
    from separation.datasets.musdb18 import Track

__all__ = [
    "SUM_OF_SOURCES",
    "Song",
    "StudioError",
    "check_choice",
    "check_excerpt",
    "musdb_tracks",
    "open_song",
    "samples",
    "with_estimates",
    "with_references",
]

SAMPLES = ASSETS / "samples"
SHORTEST_EXCERPT = 0.1  # seconds
SUM_OF_SOURCES = "sum of the true sources"  # name of a song that is made from them

log = logging.getLogger(__name__)


class StudioError(ValueError):
    """An error that the visitor can fix; the message is shown to them, at a `field` of the form if it names one."""

    def __init__(self, sentence: str, *, field: str = "") -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Song:
    """A song to separate, and its true sources if they are known.

    Attributes
    ----------
    name : str
        Name for display and for the archive.
    audio : AudioSource
        On disk for uploads, which may be long.
    start : float
        Start of the excerpt in the recording, in seconds.
    file : str or None
        Argument for the command line; None for a MUSDB18 track, which it cannot name.
    estimates : mapping of str to Tensor
        Another tool's stems of the same excerpt.
    """

    name: str
    audio: AudioSource
    references: Mapping[str, Tensor] | None = None
    start: float = 0.0
    file: str | None = None
    estimates: Mapping[str, Tensor] = field(default_factory=dict)

    def close(self) -> None:
        """Free the disk space of an upload."""
        from separation.audio.files import Recording

        if isinstance(self.audio, Recording):
            self.audio.close()


def check_choice(kind: str, choice: str | None, *, start: float = 0.0, duration: float | None = None) -> float | None:
    """Raise the errors that can be found without decoding; see :func:`open_song`.

    Returns the excerpt's length in seconds, or None if the file's header does not tell it.
    """
    from separation.audio.decoding import open_audio

    check_excerpt(start=start, duration=duration)
    if not choice:
        raise StudioError("Choose a song first: upload one, record one, or pick a sample.")
    if kind in ("upload", "sample"):
        file = choice if kind == "upload" else _sample(choice)
        with open_audio(file, start=start, duration=duration, limits=LIMITS) as audio:
            return None if audio.frames is None else audio.frames / audio.sample_rate
    with _reading_track():
        seconds = _musdb_track(choice).duration
    _refuse_start_after_end(start, seconds)
    return seconds - start if duration is None else min(duration, seconds - start)


def check_excerpt(*, start: float, duration: float | None) -> None:
    """Raise StudioError if no recording has such an excerpt."""
    if not 0 <= start < math.inf:
        raise StudioError(f"The excerpt must start at 0 s or later, not at {start:g} s.", field="start")
    if duration is not None and not SHORTEST_EXCERPT <= duration < math.inf:
        raise StudioError(f"The excerpt must last at least {SHORTEST_EXCERPT} s.", field="length")


def _sample(title: str) -> Path:
    path = samples().get(title)
    if path is None:
        raise StudioError("This sample does not exist.")
    return path


def _musdb_track(name: str) -> Track:
    track = musdb_tracks().get(name)
    if track is None:
        raise StudioError("This MUSDB18 track does not exist.")
    return track


@contextmanager
def _reading_track() -> Iterator[None]:
    """Log what is wrong with the files of a track, which the visitor cannot change."""
    try:
        yield
    except StudioError:
        raise
    except ValueError as error:
        log.exception("MUSDB18")
        raise StudioError("This MUSDB18 track cannot be read; the error has been logged.") from error


def _refuse_start_after_end(start: float, seconds: float) -> None:
    if start >= seconds:
        raise StudioError(f"The excerpt starts at {start:g} s, the track ends at {seconds:.1f} s.", field="start")


def samples() -> dict[str, Path]:
    """Return the bundled sample tracks by title."""
    return {path.parent.name.replace("-", " ").capitalize(): path for path in sorted(SAMPLES.glob("*/mixture.flac"))}


@cache
def musdb_tracks() -> dict[str, Track]:
    """Return the tracks in ``MUSDB_ROOT``, or of the downloaded sample set, by name; empty if there are none."""
    root = os.environ.get("MUSDB_ROOT") or sample_set_folder()
    if not root:
        return {}
    from separation.datasets.musdb18 import tracks

    try:
        return {f"{track.name} ({track.subset})": track for track in tracks(root, wav=None)}
    except (OSError, ValueError) as error:
        log.warning("MUSDB_ROOT: %s", error)
        return {}


def open_song(kind: str, choice: str | None, *, start: float = 0.0, duration: float | None = None) -> Song:
    """Open an excerpt of a song.

    Parameters
    ----------
    kind : "upload", "sample" or "musdb"
    choice : str or None
        Path of an upload, or title of a sample or track.
    start, duration : float
        The excerpt in seconds.

    Raises
    ------
    StudioError
        If nothing is chosen or the choice is unknown.
    ValueError
        If it cannot be read.
    """
    from separation.audio.files import Recording, read

    check_excerpt(start=start, duration=duration)
    if not choice:
        raise StudioError("Choose a song first: upload one, record one, or pick a sample.")
    if kind == "upload":
        upload = Recording(choice, tempfile.gettempdir(), start=start, duration=duration, limits=LIMITS)
        return Song(name=Path(choice).name, audio=upload, start=start, file=Path(choice).name)
    if kind == "sample":
        path = _sample(choice)
        audio = read(path, start=start, duration=duration)
        stems = references_beside(path)
        assert stems is not None, "every sample comes with its sources"
        references = read_references(stems, frames=audio.frames, start=start, duration=duration)
        file = path.relative_to(SAMPLES.parent.parent).as_posix()
        return Song(name=choice, audio=audio, references=references, start=start, file=file)
    return _open_track(_musdb_track(choice), start=start, duration=duration)


def _open_track(track: Track, *, start: float, duration: float | None) -> Song:
    import torch

    from separation.audio.signal import Audio

    with _reading_track():
        mixture, references, rate = track.read()
    first = round(start * rate)
    last = mixture.shape[1] if duration is None else min(mixture.shape[1], first + round(duration * rate))
    _refuse_start_after_end(first / rate, mixture.shape[1] / rate)

    def cut(waveform: Any) -> Tensor:
        return torch.from_numpy(waveform[:, first:last].copy())

    audio = Audio(waveform=cut(mixture), sample_rate=rate)
    cut_references = {name: cut(wave) for name, wave in references.items()}
    return Song(name=track.name, audio=audio, references=cut_references, start=start)


def with_references(
    song: Song | None, files: Sequence[str], *, start: float = 0.0, duration: float | None = None
) -> Song:
    """Return a song with the visitor's true sources; without a song, their sum is used as the song.

    Raises
    ------
    ValueError
        If they cannot be read or do not fit the song.
    """
    from separation.audio.signal import Audio
    from separation.studio.inputs.uploads import read_stems

    with storage.scratch() as folder:
        stems = read_stems(files, folder, start=start, duration=duration)
    references = {name: audio.waveform for name, audio in stems.items()}
    if song is None:
        total = sum(references.values())
        audio = Audio(waveform=total, sample_rate=next(iter(stems.values())).sample_rate)  # type: ignore[arg-type]
        return Song(name=SUM_OF_SOURCES, audio=audio, references=references, start=start)
    _refuse_unfit(song, stems, "The true sources")
    return replace(song, references=references)


def with_estimates(song: Song, files: Sequence[str], *, duration: float | None = None) -> Song:
    """Return a song with another tool's stems, listed with the methods; raise ValueError if they do not fit."""
    from separation.studio.inputs.uploads import read_stems

    with storage.scratch() as folder:
        stems = read_stems(files, folder, start=song.start, duration=duration)
    _refuse_unfit(song, stems, "The stems of your separator")
    return replace(song, estimates={name: audio.waveform for name, audio in stems.items()})


def _refuse_unfit(song: Song, stems: Mapping[str, Audio], what: str) -> None:
    """Raise ValueError unless lengths match exactly: another length means another recording or a delay."""
    from separation.studio.inputs.uploads import exact_seconds

    one, audio = next(iter(stems.values())), song.audio
    if one.sample_rate != audio.sample_rate:
        raise StudioError(
            f"{what} have a sample rate of {one.sample_rate} Hz, but the song has {audio.sample_rate} Hz."
        )
    if one.channels != audio.channels:
        raise StudioError(f"{what} have {one.channels} channels, but the song has {audio.channels}.")
    if one.frames != audio.frames:
        lead = (one.frames - audio.frames) / audio.sample_rate
        raise StudioError(
            f"{what} are {exact_seconds(abs(lead))} s {'longer' if lead > 0 else 'shorter'} than the song."
        )
