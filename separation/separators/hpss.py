"""Harmonic-percussive source separation, the best baseline without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from separation.audio.signal import Signal
from separation.separators.base import Separator
from separation.separators.overlap_add import fade_window, overlap_add
from separation.sources import SOURCES
from separation.spectral.masks import ratio_mask
from separation.spectral.stft import StftConfig, istft, stft

__all__ = ["SEGMENT_SECONDS", "HarmonicPercussive", "HarmonicPercussiveOptions"]

SEGMENT_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class HarmonicPercussiveOptions:
    """Options of ``hpss``.

    Attributes
    ----------
    crossover : float
        Frequency in Hz below which the harmonic part is assigned to the bass.
    kernel : int
        Length of the median filters in bins and in frames; odd, at least 3.
    """

    crossover: float = 180.0
    kernel: int = 31

    def __post_init__(self) -> None:
        if not 0 < self.crossover < float("inf"):
            raise ValueError(f"crossover must be positive (Hz), got {self.crossover}")
        if self.kernel < 3 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and at least 3, got {self.kernel}")


class HarmonicPercussive(Separator):
    """Harmonic-percussive separation, the best baseline that needs no training.

    The percussive part is assigned to the drums and the low harmonic part to the bass; vocals and other
    get half of the rest each. The stems sum to the mixture.

    References
    ----------
    Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010.
    """

    name = "hpss"
    sources = SOURCES
    segment_seconds = SEGMENT_SECONDS
    fade_seconds = 0.25

    def __init__(
        self, *, sample_rate: int = 44100, options: HarmonicPercussiveOptions = HarmonicPercussiveOptions()
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.options = options
        # Frames of 93 ms at any sample rate, so that the medians span the same time and frequency range.
        n_fft = max(64, 2 ** round(torch.tensor(sample_rate * 4096 / 44100).log2().item()))
        self.stft = StftConfig(n_fft=n_fft, hop_length=n_fft // 4)
        self.min_frames = n_fft

    def at(self, *, sample_rate: int, channels: int) -> HarmonicPercussive:
        """Return a separator for this sample rate; any number of channels is accepted."""
        return HarmonicPercussive(sample_rate=sample_rate, options=self.options)

    def segments(self, frames: int) -> int:
        """Return the number of blocks for a mixture of `frames` samples."""
        return len(self._starts(frames))

    def _starts(self, frames: int) -> range:
        segment, fade = round(self.segment_seconds * self.sample_rate), round(self.fade_seconds * self.sample_rate)
        return range(0, max(1, frames - fade), segment - fade)

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        length = mixture.frames
        context = self.options.kernel * self.stft.hop_length  # twice as far as the medians reach

        def process(start: int, stop: int) -> Tensor:
            first, last = max(0, start - context), min(length, stop + context)
            first -= first % self.stft.hop_length  # align the frames with those of the whole signal
            return self._split(mixture.read(first, last))[..., start - first : stop - first]

        window = fade_window(
            round(self.segment_seconds * self.sample_rate), round(self.fade_seconds * self.sample_rate)
        )
        return overlap_add(process, length, starts=self._starts(length), window=window)

    def _split(self, mixture: Tensor) -> Tensor:
        X = stft(mixture, self.stft)
        # Sharing one pair of masks among all channels preserves the stereo image and halves the time.
        harmonic, percussive = self._masks(X.abs().mean(0))
        crossover_bin = round(min(self.options.crossover, self.sample_rate) * self.stft.n_fft / self.sample_rate)
        bass, rest = harmonic, harmonic / 2
        bass[crossover_bin:] = 0
        rest[:crossover_bin] = 0
        length = mixture.shape[-1]
        # One after the other, since the inverse transform needs several times the memory of its result.
        low, high, short = (istft(mask * X, self.stft, length=length) for mask in (bass, rest, percussive))
        stems = {"vocals": high, "drums": short, "bass": low, "other": high}
        return torch.stack([stems[source] for source in self.sources])

    def _masks(self, magnitude: Tensor) -> Tensor:
        """Return the harmonic and the percussive mask of a magnitude spectrogram, shape (2, bins, frames).

        A median over time keeps sustained sounds, one over frequency broadband sounds.
        """
        spectrogram = magnitude.numpy()
        medians = [
            _running_median(spectrogram, self.options.kernel),
            _running_median(spectrogram.T, self.options.kernel).T,
        ]
        return ratio_mask(torch.from_numpy(np.stack(medians)), power=2.0, eps=1e-20)


def _running_median(rows: np.ndarray, size: int) -> np.ndarray:
    """Return the median of the `size` values around each value of each row; the ends are mirrored.

    All rows are filtered as one, since SciPy's filter of one dimension is ten times as fast as that of two.
    """
    from scipy.ndimage import median_filter  # only when used: the baseline without separation imports this module

    half = size // 2
    padded = np.pad(rows, ((0, 0), (half, half)), mode="symmetric")
    return median_filter(padded.ravel(), size=size).reshape(padded.shape)[:, half:-half]
