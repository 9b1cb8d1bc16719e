"""An open audio file as a stream of decoded blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

__all__ = [
    "BLOCK",
    "MAX_CHANNELS",
    "AudioError",
    "AudioStream",
    "BeyondEndError",
    "DamageReport",
    "Excerpt",
    "as_sentence",
    "to_frames",
]

MAX_CHANNELS = 8

BLOCK = 1 << 16  # frames decoded at a time: small in memory, large enough to be fast


class AudioError(ValueError):
    """Raised for a file that cannot be used as audio; the message is one sentence for the user."""


class BeyondEndError(AudioError):
    """An excerpt that starts after the end of the recording."""


class DamageReport:
    """Collects the defects of a file that can still be read.

    Parameters
    ----------
    strict : bool
        Raise damage as an AudioError instead of noting it.
    """

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.warnings: list[str] = []

    def add(self, sentence: str) -> None:
        """Note that the file is cut or damaged; raise AudioError if the report is strict."""
        if self.strict:
            raise AudioError(sentence)
        self.note(sentence)

    def note(self, sentence: str) -> None:
        """Add a warning about something unusual that may be intended."""
        self.warnings.append(sentence)


@dataclass(frozen=True, kw_only=True)
class AudioStream:
    """An open audio file, or an excerpt of it.

    Attributes
    ----------
    sample_rate : int
        Hz.
    channels : int
        1 to 8.
    frames : int or None
        Total length of `blocks` in samples; None if the header does not say.
    blocks : iterator of float32 arrays, each (channels, time)
        Full scale is +-1; may hold NaN. Raises AudioError where the file is damaged.
    speakers : tuple of str or None
        Name of each channel; see :mod:`separation.audio.speakers`. None if the file does not state them.
    warnings : list of str
        Defects of the file, such as truncation, one sentence each; complete once all blocks are decoded.
    """

    sample_rate: int
    channels: int
    frames: int | None
    blocks: Iterator[np.ndarray]
    speakers: tuple[str, ...] | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Excerpt:
    """A part of a file; `duration` None means up to the end. Both are in seconds."""

    start: float = 0.0
    duration: float | None = None

    def first(self, rate: int) -> int:
        """Return the first sample."""
        return to_frames(self.start, rate)

    def last(self, rate: int) -> int | None:
        """Return the sample after the last one."""
        return None if self.duration is None else self.first(rate) + max(1, to_frames(self.duration, rate))

    def cut(self, blocks: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
        """Yield the excerpt of a whole decoded file; raise AudioError if the file ends before it."""
        first, last = self.first(rate), self.last(rate)
        position, nonempty = 0, False
        for block in blocks:
            begin, end = max(first - position, 0), block.shape[1] if last is None else max(last - position, 0)
            position += block.shape[1]
            if block[:, begin:end].shape[1]:
                nonempty = True
                yield block[:, begin:end]
            if last is not None and position >= last:
                break
        if position == 0:
            raise AudioError("it contains no audio (0 samples)")
        if not nonempty:
            raise self.beyond(position, rate)

    def beyond(self, frames: int, rate: int) -> AudioError:
        """Return the error for an excerpt that starts after the end."""
        return BeyondEndError(f"the excerpt starts at {self.start:g} s, but the audio ends at {frames / rate:.2f} s")


def to_frames(seconds: float, rate: int) -> int:
    """Convert seconds to samples."""
    return round(min(seconds * rate, 2.0**62))


def as_sentence(error: Exception) -> str:
    """Return a decoder's error message without the file names and addresses that some add."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or "unknown format"
    return str(text).strip().rstrip(".").lower()
