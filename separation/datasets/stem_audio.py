"""Check and read the stem files of data sets and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from separation.audio.decoding import open_audio
from separation.audio.stream import AudioError
from separation.datasets.stem_files import StemFiles

if TYPE_CHECKING:
    import numpy as np

    from separation.audio.signal import Audio

__all__ = ["StemFormat", "check_formats", "measure_stem", "read_header", "read_stems", "stem_duration"]


@dataclass(frozen=True, kw_only=True)
class StemFormat:
    """The format of one file: in Hz, and in samples, or None if the header does not state the length."""

    sample_rate: int
    channels: int
    frames: int | None


def read_header(stems: StemFiles, path: Path) -> StemFormat:
    """Open a stem file and return the format in its header.

    Raises
    ------
    AudioError
        If it is missing, empty, not audio, or visibly cut off; the message names the file within the track's folder.
    """
    with _labelled(stems, path), open_audio(path, strict=True) as file:
        return StemFormat(sample_rate=file.sample_rate, channels=file.channels, frames=file.frames)


def measure_stem(stems: StemFiles, path: Path) -> StemFormat:
    """Decode a stem file block by block and return its format.

    Raises
    ------
    AudioError
        As :func:`read_header`, or if it is damaged or holds NaN or infinite samples.
    """
    import numpy as np

    frames, wrong = 0, 0
    with _labelled(stems, path):
        with open_audio(path, strict=True) as file:
            for block in file.blocks:
                frames += block.shape[1]
                wrong += block.size - int(np.isfinite(block).sum())
        if wrong:
            raise AudioError(f"cannot read {path.name!r}: {wrong} of its samples are NaN or infinite")
    return StemFormat(sample_rate=file.sample_rate, channels=file.channels, frames=frames)


@contextmanager
def _labelled(stems: StemFiles, path: Path) -> Iterator[None]:
    """Let errors name the file by its path within the track, since file names recur in many tracks."""
    try:
        yield
    except AudioError as error:
        raise AudioError(str(error).replace(repr(path.name), repr(stems.label(path)), 1)) from error


def check_formats(stems: StemFiles, formats: Mapping[Path, StemFormat | Audio]) -> None:
    """Raise ValueError if the files of a track have different formats; the message names two of them.

    Sample rates must agree. Numbers of channels and lengths must agree too unless ``stems.toml`` chose the files:
    then mono files count for both channels, and shorter ones are followed by silence.
    """
    for unit, values in (
        ("Hz", {path: format.sample_rate for path, format in formats.items()}),
        ("channels", {path: format.channels for path, format in formats.items()}),
        ("samples", {path: format.frames for path, format in formats.items() if format.frames is not None}),
    ):
        if stems.mapped and unit == "samples":
            continue
        if stems.mapped and unit == "channels":
            values = {path: channels for path, channels in values.items() if channels != 1}
        counted = Counter(values.values()).most_common()
        if len(counted) > 1:
            usual, rare = counted[0][0], counted[-1][0]
            odd = next(path for path, value in values.items() if value == rare)
            other = next(path for path, value in values.items() if value == usual)
            quantity = unit if rare != 1 else unit.removesuffix("s")
            raise ValueError(f"{stems.label(odd)!r} has {rare} {quantity} where {stems.label(other)!r} has {usual}")


def stem_duration(stems: StemFiles) -> float:
    """Check the headers of a track's files and return its duration in seconds.

    Raises
    ------
    ValueError
        If a file cannot be used, or their formats differ.
    """
    formats = {path: read_header(stems, path) for path in stems.checked().files}
    check_formats(stems, formats)
    lengths = [format.frames for format in formats.values() if format.frames is not None]
    if not lengths:  # no header states the length: decode one file
        lengths = [measure_stem(stems, stems.files[0]).frames or 0]
    return max(lengths) / next(iter(formats.values())).sample_rate


def read_stems(
    stems: StemFiles, *, start: float = 0.0, duration: float | None = None
) -> tuple[dict[str, np.ndarray], int]:
    """Decode the stems of a track, or of an excerpt of it.

    Parameters
    ----------
    stems : StemFiles
    start, duration : float
        The excerpt in seconds.

    Returns
    -------
    targets : dict of str to array, each of shape (channels, time), float32
    sample_rate : int
        Hz.

    Raises
    ------
    ValueError
        If a file cannot be used, or their formats differ; the message names the file.
    """
    import numpy as np

    from separation.audio.files import read

    audios = {}
    for path in stems.checked().files:
        with _labelled(stems, path):
            audios[path] = read(path, start=start, duration=duration, strict=True)
    check_formats(stems, audios)
    rate = next(iter(audios.values())).sample_rate
    shape = max(audio.channels for audio in audios.values()), max(audio.frames for audio in audios.values())
    targets = {}
    for target, paths in stems.targets.items():
        targets[target] = total = np.zeros(shape, np.float32)
        for path in paths:
            wave = audios.pop(path).waveform.numpy()
            total[:, : wave.shape[1]] += wave  # mono is added to every channel
    return targets, rate
