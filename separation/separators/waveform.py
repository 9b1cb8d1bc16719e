"""Separation by networks that map a waveform to waveforms, in overlapping segments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.audio.blocks import iter_blocks, read_padded
from separation.audio.signal import Signal
from separation.models.demucs import center_trim
from separation.separators.base import Separator
from separation.separators.overlap_add import fade_window, overlap_add
from separation.separators.precision import Estimator
from separation.spectral.masks import ratio_mask
from separation.spectral.stft import StftConfig, istft, stft
from separation.weights.model import Model

__all__ = ["FILTER", "DemucsOptions", "WaveformSeparator"]

_READ = 1 << 18  # frames that are looked at at a time

FILTER = StftConfig(n_fft=8192, hop_length=2048)  # of the soft masks; 1024 costs what they gain


@dataclass(frozen=True, kw_only=True)
class DemucsOptions:
    """Options of ``demucs`` and ``hybrid-demucs``.

    Attributes
    ----------
    segment : float
        Seconds that the network processes at a time; memory grows with it.
    overlap : float
        Fraction of a segment shared with the next, from 0 to below 1.
    shifts : int
        Number of estimates at random offsets of up to half a second that are averaged; 0 is one estimate without
        offset. Each costs the time of a whole separation; 10 gain about 0.2 dB.
    seed : int
        Seed of the offsets.
    normalise : bool
        Standardise by the mixture's mean and deviation, as the released models expect.
    softmask : bool
        Return shares of the mixture, bin by bin in proportion to the estimates' magnitudes, instead of the
        estimates. This gains 0.3 dB with small networks, whose estimates are incomplete; the bundled one asks for it.
    """

    segment: float = 10.0
    overlap: float = 0.25
    shifts: int = 0
    seed: int = 0
    normalise: bool = True
    softmask: bool = False

    def __post_init__(self) -> None:
        if not 0.5 <= self.segment <= 600:
            raise ValueError(f"segment must be in 0.5..600 s, got {self.segment}")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must be in 0..1 (1 excluded), got {self.overlap}")
        if not 0 <= self.shifts <= 100:
            raise ValueError(f"shifts must be in 0..100, got {self.shifts}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2**63 (excluded), got {self.seed}")


class WaveformSeparator(Separator):
    """Separation of songs of any length by a network from the mixture's waveform to the sources' waveforms.

    References
    ----------
    Défossez, Usunier, Bottou, Bach, arXiv:1911.13254: the shift trick (5.4), triangular weights.
    """

    options: DemucsOptions

    def __init__(self, network: Estimator, model: Model, *, device: torch.device, options: DemucsOptions) -> None:
        super().__init__()
        self.network = network
        self.sources = model.sources
        self.sample_rate = model.sample_rate
        self.channels = model.channels
        self.model, self.model_hash = model.name, model.hash()
        self.device = device
        self.options = options

    def segments(self, frames: int) -> int:
        return len(self._starts(frames))

    @property
    def _segment(self) -> int:
        return round(self.options.segment * self.sample_rate)

    @property
    def segments_per_batch(self) -> int:
        """Number of segments per batch, 40 s in all: a wide LSTM takes little longer for them than for one."""
        return max(1, int(40 // self.options.segment))

    def _starts(self, frames: int) -> range:
        """Return the segments' first samples, as upstream; the last segments may lie within the previous one."""
        return range(0, frames, max(1, int((1 - self.options.overlap) * self._segment)))

    def input_length(self, length: int) -> int:
        """Return the samples of input that the network needs for `length` samples of estimates."""
        return length

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        mean, deviation = _level(mixture) if self.options.normalise else (0.0, 1.0)
        generator = torch.Generator().manual_seed(self.options.seed)  # the offsets are drawn segment by segment
        most = self.sample_rate // 2

        def context(start: int, stop: int) -> Tensor:
            extra = self.input_length(stop - start) - (stop - start)
            first, last = start - extra // 2, stop + extra - extra // 2
            found = (read_padded(mixture, first, last) - mean) / deviation
            found[:, : max(0, -first)] = found[:, max(0, mixture.frames - first) :] = 0  # beyond the ends is silence
            return found.to(self.device)

        def estimate(spans: list[tuple[int, int]]) -> list[Tensor]:
            heard = [context(*span) for span in spans]
            lengths = [stop - start for start, stop in spans]
            found = [center_trim(one.cpu(), size) for one, size in zip(self.network(heard), lengths, strict=True)]
            found = [one * deviation + mean for one in found]
            if self.options.softmask:
                own = [
                    center_trim(one.cpu(), size) * deviation + mean for one, size in zip(heard, lengths, strict=True)
                ]
                found = [_shares(one, part) for one, part in zip(found, own, strict=True)]
            return found

        ahead: dict[int, Tensor] = {}  # the next segments' estimates, by their starts

        def process(start: int, stop: int) -> Tensor:
            if not self.options.shifts:
                if start not in ahead:
                    # The first one alone, for whoever waits for a sound, unless one more is all that follows.
                    segments_per_batch = self.segments_per_batch if start or len(starts) == 2 else 1
                    following = range(start, length, starts.step)[:segments_per_batch]
                    spans = [(at, min(at + self._segment, length)) for at in following]
                    ahead.update(zip(following, estimate(spans), strict=True))
                return ahead.pop(start)
            total = torch.zeros(())
            for _ in range(self.options.shifts):
                early = int(torch.randint(0, most + 1, (), generator=generator))
                (shifted,) = estimate([(start - early, stop + most - early)])
                total = total + shifted[..., early : early + stop - start]
            return total / self.options.shifts

        length = mixture.frames
        starts = self._starts(length)
        window = fade_window(self._segment, (self._segment + 1) // 2)
        return overlap_add(process, length, starts=starts, window=window)


def _shares(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Split a mixture (channels, time) among sources in proportion to estimates (sources, channels, time)."""
    length = mixture.shape[-1]
    missing = max(0, FILTER.n_fft - length)  # an end may be shorter than a frame
    X, Y = stft(F.pad(mixture, (0, missing)), FILTER), stft(F.pad(estimates, (0, missing)), FILTER)
    return istft(ratio_mask(Y.abs()) * X, FILTER, length=length)


def _level(mixture: Signal) -> tuple[float, float]:
    """Return mean, and standard deviation + 1e-8, of the mean of the channels, in float64."""
    count, mean, spread = 0, 0.0, 0.0
    for piece in iter_blocks(mixture, _READ):
        mono = piece.double().mean(0)
        own, size = float(mono.mean()), mono.numel()
        shift = own - mean
        spread += float((mono - own).square().sum()) + shift * shift * count * size / (count + size)
        mean += shift * size / (count + size)
        count += size
    return mean, math.sqrt(spread / max(1, count - 1)) + 1e-8
