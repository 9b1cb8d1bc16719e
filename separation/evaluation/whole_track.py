"""Scores of whole tracks from sums over all samples: uSDR and SI-SDR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from separation.evaluation.signals import Signals
from separation.workers.threads import map_parts

__all__ = ["WholeTrackScores", "whole_track_scores"]

BLOCK = 1 << 15  # samples read at a time


@dataclass(frozen=True)
class WholeTrackScores:
    """Scores of whole tracks, in dB, one per source.

    Attributes
    ----------
    usdr : array
        10 log10((|s|^2 + 1e-7) / (|s - estimate|^2 + 1e-7)) over all channels: the score of the
        Music Demixing Challenges (Mitsufuji et al., Frontiers in Signal Processing 1, 2022).
    si_sdr : array
        10 log10(|a s|^2 / |a s - estimate|^2) with a = <estimate, s> / |s|^2, all channels as one
        vector, means not removed (Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019);
        NaN where the reference is silent.
    silent_references, silent_estimates : array of bool
        Which of them are silent throughout.
    """

    usdr: np.ndarray
    si_sdr: np.ndarray
    silent_references: np.ndarray
    silent_estimates: np.ndarray


def whole_track_scores(references: Signals, estimates: Signals) -> WholeTrackScores:
    """Compute scores of whole tracks from sums over blocks; see :class:`WholeTrackScores`.

    Examples
    --------
    >>> from separation.evaluation.signals import ArraySignals
    >>> source = torch.ones(1, 2, 44100)
    >>> scores = whole_track_scores(ArraySignals(source), ArraySignals(1.1 * source))
    >>> scores.usdr.round(2)
    array([20.])
    """
    time = references.shape[2]

    def sums(first: int, last: int) -> Tensor:
        total = torch.zeros(4, references.shape[0], dtype=torch.float64)
        for start in range(first, last):
            stop = min((start + 1) * BLOCK, time)
            s, e = (signals.read(start * BLOCK, stop).flatten(1) for signals in (references, estimates))
            pairs = (s, s), (s - e, s - e), (s, e), (e, e)
            total += torch.stack([(x @ y.mT).diagonal() for x, y in pairs])  # half the time of torch.linalg.vecdot
        return total

    energy, error, inner, estimated = torch.stack(map_parts(sums, -(-time // BLOCK))).sum(0).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        target = inner**2 / energy  # |a s|^2
        scale_invariant = 10 * np.log10(target / np.maximum(estimated - target, 0))
    scale_invariant[(error == 0) & (energy > 0)] = np.inf  # and not what the sums' rounding errors make of it
    return WholeTrackScores(
        usdr=10 * np.log10((energy + 1e-7) / (error + 1e-7)),
        si_sdr=scale_invariant,
        silent_references=energy == 0,
        silent_estimates=estimated == 0,
    )
