"""Audio signals: what can be read in blocks, in memory or on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from separation.audio.stream import MAX_CHANNELS, AudioError

__all__ = ["Audio", "AudioSource", "Signal", "TensorSignal"]


class Signal(Protocol):
    """Samples that need not be in memory: `frames` of them in each of `channels`."""

    @property
    def channels(self) -> int: ...

    @property
    def frames(self) -> int: ...

    def read(self, start: int, stop: int) -> Tensor:
        """Samples `start` to `stop`, within 0..frames: float32, shape (channels, stop - start)."""
        ...


class AudioSource(Signal, Protocol):
    """A signal with a rate, such as :class:`Audio` and :class:`Recording`."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def duration(self) -> float:
        """Seconds."""
        ...

    def digest(self) -> str:
        """SHA-256 of the decoded samples: the same for the same sound in any container."""
        ...


@dataclass(frozen=True)
class TensorSignal:
    """A signal in memory, shape (channels, time)."""

    samples: Tensor

    @property
    def channels(self) -> int:
        return self.samples.shape[0]

    @property
    def frames(self) -> int:
        return self.samples.shape[1]

    def read(self, start: int, stop: int) -> Tensor:
        return self.samples[:, start:stop]


@dataclass(frozen=True, kw_only=True)
class Audio:
    """A piece of sound in memory.

    Attributes
    ----------
    waveform : Tensor, shape (channels, time), float32
        Full scale is +-1; a float file may hold more. Finite, 1 to 8 channels, at least one frame.
    sample_rate : int
        Hz.
    """

    waveform: Tensor
    sample_rate: int

    def __post_init__(self) -> None:
        if self.waveform.dim() != 2 or self.waveform.dtype != torch.float32:
            shape, dtype = tuple(self.waveform.shape), self.waveform.dtype
            raise AudioError(f"expected a float32 waveform of shape (channels, time), got {dtype} {shape}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise AudioError(f"the sound has {self.channels} channels; 1 to {MAX_CHANNELS} are supported")
        if self.frames == 0:
            raise AudioError("there is no sound in it (0 samples)")
        if self.sample_rate <= 0:
            raise AudioError(f"the sample rate must be positive, got {self.sample_rate} Hz")
        if not bool(torch.isfinite(self.waveform).all()):
            count = int((~torch.isfinite(self.waveform)).sum())
            raise AudioError(f"{count} of its samples are NaN or infinite")

    @property
    def channels(self) -> int:
        return self.waveform.shape[0]

    @property
    def frames(self) -> int:
        return self.waveform.shape[1]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate

    def read(self, start: int, stop: int) -> Tensor:
        return self.waveform[:, start:stop]

    def digest(self) -> str:
        return hashlib.sha256(self.waveform.T.contiguous().numpy().data).hexdigest()
