"""The short-time Fourier transform, forth and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["StftConfig", "istft", "stft"]


@dataclass(frozen=True, kw_only=True)
class StftConfig:
    """Frame length and hop, in samples; the window is a periodic Hann window of `n_fft` samples."""

    n_fft: int = 4096
    hop_length: int = 1024

    def __post_init__(self) -> None:
        if self.n_fft < 2:
            raise ValueError(f"n_fft must be at least 2 samples, got {self.n_fft}")
        if not 0 < self.hop_length <= self.n_fft // 2:
            raise ValueError(f"hop_length must be in 1..{self.n_fft // 2} samples, got {self.hop_length}")

    @property
    def n_bins(self) -> int:
        return self.n_fft // 2 + 1

    def window(self, like: Tensor) -> Tensor:
        return torch.hann_window(self.n_fft, dtype=like.dtype, device=like.device)


def stft(waveform: Tensor, config: StftConfig) -> Tensor:
    """Complex spectrogram of a real waveform.

    Frames are centred on multiples of the hop, the ends mirrored, as Open-Unmix does at inference.

    Shape
    -----
    waveform : (..., time), time > n_fft // 2
    output : (..., bins, frames), frames = time // hop_length + 1

    Invariant
    ---------
    ``istft(stft(x), length=x.shape[-1])`` is ``x`` up to rounding.
    """
    flat = waveform.reshape(-1, waveform.shape[-1])
    window = config.window(waveform)
    spectrogram = torch.stft(flat, config.n_fft, config.hop_length, window=window, center=True, return_complex=True)
    return spectrogram.reshape(*waveform.shape[:-1], *spectrogram.shape[-2:])


def istft(spectrogram: Tensor, config: StftConfig, *, length: int) -> Tensor:
    """Waveform of `length` samples from its :func:`stft`, (..., bins, frames) -> (..., length)."""
    flat = spectrogram.reshape(-1, *spectrogram.shape[-2:])
    window = config.window(flat.real)
    waveform = torch.istft(flat, config.n_fft, config.hop_length, window=window, center=True, length=length)
    return waveform.reshape(*spectrogram.shape[:-2], length)
