"""The agreement of listeners' ratings and metrics: rank correlations with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MIN_RATINGS", "Agreement", "agreement", "rank_correlation"]

MIN_RATINGS = 4  #: fewest pairs for an interval, whose standard error divides by their number minus 3

_NORMAL_975 = 1.959964  # quantile of the normal distribution for an interval of 95 %


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Spearman's rank correlation of ratings and a metric.

    Attributes
    ----------
    correlation : float or None
        -1..1; None if it is undefined, because there are fewer than two pairs or all ratings or scores are equal.
    low, high : float or None
        Interval of 95 %; None for fewer than :data:`MIN_RATINGS` pairs.
    count : int
        Number of pairs of a rating and a score.
    """

    correlation: float | None
    low: float | None
    high: float | None
    count: int


def rank_correlation(ratings: np.ndarray, scores: np.ndarray) -> Agreement:
    """Return the rank correlation of ratings and scores, shape (pairs,), with its interval.

    The interval is Bonett and Wright's. Its transform is infinite for a perfect correlation, which therefore counts as
    half the step to the next lower one, 6 / (n^3 - n), below 1: few stems prove little even if their order agrees.

    References
    ----------
    Bonett, Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
    Psychometrika 65(1), 2000.
    """
    usable = np.isfinite(ratings) & np.isfinite(scores)
    ratings, scores = ratings[usable], scores[usable]
    count = len(ratings)
    if count < 2 or np.ptp(ratings) == 0 or np.ptp(scores) == 0:
        return Agreement(correlation=None, low=None, high=None, count=count)
    from scipy.stats import rankdata

    correlation = float(np.clip(np.corrcoef(rankdata(ratings), rankdata(scores))[0, 1], -1, 1))
    if count < MIN_RATINGS:
        return Agreement(correlation=correlation, low=None, high=None, count=count)
    most = 1 - 6 / (count**3 - count)
    centre = math.atanh(min(max(correlation, -most), most))
    margin = _NORMAL_975 * math.sqrt((1 + correlation**2 / 2) / (count - 3))
    return Agreement(
        correlation=correlation,
        low=min(math.tanh(centre - margin), correlation),
        high=max(math.tanh(centre + margin), correlation),
        count=count,
    )


def agreement(rows: Iterable[Mapping[str, Any]]) -> dict[str, Agreement]:
    """Return the agreement of the ratings with each metric.

    Parameters
    ----------
    rows : iterable of mapping
        One per stem, with "rating", 0..100 or None, and "scores", metric -> number or None. Stems without a rating
        do not count.
    """
    rated = [row for row in rows if row["rating"] is not None]
    metrics = dict.fromkeys(metric for row in rated for metric in row["scores"])
    found = {}
    for metric in metrics:
        pairs = [(row["rating"], row["scores"][metric]) for row in rated if row["scores"].get(metric) is not None]
        ratings, scores = np.array(pairs, dtype=float).reshape(-1, 2).T
        found[metric] = rank_correlation(ratings, scores)
    return found
