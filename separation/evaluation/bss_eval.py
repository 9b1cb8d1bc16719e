"""BSSEval v4 with the results of museval, an order of magnitude faster and in constant memory.

Every estimate is projected onto two subspaces. One is spanned by all channels of its own reference s, delayed by
0 to 511 samples: every signal that filters of 512 taps can make of s. The other is spanned by all references with
the same delays. The projections split the error of the estimate into spatial distortion, interference and artifacts:

    s_filter = projection onto the own reference    e_spatial      = s_filter - s
    s_all    = projection onto all references       e_interference = s_all - s_filter
                                                    e_artifacts    = estimate - s_all

    SDR = |s|^2 / |estimate - s|^2       SIR = |s_filter|^2 / |e_interference|^2
    ISR = |s|^2 / |e_spatial|^2          SAR = |s_all|^2 / |e_artifacts|^2

The filters that compute the projections are fitted once, to the whole signals. The ratios are computed frame by
frame: each frame is cut out, extended by 511 zeros for the filters' tail, and filtered. All arithmetic is in
float64: the correlation matrices of music have a condition number near 1e11, with which float32 is wrong by decibels.

References
----------
Vincent et al., "The signal separation evaluation campaign (2007-2010)", Signal Processing 92, 2012.
Stöter, Liutkus, Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from scipy.fft import next_fast_len
from torch import Tensor

__all__ = ["ArraySignals", "Scores", "Signals", "bss_eval"]

TAPS = 512
_BLOCK = 8192  # FFT length for the correlations, in samples
_BATCH = 1 << 21  # complex numbers per batch of blocks
_FRAMES = 1 << 22  # complex numbers per batch of frames
_BINS = 1024  # bins processed at a time, which fit the CPU's cache


class Signals(Protocol):
    """References or estimates, in memory or on disk."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (sources, channels, time)."""

    def read(self, start: int, stop: int) -> Tensor:
        """Return samples `start` to `stop` in float64, shape (sources, channels, stop - start)."""


@dataclass(frozen=True)
class ArraySignals:
    """Signals in memory, shape (sources, channels, time)."""

    samples: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        sources, channels, time = self.samples.shape
        return sources, channels, time

    def read(self, start: int, stop: int) -> Tensor:
        return self.samples[..., start:stop].double()


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Ratios in dB, each of shape (sources, frames), and the estimate assigned to each source.

    A frame is NaN for all sources where any reference or estimate is silent. With fewer estimates than
    sources, a source without an estimate is NaN throughout, and its entry in `permutation` is None.
    """

    SDR: Tensor
    ISR: Tensor
    SIR: Tensor
    SAR: Tensor
    permutation: tuple[int | None, ...]


# Correlations.


def _correlations(references: Signals, estimates: Signals, device: torch.device) -> Tensor:
    """Return q[a, b, k] = sum over t of x_a[t] x_b[t + k], for a reference channel a, any channel b, 0 <= k < TAPS.

    Computed by overlap-save: the conjugate spectrum of each block of x_a, padded with zeros, is multiplied by the
    spectrum of the same block of x_b and the `TAPS` - 1 samples after it. The products are summed over all blocks
    before a single inverse transform.
    """
    sources, channels, time = references.shape
    hop = _BLOCK - TAPS + 1
    n_references = sources * channels
    n_all = n_references + estimates.shape[0] * channels
    total = torch.zeros((_BLOCK // 2 + 1, n_references, n_all), dtype=torch.complex128, device=device)
    blocks = max(1, _BATCH // (_BLOCK * n_all))
    for start in range(0, time, blocks * hop):
        stop = min(time, start + blocks * hop + TAPS - 1)
        both = torch.cat([signals.read(start, stop).flatten(0, 1) for signals in (references, estimates)]).to(device)
        count = min(blocks, -(-(time - start) // hop))
        both = torch.nn.functional.pad(both, (0, (count - 1) * hop + _BLOCK - both.shape[1]))
        segments = both.unfold(1, _BLOCK, hop)  # (all, blocks, _BLOCK)
        # Contiguous matrices: torch copies any other kind one bin at a time.
        spectra = torch.fft.rfft(segments).permute(2, 1, 0).contiguous()  # (bins, blocks, all)
        padded_spectra = torch.fft.rfft(segments[:n_references, :, :hop], n=_BLOCK).conj().permute(2, 0, 1).contiguous()
        total += padded_spectra @ spectra
    return torch.fft.irfft(total, n=_BLOCK, dim=0)[:TAPS].permute(1, 2, 0)


# Projection filters.


def _fit(correlations: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return the filters (references, TAPS, estimates) of the projections of some estimates onto some references.

    They solve the normal equations G h = d, where G[(a, i), (b, k)] = sum over t of x_a[t - i] x_b[t - k] and
    d[(a, i)] = sum over t of x_a[t - i] estimate[t]. The sum depends on i - k only, so that G
    consists of correlations.

    `rows` selects the reference channels, `columns` the estimate channels.
    """
    reference_correlations = correlations[rows, rows]
    count = reference_correlations.shape[0]
    gram = reference_correlations.new_empty((count * TAPS, count * TAPS))
    lags = torch.arange(TAPS, device=reference_correlations.device)
    difference = lags[:, None] - lags[None, :]  # i - k, for all rows i and columns k
    for row in range(count):
        # The correlation of channels a and b at lag -k is that of b and a at lag k.
        negative = reference_correlations[:, row].flip(-1)[:, :-1]
        both = torch.cat([negative, reference_correlations[row]], dim=-1)  # lags -(TAPS - 1) ... TAPS - 1
        block = both[:, difference + TAPS - 1]  # (count, TAPS, TAPS)
        gram[row * TAPS : (row + 1) * TAPS] = block.permute(1, 0, 2).reshape(TAPS, -1)
    target = correlations[rows, columns].permute(0, 2, 1).reshape(count * TAPS, -1)
    return _solve(gram, target).unflatten(0, (count, TAPS))


def _solve(gram: Tensor, target: Tensor) -> Tensor:
    """Solve the normal equations with museval's absolute regularisation, the machine epsilon."""
    diagonal = gram.diagonal()
    diagonal += torch.finfo(gram.dtype).eps
    factor, info = torch.linalg.cholesky_ex(gram)
    if not info:
        return torch.cholesky_solve(target, factor)
    # G is singular up to rounding, for example if two references are equal. A small multiple of the identity makes
    # it positive definite, and iterative refinement with the original G removes the effect on the solution.
    jittered = gram.clone()
    jittered.diagonal().add_(1e-12 * float(diagonal.max()))
    factor = torch.linalg.cholesky(jittered)
    solution = torch.cholesky_solve(target, factor)
    for _ in range(2):
        solution += torch.cholesky_solve(target - gram @ solution, factor)
    return solution


# Scores of frames.


def _frames(time: int, window: int, hop: int) -> list[slice]:
    """Return museval's frames: all complete windows, or the whole signal if it is shorter than one."""
    if window >= time:
        return [slice(0, time)]
    return [slice(start, start + window) for start in range(0, time - window + 1, hop)]


def _silent(frame: Tensor) -> Tensor:
    """Return which frames (frames, sources, channels, time) hold a source whose channels sum to zero throughout."""
    return (frame.sum(2) == 0).all(-1).any(-1)


@dataclass(frozen=True)
class _Filters:
    """Frequency responses of the projection filters.

    Attributes
    ----------
    points : int
        FFT length in samples.
    common : Tensor, shape (bins, reference channels, estimate channels)
        Projection onto all references.
    own : dict of (source, estimate) to Tensor, shape (bins, channels, channels)
        Projection of an estimate onto one source.
    """

    points: int
    common: Tensor
    own: dict[tuple[int, int], Tensor]


def _ratios(reference: Tensor, estimate: Tensor, filters: _Filters) -> dict[tuple[int, int], Tensor]:
    """Return SDR, ISR, SIR, SAR of each pair: frames (frames, sources, channels, time) -> (4, frames)."""
    channels = reference.shape[2]
    R, E = (torch.fft.rfft(x.flatten(1, 2), n=filters.points) for x in (reference, estimate))
    energies = {pair: reference.new_zeros(5, len(reference)) for pair in filters.own}
    for bins, weight in _bands(R.shape[-1], filters.points):
        r, e = (X[..., bins].permute(2, 0, 1).contiguous() for X in (R, E))  # (bins, frames, sources * channels)
        all_projected = r @ filters.common[bins]
        for (source, column), response in filters.own.items():
            reference_channels = slice(source * channels, (source + 1) * channels)
            estimate_channels = slice(column * channels, (column + 1) * channels)
            true, estimated = r[..., reference_channels], e[..., estimate_channels]
            projected, joint = true @ response[bins], all_projected[..., estimate_channels]
            parts = projected - true, projected, joint - projected, joint, estimated - joint
            energies[source, column] += weight / filters.points * torch.stack([_energy(part) for part in parts])
    scores = {}
    for source, column in filters.own:
        energy = reference[:, source].square().sum((1, 2))
        error = (estimate[:, column] - reference[:, source]).square().sum((1, 2))
        spatial, target, interference, joint_energy, artifacts = energies[source, column]
        ratios = energy / error, energy / spatial, target / interference, joint_energy / artifacts
        scores[source, column] = 10 * torch.log10(torch.stack(ratios))
    return scores


def _bands(count: int, points: int) -> Iterator[tuple[slice, int]]:
    """Yield slices of the `count` bins of a real FFT, with their weight in Parseval's theorem.

    The weight is 2, for the bin of negative frequency, except at 0 Hz and at half the sample rate.
    """
    last = count - 1 if points % 2 == 0 else count
    yield slice(0, 1), 1
    for first in range(1, last, _BINS):
        yield slice(first, min(first + _BINS, last)), 2
    if last < count:
        yield slice(last, count), 1


def _energy(X: Tensor) -> Tensor:
    """Sum |X|^2 over bins and channels: (bins, frames, channels) -> (frames,)."""
    return torch.linalg.vector_norm(torch.view_as_real(X), dim=(0, 2, 3)).square()


# The public function and its steps.


def bss_eval(
    references: Signals,
    estimates: Signals,
    *,
    window: int = 44100,
    hop: int = 44100,
    permute: bool = False,
    device: str | torch.device = "cpu",
) -> Scores:
    """Compute the scores of BSSEval v4, for source images and time-invariant distortion filters of 512 taps.

    Parameters
    ----------
    references, estimates : Signals, shape (sources, channels, time)
        Signals of the same shape. They are read twice in blocks, so that memory does not grow with time.
        There may be fewer estimates than references: without `permute`, they belong to the first references.
    window, hop : int
        Frame length and hop in samples; 1 s each in every published table. If the window is longer
        than the signals, they are one frame.
    permute : bool
        Assign estimates to sources so as to maximise the mean SIR, for methods that do not name their estimates.
    device : str
        Device for the computation; it must support float64.

    Raises
    ------
    ValueError
        If the shapes differ or the signals are empty.
    """
    sources, channels, time = references.shape
    n_estimates = estimates.shape[0]
    fewer = 0 < n_estimates < sources and estimates.shape[1:] == (channels, time)
    if not (references.shape == estimates.shape or fewer) or 0 in references.shape:
        raise ValueError(f"references and estimates must have one shape, got {references.shape} and {estimates.shape}")
    if window < 1 or hop < 1:
        raise ValueError(f"window and hop must be at least 1 sample, got {window} and {hop}")
    device = torch.device(device)
    pairs = [(j, k) for j in range(sources) for k in range(n_estimates) if permute or j == k]
    frames = _frames(time, window, hop)
    filters = _fit_all(references, estimates, pairs, frames[0].stop, device)
    scores = torch.full((4, sources, n_estimates, len(frames)), torch.nan, dtype=torch.float64)
    first = 0
    for batch in _batches(frames, filters.points * 3 * sources * channels):
        reference, estimate = (_cut(signals, batch).to(device) for signals in (references, estimates))
        audible = ~(_silent(reference) | _silent(estimate))
        indices = first + audible.nonzero()[:, 0].cpu()
        if len(indices):
            for (source, column), ratios in _ratios(reference[audible], estimate[audible], filters).items():
                scores[:, source, column, indices] = ratios.cpu()
        first += len(batch)
    return _ordered(scores, permute=permute)


def _fit_all(
    references: Signals, estimates: Signals, pairs: list[tuple[int, int]], longest: int, device: torch.device
) -> _Filters:
    sources, channels, _ = references.shape
    count, estimated = sources * channels, slice(sources * channels, (sources + estimates.shape[0]) * channels)
    correlations = _correlations(references, estimates, device)
    points = next_fast_len(longest + TAPS - 1, real=True)

    def respond(rows: slice, columns: slice) -> Tensor:
        return torch.fft.rfft(_fit(correlations, rows, columns), n=points, dim=1).permute(1, 0, 2).contiguous()

    pair_responses = {}
    for source in range(sources):
        fitted = respond(slice(source * channels, (source + 1) * channels), estimated)
        for pair in pairs:
            if pair[0] == source:
                pair_responses[pair] = fitted[..., pair[1] * channels : (pair[1] + 1) * channels].contiguous()
    return _Filters(points, respond(slice(0, count), estimated), pair_responses)


def _batches(frames: list[slice], numbers_per_frame: int) -> Iterator[list[slice]]:
    size = max(1, _FRAMES // numbers_per_frame)
    return (frames[first : first + size] for first in range(0, len(frames), size))


def _cut(signals: Signals, frames: list[slice]) -> Tensor:
    """Return the frames of the signals, shape (frames, sources, channels, time)."""
    return torch.stack([signals.read(frame.start, frame.stop) for frame in frames])


def _ordered(scores: Tensor, *, permute: bool) -> Scores:
    """Select the assigned estimates from scores (4, sources, estimates, frames)."""
    _, sources, estimates, frames = scores.shape
    orders = itertools.permutations(range(sources), estimates) if permute else [tuple(range(estimates))]
    rows = list(range(estimates))
    chosen = max(orders, key=lambda order: _mean(scores[2, list(order), rows]))  # the source of each estimate
    selected = torch.full((4, sources, frames), torch.nan, dtype=scores.dtype)
    selected[:, list(chosen)] = scores[:, list(chosen), rows]
    SDR, ISR, SIR, SAR = selected
    permutation = tuple(chosen.index(source) if source in chosen else None for source in range(sources))
    return Scores(SDR=SDR, ISR=ISR, SIR=SIR, SAR=SAR, permutation=permutation)


def _mean(values: Tensor) -> float:
    """Return the mean of the defined values, minus infinity if there are none."""
    mean = float(values.nanmean())
    return -math.inf if math.isnan(mean) else mean
