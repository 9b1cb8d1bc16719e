"""Rank methods on one song or on a data set, and test whether the lead of the best one is significant.

On one song, the test compares the methods second by second. Its sample is the seconds of this song, so that it says
nothing about other songs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from separation.evaluation.statistics import compare_methods
from separation.evaluation.track_scores import defined

__all__ = ["LEVEL", "rank_methods", "rank_scores"]

LEVEL = 0.05  #: p value, after Holm's correction, below which a lead is sure

_NO_METRICS = ("frames", "masks")  # the other entries of a target


def rank_methods(targets: Mapping[str, Mapping[str, Any]], *, outside: Collection[str] = ()) -> dict[str, Any]:
    """Rank the methods of one song for each source and metric.

    Parameters
    ----------
    targets : mapping of str to mapping
        Method -> the "targets" of :func:`separation.evaluation.track_scores.score_signals`. Every number of a target
        is a metric. Where its frames have the metric too, the methods are compared over the frames.
    outside : collection of str
        Methods that are listed but not ranked, such as oracles and the mixture.

    Returns
    -------
    dict
        Source -> metric -> the document of :func:`rank_scores`.
    """
    sources = dict.fromkeys(source for its in targets.values() for source in its)
    return {source: _rank_source(source, targets, outside) for source in sources}


def _rank_source(source: str, targets: Mapping[str, Mapping[str, Any]], outside: Collection[str]) -> dict[str, Any]:
    scores = {method: its[source] for method, its in targets.items() if source in its}
    metrics = dict.fromkeys(
        metric
        for score in scores.values()
        for metric, value in score.items()
        if metric not in _NO_METRICS and (value is None or isinstance(value, int | float))
    )
    return {
        metric: rank_scores(
            {method: score.get(metric) for method, score in scores.items()},
            {method: _frames(score, metric) for method, score in scores.items()},
            outside=outside,
        )
        for metric in metrics
    }


def rank_scores(
    scores: Mapping[str, float | None],
    samples: Mapping[str, Mapping[str, float]],
    *,
    outside: Collection[str] = (),
) -> dict[str, Any]:
    """Rank methods by their scores, and test the lead of the best one on samples.

    Parameters
    ----------
    scores : mapping of str to float or None
        Method -> score; higher is better.
    samples : mapping of str to mapping of str to float
        Method -> second of a song or track of a data set -> score, NaN if undefined; empty if there are none.
    outside : collection of str
        Methods that are listed but not ranked.

    Returns
    -------
    dict
        ``{"scores": {method: number or None}, "best", "verdict", "ties", "lead", "p", "samples"}``. "verdict" is

        - "sure" if the best method leads every other one with p < :data:`LEVEL` after Holm's correction,
        - "tie" if it does not; "ties" are the methods that it does not clearly lead,
        - "short" if there are too few samples for a test,
        - "untested" if there are none,
        - "only" if there is no other method, and "none" if there is no score.

        "lead" is the median difference to the second best method, in the metric's unit; "p" is the largest p value.
    """
    ranked = sorted(
        (method for method, score in scores.items() if score is not None and method not in outside),
        key=lambda method: -(scores[method] or 0.0),
    )
    known = {method: scores[method] or 0.0 for method in ranked}
    return {"scores": dict(scores), **_verdict(ranked, known, samples)}


def _frames(score: Mapping[str, Any], metric: str) -> dict[str, float]:
    """Return the frames' scores by their times, NaN where undefined; empty if the frames lack the metric."""
    frames = [frame for frame in score.get("frames", ()) if metric in frame]
    return {str(frame["time"]): math.nan if frame[metric] is None else frame[metric] for frame in frames}


def _verdict(
    ranked: list[str], values: Mapping[str, float], samples: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    if len(ranked) < 2:
        verdict = "only" if ranked else "none"
        return {"best": next(iter(ranked), None), "verdict": verdict, "ties": [], "lead": None, "p": None, "samples": 0}
    best, second = ranked[:2]
    if not all(samples[method] for method in ranked):
        lead = values[best] - values[second] if values[best] != values[second] else 0.0  # also between infinities
        return {"best": best, "verdict": "untested", "ties": [], "lead": lead, "p": None, "samples": 0}
    pairs = {
        other: pair
        for pair in compare_methods({method: samples[method] for method in ranked})
        for other in {pair.first, pair.second} - {best}
        if best in (pair.first, pair.second)
    }
    leads = {name: pair.median_difference * (1 if pair.first == best else -1) for name, pair in pairs.items()}
    rest = {"best": best, "lead": defined(leads[second]), "samples": min(pair.tracks for pair in pairs.values())}
    if any(math.isnan(pair.p_holm) for pair in pairs.values()):
        return {**rest, "verdict": "short", "ties": [], "p": None}
    ties = [name for name in ranked[1:] if not (pairs[name].p_holm < LEVEL and leads[name] > 0)]
    return {
        **rest,
        "verdict": "tie" if ties else "sure",
        "ties": ties,
        "p": defined(max(pair.p_holm for pair in pairs.values())),
    }
