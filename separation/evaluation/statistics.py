"""Medians over frames and tracks, their confidence intervals, and tests of differences between methods.

Scores may be infinite, for perfect estimates. They have an order and hence a median, quantiles and ranks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MIN_TRACKS", "Comparison", "compare_methods", "confidence_interval", "holm", "median"]

#: Fewest tracks for an interval or a test. The true median lies outside the range of n independent scores with
#: probability 2^(1 - n), which is also the smallest p value of the two-sided signed-rank test. It is below 5 % from
#: n = 6 on.
MIN_TRACKS = 6


def median(values: np.ndarray) -> float:
    """Return the median of scores, omitting undefined ones (NaN); the median of none is NaN."""
    defined = values[~np.isnan(values)]
    return float(_quantiles(defined, 0.5)) if len(defined) else math.nan


def _quantiles(values: np.ndarray, fractions: Any) -> np.ndarray:
    """Return quantiles along the last axis. Between a finite and an infinite score, a quantile is infinite."""
    with np.errstate(invalid="ignore"):
        found = np.quantile(values, fractions, axis=-1)
    if np.isnan(found).any():  # numpy cannot interpolate there
        low, high = (np.quantile(values, fractions, axis=-1, method=side) for side in ("lower", "higher"))
        found = np.where(np.isnan(found), np.where(low == -math.inf, low, high), found)
    return found


def confidence_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the median, of 95 %; NaN for fewer than :data:`MIN_TRACKS` scores.

    `values` (tracks,) may be infinite; NaN, for tracks without a score, is omitted. The same values give the same
    interval.

    References
    ----------
    Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979.
    """
    values = values[~np.isnan(values)]
    if len(values) < MIN_TRACKS:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).integers(len(values), size=(10_000, len(values)))
    low, high = _quantiles(_quantiles(values[drawn], 0.5), [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of two methods on the tracks for which both have a score.

    Attributes
    ----------
    first, second : str
    tracks : int
        Number of common tracks.
    median_difference : float
        Median of first minus second, in dB.
    p : float
        p value of the two-sided Wilcoxon signed-rank test; NaN for fewer than :data:`MIN_TRACKS` tracks.
    p_holm : float
        The p value corrected for the number of pairs compared.
    """

    first: str
    second: str
    tracks: int
    median_difference: float
    p: float
    p_holm: float


def compare_methods(scores: Mapping[str, Mapping[str, float]]) -> list[Comparison]:
    """Compare every pair of methods.

    Parameters
    ----------
    scores : mapping of str to mapping of str to float
        Method -> track -> score; NaN if undefined.

    Returns
    -------
    list of Comparison
        In the methods' order. Without common tracks, the difference and both p values are NaN.

    References
    ----------
    Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1(6), 1945.

    Examples
    --------
    >>> better = {f"song {number}": 5.0 + number for number in range(8)}
    >>> worse = {song: score - 1 for song, score in better.items()}
    >>> [comparison] = compare_methods({"demucs": better, "open-unmix": worse})
    >>> comparison.median_difference, round(comparison.p, 3)
    (1.0, 0.008)
    """
    pairs = list(itertools.combinations(scores, 2))
    differences = [_differences(scores[first], scores[second]) for first, second in pairs]
    p = np.array([_wilcoxon(values) for values in differences])
    return [
        Comparison(
            first=first,
            second=second,
            tracks=len(values),
            median_difference=median(values),
            p=float(raw),
            p_holm=float(corrected),
        )
        for (first, second), values, raw, corrected in zip(pairs, differences, p, holm(p), strict=True)
    ]


def _differences(first: Mapping[str, float], second: Mapping[str, float]) -> np.ndarray:
    pairs = np.array([(first[track], second[track]) for track in first if track in second], dtype=float).reshape(-1, 2)
    one, other = pairs[~np.isnan(pairs).any(1)].T
    with np.errstate(invalid="ignore"):
        return np.where(one == other, 0.0, one - other)  # two perfect estimates do not differ


def _wilcoxon(differences: np.ndarray) -> float:
    from scipy.stats import rankdata, wilcoxon

    if len(differences) < MIN_TRACKS:
        return math.nan
    ranks = np.sign(differences) * rankdata(np.abs(differences))  # the test needs no more, and infinity has a rank
    return float(wilcoxon(ranks).pvalue) if differences.any() else 1.0


def holm(p: np.ndarray) -> np.ndarray:
    """Correct the p values (pairs,) of several tests by Holm's method; NaN stays NaN and does not count.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2), 1979.
    """
    corrected = np.full(len(p), np.nan)
    order = [index for index in np.argsort(p, kind="stable") if not np.isnan(p[index])]
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p[index]))
        corrected[index] = highest
    return corrected
