"""Audio signals that can be read in blocks, and audio in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from separation.audio.limits import Limits, check_format_limits
from separation.audio.stream import AudioError

__all__ = ["Audio", "AudioSource", "Signal", "TensorSignal"]


class Signal(Protocol):
    """A signal of `channels` channels and `frames` samples each, not necessarily in memory."""

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    @property
    def frames(self) -> int:
        """Length in samples per channel."""
        ...

    def read(self, start: int, stop: int) -> Tensor:
        """Return samples `start` to `stop`, within 0..frames, as float32 of shape (channels, stop - start)."""
        ...


class AudioSource(Signal, Protocol):
    """A signal with a sample rate, such as :class:`Audio` or :class:`separation.audio.files.Recording`."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        ...

    @property
    def duration(self) -> float:
        """Length in seconds."""
        ...

    @property
    def speakers(self) -> tuple[str, ...] | None:
        """Name of each channel; see :mod:`separation.audio.speakers`. None if unknown."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """Defects of the file that it was read from, such as truncation, one sentence each."""
        ...

    def digest(self) -> str:
        """Return the SHA-256 of the decoded samples, which is the same in any lossless container."""
        ...


@dataclass(frozen=True)
class TensorSignal:
    """A signal in memory, shape (channels, time)."""

    waveform: Tensor

    @property
    def channels(self) -> int:
        return self.waveform.shape[0]

    @property
    def frames(self) -> int:
        return self.waveform.shape[1]

    def read(self, start: int, stop: int) -> Tensor:
        return self.waveform[:, start:stop]


@dataclass(frozen=True, kw_only=True)
class Audio(TensorSignal):
    """Audio in memory.

    Attributes
    ----------
    waveform : Tensor, shape (channels, time), float32
        Finite samples; full scale is +-1, which float files may exceed. 1 to 8 channels, at least one sample.
    sample_rate : int
        Hz.
    speakers : tuple of str or None
        Name of each channel; see :mod:`separation.audio.speakers`. None if unknown.
    warnings : tuple of str
        Defects of the file that it was read from, such as truncation, one sentence each.
    """

    sample_rate: int
    speakers: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.waveform.dim() != 2 or self.waveform.dtype != torch.float32:
            shape, dtype = tuple(self.waveform.shape), self.waveform.dtype
            raise AudioError(f"expected a float32 waveform of shape (channels, time), got {dtype} {shape}")
        check_format_limits(self.sample_rate, self.channels, Limits())
        if self.frames == 0:
            raise AudioError("it contains no audio (0 samples)")
        if not bool(torch.isfinite(self.waveform).all()):
            count = int((~torch.isfinite(self.waveform)).sum())
            raise AudioError(f"{count} of its samples are NaN or infinite")

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate

    def digest(self) -> str:
        """Return the SHA-256 of the samples, as :meth:`AudioSource.digest` does."""
        return hashlib.sha256(self.waveform.T.contiguous().numpy().data).hexdigest()
