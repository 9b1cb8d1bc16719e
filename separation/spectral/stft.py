"""The short-time Fourier transform and its inverse, of whole signals or of a few frames at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["InverseStft", "StftConfig", "frames_between", "istft", "stft"]


@dataclass(frozen=True, kw_only=True)
class StftConfig:
    """Frame length and hop in samples; the window is a periodic Hann window of `n_fft` samples."""

    n_fft: int = 4096
    hop_length: int = 1024

    def __post_init__(self) -> None:
        if self.n_fft < 2:
            raise ValueError(f"n_fft must be at least 2 samples, got {self.n_fft}")
        if not 0 < self.hop_length <= self.n_fft // 2:
            raise ValueError(f"hop_length must be in 1..{self.n_fft // 2} samples, got {self.hop_length}")

    @property
    def n_bins(self) -> int:
        """Number of frequency bins, from 0 Hz to half the sample rate."""
        return self.n_fft // 2 + 1

    def window(self, like: Tensor) -> Tensor:
        """Return the window, shape (n_fft,), with the type and device of a tensor."""
        return torch.hann_window(self.n_fft, dtype=like.dtype, device=like.device)


def stft(waveform: Tensor, config: StftConfig) -> Tensor:
    """Return the complex spectrogram of a real waveform.

    Frames are centred on multiples of the hop and the ends are mirrored, as in Open-Unmix.

    Shape
    -----
    waveform : (..., time), time > n_fft // 2
    output : (..., bins, frames), frames = time // hop_length + 1

    Invariant
    ---------
    ``istft(stft(x), length=x.shape[-1])`` is ``x`` up to rounding.

    Examples
    --------
    >>> waveform, config = torch.rand(2, 44100), StftConfig()
    >>> spectrogram = stft(waveform, config)
    >>> spectrogram.shape
    torch.Size([2, 2049, 44])
    >>> torch.allclose(istft(spectrogram, config, length=44100), waveform, atol=1e-6)
    True
    """
    flat = waveform.reshape(-1, waveform.shape[-1])
    window = config.window(waveform)
    spectrogram = torch.stft(flat, config.n_fft, config.hop_length, window=window, center=True, return_complex=True)
    return spectrogram.reshape(*waveform.shape[:-1], *spectrogram.shape[-2:])


def istft(spectrogram: Tensor, config: StftConfig, *, length: int) -> Tensor:
    """Invert :func:`stft`.

    Parameters
    ----------
    spectrogram : Tensor, shape (..., bins, frames), complex
    config : StftConfig
    length : int
        Length of the waveform in samples.

    Returns
    -------
    Tensor, shape (..., length)
    """
    flat = spectrogram.reshape(-1, *spectrogram.shape[-2:])
    window = config.window(flat.real)
    waveform = torch.istft(flat, config.n_fft, config.hop_length, window=window, center=True, length=length)
    return waveform.reshape(*spectrogram.shape[:-2], length)


def frames_between(
    read: Callable[[int, int], Tensor], length: int, first: int, last: int, config: StftConfig
) -> Tensor:
    """Return frames `first` to `last` of a signal's :func:`stft`, reading only the samples they need.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` returns samples of the signal, shape (..., stop - start).
    length : int
        Length of the signal in samples, at least ``n_fft``.
    first, last : int
        Range of frames, without `last`.
    config : StftConfig

    Returns
    -------
    Tensor, shape (..., bins, last - first)
    """
    half, hop = config.n_fft // 2, config.hop_length
    start, stop = first * hop - half, (last - 1) * hop + config.n_fft - half
    # Samples beyond the ends are mirrored from samples inside, which must be read too.
    before, after = max(0, -start), max(0, stop - length)
    low, high = min(max(0, start), length - after - 1), max(min(stop, length), before + 1)
    samples = read(low, high)
    flat = F.pad(samples.reshape(1, -1, high - low), (before, after), mode="reflect")[0]
    low -= before
    flat = flat[:, start - low : stop - low]
    window = config.window(samples)
    spectrogram = torch.stft(flat, config.n_fft, hop, window=window, center=False, return_complex=True)
    return spectrogram.reshape(*samples.shape[:-1], config.n_bins, last - first)


class InverseStft:
    """A streaming :func:`istft`, fed a few frames at a time.

    Parameters
    ----------
    config : StftConfig
    length : int
        Length of the whole output in samples.
    lead : int, optional
        Samples of the first frame before the signal; by default half a frame, as in :func:`stft`.
    """

    def __init__(self, config: StftConfig, length: int, *, lead: int | None = None) -> None:
        self.config = config
        self._skip = config.n_fft // 2 if lead is None else lead  # samples before the signal still to be dropped
        self._left = length
        self._rest: tuple[Tensor, Tensor] | None = None

    def __call__(self, spectrogram: Tensor, *, last: bool) -> Tensor:
        """Return the samples that are final; with `last`, all that remain.

        `spectrogram` holds the next frames, shape (..., bins, frames); the result has the shape (..., time).
        """
        frames = torch.fft.irfft(spectrogram.mT, n=self.config.n_fft)
        window = self.config.window(frames)
        signal = self._overlap(frames.mul_(window))
        weight = self._overlap((window * window).expand(frames.shape[-2], -1))
        if self._rest is not None:
            for total, rest in zip((signal, weight), self._rest, strict=True):
                total[..., : rest.shape[-1]] += rest
        ready = signal.shape[-1] if last else frames.shape[-2] * self.config.hop_length
        self._rest = signal[..., ready:].clone(), weight[ready:].clone()
        inside = slice(min(self._skip, ready), min(ready, self._skip + self._left))
        self._skip -= inside.start
        self._left -= inside.stop - inside.start
        return signal[..., inside] / weight[inside]

    def _overlap(self, frames: Tensor) -> Tensor:
        """Add frames one hop apart: (..., frames, n_fft) -> (..., time)."""
        hop = self.config.hop_length
        taps = -(-frames.shape[-1] // hop)
        if missing := taps * hop - frames.shape[-1]:
            frames = F.pad(frames, (0, missing))
        count = frames.shape[-2]
        total = frames.new_zeros((*frames.shape[:-2], count + taps - 1, hop))
        for tap in range(taps):
            total[..., tap : tap + count, :] += frames[..., tap * hop : (tap + 1) * hop]
        return total.flatten(-2)[..., : (count - 1) * hop + self.config.n_fft]
