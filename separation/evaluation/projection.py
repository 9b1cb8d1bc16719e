"""The projection filters of BSSEval: least-squares filters of 512 taps from references to estimates.

The filters solve the normal equations G h = d. G holds the correlations of all references with each other at lags
below 512; :mod:`separation.evaluation.block_toeplitz` solves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.evaluation import block_toeplitz
from separation.evaluation.signals import Signals
from separation.workers.threads import map_parts, map_threads

__all__ = ["TAPS", "Projections", "fit_projections"]

TAPS = 512
_BLOCK = 4096  # FFT length for the correlations, in samples
_BATCH = 1 << 19  # complex numbers per batch of blocks


@dataclass(frozen=True)
class Projections:
    """Frequency responses of the projection filters.

    Attributes
    ----------
    points : int
        FFT length in samples, which leaves room for the filters' tail.
    pairs : list of (source, estimate)
    responses : Tensor, shape (bins, reference channels, 2, pairs, channels), complex128
        From all references to two projections of the estimate of each pair: onto all references, and onto its
        own source.
    """

    points: int
    pairs: list[tuple[int, int]]
    responses: Tensor


def fit_projections(
    references: Signals, estimates: Signals, pairs: list[tuple[int, int]], *, longest: int, device: torch.device
) -> Projections:
    """Fit the filters to the whole signals.

    Parameters
    ----------
    references, estimates : Signals, shape (sources, channels, time)
    pairs : list of (source, estimate)
        Which estimates are projected onto which single source.
    longest : int
        Length in samples of the longest frame to be filtered.
    device : torch.device
    """
    sources, channels, _ = references.shape
    points = fft_length(longest + TAPS - 1)
    correlations = _correlations(references, estimates, device)
    rows = sources * channels
    parts = [slice(start, start + channels) for start in range(0, rows, channels)]
    # Side by side, on a core each: on two cores together, the small matrices of one take twice as long.
    (whole,), own = map_threads(lambda subspaces: _fit(correlations, subspaces), [[slice(0, rows)], parts])
    joint = _respond(whole, points).unflatten(-1, (-1, channels))
    shape = (points // 2 + 1, rows, 2, len(pairs), channels)
    responses = torch.zeros(shape, dtype=joint.dtype, device=device)
    responses[:, :, 0] = joint[:, :, [estimate for _, estimate in pairs]]
    for number, (source, estimate) in enumerate(pairs):
        responses[:, parts[source], 1, number] = _respond(own[source, :, :, parts[estimate]], points)
    return Projections(points, pairs, responses)


def fft_length(minimum: int) -> int:
    """Return the smallest product of powers of 2, 3 and 5 that is not below `minimum`: a fast length for an FFT."""
    odd = [3**three * 5**five for three in range(minimum.bit_length()) for five in range(minimum.bit_length())]
    return min(factor << (-(-minimum // factor) - 1).bit_length() for factor in odd if factor < 2 * minimum)


def _respond(filters: Tensor, points: int) -> Tensor:
    """Return frequency responses: filters (references, TAPS, estimates) -> (bins, references, estimates)."""
    return torch.fft.rfft(filters, n=points, dim=1).permute(1, 0, 2)


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
    batch = max(1, _BATCH // (_BLOCK * n_all))

    def spectra_of_products(first: int, last: int) -> Tensor:
        total = torch.zeros((_BLOCK // 2 + 1, n_references, n_all), dtype=torch.complex128, device=device)
        for block in range(first, last, batch):
            count = min(batch, last - block)
            start, stop = block * hop, min(time, (block + count) * hop + TAPS - 1)
            both = torch.cat([signals.read(start, stop).flatten(0, 1) for signals in (references, estimates)])
            both = F.pad(both.to(device), (0, (count - 1) * hop + _BLOCK - both.shape[1]))
            segments = both.unfold(1, _BLOCK, hop)  # (all, blocks, _BLOCK)
            # Contiguous matrices: torch copies any other kind one bin at a time.
            spectra = torch.fft.rfft(segments).permute(2, 1, 0).contiguous()  # (bins, blocks, all)
            padded = torch.fft.rfft(segments[:n_references, :, :hop], n=_BLOCK).permute(2, 0, 1).conj_physical()
            total.baddbmm_(padded.contiguous(), spectra)
        return total

    total = sum(map_parts(spectra_of_products, -(-time // hop)))
    assert isinstance(total, Tensor)
    return torch.fft.irfft(total, n=_BLOCK, dim=0)[:TAPS].permute(1, 2, 0)


# The normal equations.


def _fit(correlations: Tensor, subspaces: Sequence[slice]) -> Tensor:
    """Return the filters of the projections of all estimates onto each of some subspaces.

    They solve the normal equations G h = d, where G[(a, i), (b, k)] = sum over t of x_a[t - i] x_b[t - k] and
    d[(a, i)] = sum over t of x_a[t - i] estimate[t]. The sum depends on i - k only, so that G
    consists of correlations.

    A subspace is a slice of the reference channels, all of the same length. Returns shape (subspaces, channels of
    each, TAPS, estimate channels).
    """
    estimates = slice(len(correlations), None)
    gram = torch.stack([correlations[rows, rows] for rows in subspaces])
    target = torch.stack([correlations[rows, estimates].transpose(1, 2) for rows in subspaces])
    return block_toeplitz.solve(gram, target)
