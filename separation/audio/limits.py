"""Limits on untrusted audio files, enforced while they are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from separation.audio.stream import MAX_CHANNELS, AudioError, AudioStream

__all__ = ["Limits", "check_duration", "check_format_limits", "limit_duration", "limit_size"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on untrusted audio files; unlimited by default.

    They are enforced while decoding, since headers cannot be trusted.

    Attributes
    ----------
    file_bytes : float
        Size of the file in bytes.
    seconds : float
        Length of the excerpt in seconds.
    channels : int
        Number of channels, at most 8.
    sample_rate : float
        Sample rate in Hz.
    decoded_bytes : float
        Size of everything that is decoded, including what precedes the excerpt, at four bytes per sample.
    """

    file_bytes: float = float("inf")
    seconds: float = float("inf")
    channels: int = MAX_CHANNELS
    sample_rate: float = float("inf")
    decoded_bytes: float = float("inf")


def check_format_limits(rate: int, channels: int, limits: Limits) -> None:
    """Raise AudioError if sample rate or channel count is unsupported or beyond the limits."""
    most = min(limits.channels, MAX_CHANNELS)
    if not 1 <= channels <= most:
        raise AudioError(f"the audio has {channels} channels; 1 to {most} are supported")
    if rate <= 0:
        raise AudioError(f"the sample rate must be positive, got {rate} Hz")
    if rate > limits.sample_rate:
        raise AudioError(f"its sample rate is {rate} Hz; the limit is {limits.sample_rate:g} Hz")


def check_duration(frames: int, rate: int, limits: Limits) -> None:
    """Raise AudioError if `frames` samples last longer than the limit."""
    if frames > limits.seconds * rate:
        raise AudioError(f"it lasts longer than {limits.seconds / 60:g} min, the limit: choose an excerpt")


def limit_duration(decoded: AudioStream, limits: Limits) -> Iterator[np.ndarray]:
    """Yield the stream's blocks; raise AudioError once they exceed the duration limit, whatever the header says."""
    frames = 0
    for block in decoded.blocks:
        frames += block.shape[1]
        check_duration(frames, decoded.sample_rate, limits)
        yield block


def limit_size(blocks: Iterator[np.ndarray], limits: Limits) -> Iterator[np.ndarray]:
    """Yield the blocks; raise AudioError once all that was decoded exceeds the size limit."""
    size = 0
    for block in blocks:
        size += 4 * block.size
        if size > limits.decoded_bytes:
            raise AudioError(f"it unpacks to more than {limits.decoded_bytes / 1e6:g} MB, the limit")
        yield block
