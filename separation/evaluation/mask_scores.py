"""Precision and recall of time-frequency masks against the ideal binary mask, at every threshold.

The soft mask of an estimate is its share of the sum of all estimates' magnitudes in each bin; its binary mask holds
the bins above a threshold. The ideal mask holds the bins where the source is the loudest of all. The best threshold
differs between songs and sources, so that a single pair of precision and recall says little. The curve over all
thresholds shows the best possible choice, and its average precision needs no threshold at all.

References
----------
Wang, "On ideal binary mask as the computational goal of auditory scene analysis", 2005.
Davis, Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from separation.evaluation.signals import Signals, SumSignal
from separation.evaluation.spectra import Frames, reduce_spectra
from separation.spectral.masks import ratio_mask

__all__ = ["MaskCurve", "mask_scores"]

STEPS = 1000  # thresholds between 0 and 1; average precision is exact to about 1e-3
_RANGE_DB = 60.0  # bins further below the loudest one are not counted
_ROUNDING = 1e-9  # tolerance, so that a share of 1/5 reaches the threshold 0.2 despite rounding


@dataclass(frozen=True, kw_only=True)
class MaskCurve:
    """Precision and recall of one source's mask at every threshold, which rises from 0 to 1 in thousandths.

    A bin is chosen if the source's share is at least the threshold.

    Attributes
    ----------
    precision : array, shape (points,)
        Fraction of the chosen bins that is in the ideal mask, 0..1; 1 where nothing is chosen.
    recall : array, shape (points,)
        Fraction of the ideal mask that is chosen, 0..1; NaN if the ideal mask is empty.
    average_precision : float
        Sum over the thresholds of precision times the step in recall; NaN if the ideal mask is empty.
    prevalence : float
        Fraction of all counted bins that is in the ideal mask, which is the precision of choosing everything.
    """

    precision: np.ndarray
    recall: np.ndarray
    average_precision: float
    prevalence: float

    def at(self, threshold: float) -> tuple[float, float]:
        """Return precision and recall at a threshold in 0..1, to the nearest thousandth.

        Raises
        ------
        ValueError
            If the threshold is outside 0..1.
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f"a threshold is in 0..1, got {threshold}")
        index = round(threshold * STEPS)
        return float(self.precision[index]), float(self.recall[index])


def mask_scores(references: Signals, estimates: Signals, *, frames: Frames = Frames()) -> list[MaskCurve]:
    """Compute the curve of every source.

    Bins more than 60 dB below the loudest bin of the sum of the references are not counted, since their assignment is
    inaudible.

    Parameters
    ----------
    references, estimates : Signals, shape (sources, channels, time)
        Read in blocks, so that memory does not grow with time. Zeros are assumed before and after.
    frames : Frames
        Frames whose transforms define the bins; each channel's bins count separately.

    Raises
    ------
    ValueError
        If the shapes differ, the signals are empty or a value is not finite.

    Examples
    --------
    >>> from separation.evaluation.signals import ArraySignals
    >>> sources = ArraySignals(torch.randn(2, 2, 88200))
    >>> curves = mask_scores(sources, sources)
    >>> curves[0].at(0.5)  # precision and recall
    (1.0, 1.0)
    """
    if references.shape != estimates.shape or 0 in references.shape:
        raise ValueError(f"references and estimates must have one shape, got {references.shape} and {estimates.shape}")
    loudest = reduce_spectra(lambda S: float(_energy(S).max()), [SumSignal(references)], frames, max)
    floor = loudest * 10 ** (-_RANGE_DB / 10)
    counts = np.zeros((references.shape[0], 2, STEPS + 1), dtype=np.int64)
    if loudest:
        counts = reduce_spectra(lambda S, E: _count(S, E, floor=floor), [references, estimates], frames, operator.add)
    return [_curve(hits, misses) for misses, hits in counts]


def _energy(S: Tensor) -> Tensor:
    """Return the squared magnitudes, which take an eighth of the time of ``abs``."""
    return S.real.square() + S.imag.square()


def _count(S: Tensor, E: Tensor, *, floor: float) -> np.ndarray:
    """Return histograms of each estimate's share in the bins outside and inside its source's ideal mask.

    The spectra of references and estimates have the shape (sources, channels, frames, bins), the histograms
    (sources, 2, STEPS + 1). Only bins where the energy of the sum of the references is above `floor` count.
    """
    sources = len(S)
    counted = (_energy(S.sum(0)) > floor).flatten().nonzero()[:, 0]
    true, own = (_energy(X.flatten(1).index_select(1, counted)) for X in (S, E))  # (sources, counted)
    rows = torch.arange(sources, dtype=torch.int32)[:, None]
    ideal = rows == true.max(0).indices  # the first one wins a tie
    level = (ratio_mask(own.sqrt(), eps=1e-20) * STEPS + STEPS * _ROUNDING).int().clamp_(0, STEPS)
    places = (2 * rows + ideal) * (STEPS + 1) + level
    return torch.bincount(places.flatten(), minlength=sources * 2 * (STEPS + 1)).view(sources, 2, -1).numpy()


def _curve(hits: np.ndarray, misses: np.ndarray) -> MaskCurve:
    """Return the curve from histograms of the share in bins inside and outside the ideal mask."""
    true = hits[::-1].cumsum()[::-1]  # bins with a share of at least each threshold
    chosen = true + misses[::-1].cumsum()[::-1]
    everything, positives = int(chosen[0]), int(true[0])
    precision = np.where(chosen > 0, true / np.maximum(chosen, 1), 1.0)
    recall = true / positives if positives else np.full(len(true), math.nan)
    steps = recall - np.append(recall[1:], 0.0)
    return MaskCurve(
        precision=precision,
        recall=recall,
        average_precision=float((steps * precision).sum()) if positives else math.nan,
        prevalence=positives / everything if everything else math.nan,
    )
