"""An open audio file as a stream of decoded blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["BLOCK", "MAX_CHANNELS", "AudioError", "AudioStream", "as_sentence", "to_frames"]

MAX_CHANNELS = 8

BLOCK = 1 << 16  # frames decoded at a time: small enough to forget, large enough to be fast


class AudioError(ValueError):
    """A file that cannot be used as sound; the message is one sentence for its owner."""


@dataclass(frozen=True, kw_only=True)
class AudioStream:
    """An open file, or an excerpt of it.

    Attributes
    ----------
    sample_rate : int
        Hz.
    channels : int
        1 to 8.
    frames : int or None
        How many `blocks` will hold; None if the file does not tell.
    blocks : iterator of float32 arrays, each (channels, some time)
        Full scale is +-1; may hold NaN. Raises AudioError where the file turns out to be damaged.
    """

    sample_rate: int
    channels: int
    frames: int | None
    blocks: Iterator[np.ndarray]


def to_frames(seconds: float, rate: int) -> int:
    return round(min(seconds * rate, 2.0**62))


def as_sentence(error: Exception) -> str:
    """What a decoder says, without the file names and addresses some of them add."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or "unknown format"
    return str(text).strip().rstrip(".").lower()
