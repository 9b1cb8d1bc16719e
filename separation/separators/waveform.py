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
from separation.separators.level import InputMatrices, LevelledSignal, check_level, input_matrices
from separation.separators.overlap_add import fade_window, overlap_add
from separation.separators.precision import Estimator
from separation.spectral.masks import ratio_mask
from separation.spectral.stft import StftConfig, istft, stft
from separation.weights.model import Model

__all__ = ["FILTER", "DemucsOptions", "WaveformSeparator"]

_READ_SIZE = 1 << 18  # samples per block of the level measurement

FILTER = StftConfig(n_fft=8192, hop_length=2048)  # for the soft masks; with an n_fft of 1024 their gain is lost


@dataclass(frozen=True, kw_only=True)
class DemucsOptions:
    """Options of ``demucs`` and ``hybrid-demucs``.

    Attributes
    ----------
    segment : float
        Length in seconds of the segments that the network processes; memory grows with it.
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
    level : "invariant" or "upstream"
        How to standardise. "invariant" measures a level that vanishes for silence only, undoes opposite polarity of the
        channels, and shares each channel's mean equally among the stems. "upstream" uses mean and deviation of the
        average of all channels and adds the mean to every stem. Without effect if `normalise` is false.
    """

    segment: float = 10.0
    overlap: float = 0.25
    shifts: int = 0
    seed: int = 0
    normalise: bool = True
    softmask: bool = False
    level: str = "invariant"

    def __post_init__(self) -> None:
        check_level(self.level)
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
        self._adopt(model)
        self.device = device
        self.options = options

    def segments(self, frames: int) -> int:
        return len(self._starts(frames))

    @property
    def _segment(self) -> int:
        return round(self.options.segment * self.sample_rate)

    @property
    def segments_per_batch(self) -> int:
        """Number of segments per batch, 40 s in all, since a wide LSTM takes little longer for them than for one."""
        return max(1, int(40 // self.options.segment))

    def _starts(self, frames: int) -> range:
        """Return the first samples of the segments, as upstream; the last ones may be contained in the previous one."""
        return range(0, frames, max(1, int((1 - self.options.overlap) * self._segment)))

    def input_length(self, length: int) -> int:
        """Return the samples of input that the network needs for `length` samples of estimates."""
        return length

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        if not self.options.normalise or self.options.level == "upstream":
            return self._estimates(mixture, *(_level(mixture) if self.options.normalise else (0.0, 1.0)))
        matrices = input_matrices(mixture, reference=1.0, floor=0.1)
        return self._restored(self._estimates(LevelledSignal(mixture, matrices), 0.0, 1.0), matrices)

    def _restored(self, blocks: Iterator[Tensor], matrices: InputMatrices) -> Iterator[Tensor]:
        """Bring estimates back to the level of the recording; its mean is shared equally among the stems."""
        for block in blocks:
            yield matrices.restore(block) + (matrices.mean / len(self.sources)).to(block)

    def _estimates(self, mixture: Signal, mean: float, scale: float) -> Iterator[Tensor]:
        """Yield the blocks of estimates; the network receives ``(mixture - mean) / scale``."""
        starts = self._starts(mixture.frames)
        estimator = _SegmentEstimator(self, mixture, starts, mean, scale)
        process = estimator.shifted if self.options.shifts else estimator.plain
        window = fade_window(self._segment, (self._segment + 1) // 2)
        return overlap_add(process, mixture.frames, starts=starts, window=window)


class _SegmentEstimator:
    """Estimates of the segments of one mixture, in order.

    Parameters
    ----------
    separator : WaveformSeparator
    mixture : Signal
    starts : range
        First samples of the segments.
    mean, scale : float
        The network receives ``(mixture - mean) / scale``.
    """

    def __init__(self, separator: WaveformSeparator, mixture: Signal, starts: range, mean: float, scale: float) -> None:
        self._separator, self._mixture, self._starts = separator, mixture, starts
        self._mean, self._scale = mean, scale
        self._generator = torch.Generator().manual_seed(separator.options.seed)
        self._computed: dict[int, Tensor] = {}  # estimates of the next segments, by their starts

    def plain(self, start: int, stop: int) -> Tensor:
        """Return the estimates of a segment, computing the next ones in the same batch."""
        if start not in self._computed:
            # The first segment is computed alone, for a quick first block, unless only one more follows.
            batch_size = self._separator.segments_per_batch if start or len(self._starts) == 2 else 1
            following = range(start, self._mixture.frames, self._starts.step)[:batch_size]
            spans = [(first, min(first + stop - start, self._mixture.frames)) for first in following]
            self._computed.update(zip(following, self._estimate(spans), strict=True))
        return self._computed.pop(start)

    def shifted(self, start: int, stop: int) -> Tensor:
        """Return the mean of the estimates of a segment with random context, of half a second in all."""
        n_shifts, context = self._separator.options.shifts, self._separator.sample_rate // 2
        total = torch.zeros(())
        for _ in range(n_shifts):
            before = int(torch.randint(0, context + 1, (), generator=self._generator))
            (estimate,) = self._estimate([(start - before, stop + context - before)])
            total = total + estimate[..., before : before + stop - start]
        return total / n_shifts

    def _estimate(self, spans: list[tuple[int, int]]) -> list[Tensor]:
        """Return the estimates (sources, channels, stop - start) of each span (start, stop) of the mixture."""
        inputs = [self._network_input(start, stop) for start, stop in spans]

        def finish(output: Tensor, length: int) -> Tensor:
            return center_trim(output.cpu(), length) * self._scale + self._mean

        lengths = [stop - start for start, stop in spans]
        estimates = list(map(finish, self._separator.network(inputs), lengths))
        if self._separator.options.softmask:
            estimates = list(map(_shares, estimates, map(finish, inputs, lengths)))
        return estimates

    def _network_input(self, start: int, stop: int) -> Tensor:
        """Return the standardised mixture from `start` to `stop` with the context that the network needs."""
        extra = self._separator.input_length(stop - start) - (stop - start)
        first, last = start - extra // 2, stop + extra - extra // 2
        x = (read_padded(self._mixture, first, last) - self._mean) / self._scale
        x[:, : max(0, -first)] = x[:, max(0, self._mixture.frames - first) :] = 0  # silence beyond the ends
        return x.to(self._separator.device)


def _shares(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Split a mixture (channels, time) among sources in proportion to estimates (sources, channels, time)."""
    length = mixture.shape[-1]
    missing = max(0, FILTER.n_fft - length)  # the last segment may be shorter than a frame
    X, Y = stft(F.pad(mixture, (0, missing)), FILTER), stft(F.pad(estimates, (0, missing)), FILTER)
    return istft(ratio_mask(Y.abs()) * X, FILTER, length=length)


def _level(mixture: Signal) -> tuple[float, float]:
    """Return the mean, and the standard deviation plus 1e-8, of the average of all channels, in float64."""
    count, mean, scatter = 0, 0.0, 0.0
    for block in iter_blocks(mixture, _READ_SIZE):
        mono = block.double().mean(0)
        block_mean, size = float(mono.mean()), mono.numel()
        shift = block_mean - mean
        scatter += float((mono - block_mean).square().sum()) + shift * shift * count * size / (count + size)
        mean += shift * size / (count + size)
        count += size
    return mean, math.sqrt(scatter / max(1, count - 1)) + 1e-8
