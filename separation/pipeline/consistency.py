"""Mixture consistency: the residual, and stems that sum to the mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from separation.audio.blocks import iter_blocks
from separation.audio.encoding import BLOCK, read_blocks
from separation.audio.signal import Signal

__all__ = ["MixtureConsistency", "residual_db"]

_ENERGY_SECONDS = 0.05  # time constant of the stems' energies

_NOTHING = 1e-20  # energy added to every stem, so that silent stems get equal shares


class MixtureConsistency:
    """Makes stems sum to the mixture by distributing the residual among them.

    The residual is distributed in proportion to the stems' energies, smoothed with a time constant of 50 ms. At every
    moment it goes to the stems that are audible then; silent stems stay silent. The smoothing continues from block to
    block, so that the result does not depend on the block size.

    Parameters
    ----------
    sources : int
        Number of stems.
    sample_rate : int
        Hz.
    """

    def __init__(self, sources: int, sample_rate: int) -> None:
        self._keep = math.exp(-1 / (_ENERGY_SECONDS * sample_rate))
        self._state = np.zeros((sources, 1))

    def __call__(self, mixture: Tensor, stems: Tensor) -> Tensor:
        """Adjust one block: (channels, time) and (sources, channels, time) -> (sources, channels, time)."""
        from scipy.signal import lfilter  # takes half a second to import, and few separations use it

        power = stems.double().square().sum(1).numpy()
        energy, self._state = lfilter([1 - self._keep], [1, -self._keep], power, zi=self._state)
        weights = torch.from_numpy(energy) + _NOTHING
        weights = (weights / weights.sum(0)).to(stems.dtype)[:, None]
        return stems + weights * (mixture - stems.sum(0))


def residual_db(mixture: Signal, stems: Sequence[Path]) -> float | None:
    """Return the energy of (mixture - written stems) relative to the mixture's, in dB; None if either is 0."""
    residual = energy = 0.0
    written = zip(*(read_blocks(path) for path in stems), strict=False)
    for part, blocks in zip_longest(iter_blocks(mixture, BLOCK), written, fillvalue=()):
        true = part.double() if isinstance(part, Tensor) else torch.zeros(mixture.channels, 0).double()
        total = torch.zeros_like(true)
        for block in blocks:  # a lossy file may be a few samples shorter or longer
            total[:, : block.shape[1]] += block[:, : true.shape[1]]
        residual += float((true - total).square().sum())
        energy += float(true.square().sum())
    return round(10 * math.log10(residual / energy), 3) if residual > 0 and energy > 0 else None
