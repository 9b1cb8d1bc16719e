"""Separation by networks that map a waveform to waveforms, in overlapping segments."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.audio.blocks import iter_blocks, read_padded
from separation.audio.signal import Signal
from separation.models.demucs import center_trim
from separation.separators.base import Separator
from separation.separators.level import check_level, levelled, standardise
from separation.separators.overlap_add import fade_window, in_step, overlap_add
from separation.separators.precision import Estimator, batch_seconds
from separation.spectral.masks import ratio_mask
from separation.spectral.stft import StftConfig, istft, stft
from separation.weights.model import Model

__all__ = ["FILTER", "DemucsOptions", "WaveformOptions", "WaveformSeparator"]

_READ_SIZE = 1 << 18  # samples per block of the level measurement

FILTER = StftConfig(n_fft=8192, hop_length=2048)  # for the soft masks; with an n_fft of 1024 their gain is lost


@dataclass(frozen=True, kw_only=True)
class WaveformOptions:
    """Options of all networks on waveforms.

    Attributes
    ----------
    segment : float
        Length in seconds of the segments that the network processes; memory grows with it.
    overlap : float
        Fraction of a segment shared with the next, from 0 to below 1.
    shifts : int
        Number of averaged estimates, each from segments that begin up to half a second earlier, at random; 0 is one
        estimate without offset. Each takes the time of a whole separation; 10 shifts gain about 0.2 dB.
    seed : int
        Seed of the offsets; they equal upstream's after ``random.seed(seed)``.
    normalise : bool
        Standardise by the mixture's mean and deviation, as the released models expect.
    level : "invariant" or "upstream"
        How to standardise. "invariant" measures a level that is zero for silence only, undoes opposite polarity of the
        channels, and shares each channel's mean equally among the stems. "upstream" uses mean and deviation of the
        average of all channels and adds the mean to every stem. It has no effect if `normalise` is false.
    """

    segment: float = 10.0
    overlap: float = 0.25
    shifts: int = 0
    seed: int = 0
    normalise: bool = True
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


@dataclass(frozen=True, kw_only=True)
class DemucsOptions(WaveformOptions):
    """Options of ``demucs`` and ``hybrid-demucs``: those of :class:`WaveformOptions`, and one more.

    Attributes
    ----------
    softmask : bool
        Return shares of the mixture, bin by bin in proportion to the estimates' magnitudes, instead of the
        estimates. This gains 0.3 dB with small networks, whose estimates are incomplete; the bundled model enables it.
    """

    softmask: bool = False


class WaveformSeparator(Separator):
    """Separation of songs of any length by networks from the mixture's waveform to the sources' waveforms.

    The estimates of `networks`, concatenated in order, are those of the model's sources.

    References
    ----------
    Défossez, Usunier, Bottou, Bach, arXiv:1911.13254: the shift trick (5.4), triangular weights.
    """

    options: WaveformOptions
    one_segment_per_core: ClassVar[bool] = False  #: whether to batch only one segment per core, since more save no time
    draws_per_segment: ClassVar[bool] = (
        False  #: whether upstream draws a random number per segment, which changes later shifts
    )

    def __init__(
        self, networks: Sequence[Estimator], model: Model, *, device: torch.device, options: WaveformOptions
    ) -> None:
        super().__init__()
        self.networks = networks
        self.softmask = isinstance(options, DemucsOptions) and options.softmask
        self._adopt(model, device, options)

    def segments(self, frames: int) -> int:
        """Return the number of blocks for a mixture of `frames` samples."""
        longest = max(max(leads) for leads in self._leads(frames))
        return -(-(longest + frames) // self._step) - longest // self._step

    @property
    def _segment(self) -> int:
        return int(self.options.segment * self.sample_rate)

    @property
    def _step(self) -> int:
        """Number of samples from one segment's start to the next one's."""
        return max(1, int((1 - self.options.overlap) * self._segment))

    @property
    def segments_per_batch(self) -> int:
        """Number of segments per batch; a wide LSTM takes little longer for several than for one."""
        limit = max(1, int(batch_seconds(self.device) // self.options.segment))
        return min(limit, torch.get_num_threads()) if self.one_segment_per_core and self.device.type == "cpu" else limit

    def input_length(self, length: int) -> int:
        """Return the samples of input that a network needs for `length` samples of estimates."""
        return length

    def _leads(self, frames: int) -> list[list[int]]:
        """Return the samples of silence before the mixture, per network and shift.

        Silence of up to half a second moves the boundaries of the segments.
        """
        if not self.options.shifts:
            return [[0]] * len(self.networks)
        generator, half = random.Random(self.options.seed), self.sample_rate // 2
        leads: list[list[int]] = [[] for _ in self.networks]
        for of_network in leads:
            for _ in range(self.options.shifts):
                of_network.append(half - generator.randint(0, half))
                if self.draws_per_segment:
                    for _ in range(0, of_network[-1] + frames, self._step):
                        generator.randrange(1)
        return leads

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        if not self.options.normalise or self.options.level == "upstream":
            return self._estimates(mixture, *(_level(mixture) if self.options.normalise else (0.0, 1.0)))
        matrices = standardise(mixture)
        return matrices.restore(self._estimates(levelled(mixture, matrices), 0.0, 1.0))

    def _estimates(self, mixture: Signal, mean: float, scale: float) -> Iterator[Tensor]:
        """Yield the blocks of estimates; the networks receive ``(mixture - mean) / scale``."""
        parts = [
            self._network_estimates(_SegmentEstimator(self, network, mixture, mean, scale), mixture.frames, leads)
            for network, leads in zip(self.networks, self._leads(mixture.frames), strict=True)
        ]
        for blocks in in_step(parts):
            if blocks[0].shape[-1]:
                yield torch.cat(blocks)

    def _network_estimates(self, estimator: _SegmentEstimator, frames: int, leads: list[int]) -> Iterator[Tensor]:
        """Yield the blocks of one network's estimates, which are means over shifts."""
        starts = [range(0, lead + frames, self._step) for lead in leads]
        spans = [
            (start - lead, min(start - lead + self._segment, frames))
            for of_all_shifts in zip_longest(*starts)
            for start, lead in zip(of_all_shifts, leads, strict=True)
            if start is not None
        ]
        estimates = estimator(spans)
        window = fade_window(self._segment, (self._segment + 1) // 2)
        shifts = [
            # All shifts advance together: they request their segments in the order of `spans`.
            _skip(overlap_add(lambda *_: next(estimates), lead + frames, starts=every, window=window), lead)
            for every, lead in zip(starts, leads, strict=True)
        ]
        for blocks in in_step(shifts):
            yield sum(blocks[1:], start=blocks[0]) / len(blocks)


class _SegmentEstimator:
    """Estimates of the segments of one mixture by one network, in order.

    Parameters
    ----------
    separator : WaveformSeparator
    network : Estimator
    mixture : Signal
    mean, scale : float
        The network receives ``(mixture - mean) / scale``.
    """

    def __init__(
        self, separator: WaveformSeparator, network: Estimator, mixture: Signal, mean: float, scale: float
    ) -> None:
        self._separator, self._network, self._mixture = separator, network, mixture
        self._mean, self._scale = mean, scale

    def __call__(self, spans: list[tuple[int, int]]) -> Iterator[Tensor]:
        """Yield the estimates (sources, channels, stop - start) of each span (start, stop), several in one batch."""
        # The first segment is computed alone, for a quick first block, unless only one more follows. If batches
        # hold one segment per core, this would cost memory: oneDNN would prepare other kernels for a single segment.
        full = self._separator.one_segment_per_core or len(spans) == 2
        done, size = 0, self._separator.segments_per_batch if full else 1
        while done < len(spans):
            batch = self._estimate(spans[done : done + size])
            done, size = done + size, self._separator.segments_per_batch
            while batch:
                yield batch.pop(0)

    def _estimate(self, spans: list[tuple[int, int]]) -> list[Tensor]:
        inputs = [self._network_input(start, stop) for start, stop in spans]

        def finish(output: Tensor, length: int) -> Tensor:
            return center_trim(output.cpu(), length) * self._scale + self._mean

        lengths = [stop - start for start, stop in spans]
        estimates = list(map(finish, self._network(inputs), lengths))
        if self._separator.softmask:
            estimates = list(map(_shares, estimates, map(finish, inputs, lengths)))
        return estimates

    def _network_input(self, start: int, stop: int) -> Tensor:
        """Return the standardised mixture from `start` to `stop` with the context that the network needs."""
        extra = self._separator.input_length(stop - start) - (stop - start)
        first, last = start - extra // 2, stop + extra - extra // 2
        x = (read_padded(self._mixture, first, last) - self._mean) / self._scale
        x[:, : max(0, -first)] = x[:, max(0, self._mixture.frames - first) :] = 0  # silence beyond the ends
        return x.to(self._separator.device)


def _skip(blocks: Iterator[Tensor], length: int) -> Iterator[Tensor]:
    """Remove the first `length` samples of a stream of blocks; blocks may become empty."""
    for block in blocks:
        yield block[..., length:]
        length = max(0, length - block.shape[-1])


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
