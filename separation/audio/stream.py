"""An open audio file as a stream of decoded blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["BLOCK", "MAX_CHANNELS", "AudioError", "AudioStream", "as_sentence", "to_frames"]

MAX_CHANNELS = 8

BLOCK = 1 << 16  # frames decoded at a time: small in memory, large enough to be fast


class AudioError(ValueError):
    """Raised for a file that cannot be used as audio; the message is one sentence for the user."""


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
    """

    sample_rate: int
    channels: int
    frames: int | None
    blocks: Iterator[np.ndarray]


def to_frames(seconds: float, rate: int) -> int:
    """Convert seconds to samples."""
    return round(min(seconds * rate, 2.0**62))


def as_sentence(error: Exception) -> str:
    """Return a decoder's error message without the file names and addresses that some add."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or "unknown format"
    return str(text).strip().rstrip(".").lower()
