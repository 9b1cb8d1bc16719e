"""Compare methods: medians with their intervals, and tests of their differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from separation.evaluation.metrics import FRAME_METRICS, METRIC_UNITS
from separation.evaluation.museval_json import AGGREGATION
from separation.evaluation.statistics import compare_methods, confidence_interval, median
from separation.evaluation.track_scores import defined

__all__ = ["Table", "compare"]

Table = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Target -> method -> track -> score."""


def compare(scores: Table, metric: str) -> dict[str, Any]:
    """Return medians over the tracks and comparisons of each pair of methods, as a document for JSON.

    Returns
    -------
    dict
        ``{"metric", "unit", "aggregation", "targets": {target: {"methods": {method: {"median", "low", "high",
        "tracks"}}, "comparisons": [{"methods", "tracks", "median_difference", "p", "p_holm"}]}}}``,
        in `unit`, "dB" or ""; None where undefined. The intervals have a level of 95 %; intervals and p values are
        None for fewer than six tracks.
    """
    aggregation = AGGREGATION if metric in FRAME_METRICS else "median over tracks"
    targets = {target: _compare_target(methods) for target, methods in scores.items()}
    unit = METRIC_UNITS[metric]
    return {"metric": metric, "unit": unit, "aggregation": aggregation, "targets": targets}


def _compare_target(methods: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    rows = {}
    for method, tracks in methods.items():
        values = np.array(list(tracks.values()))
        low, high = (defined(bound) for bound in confidence_interval(values))
        scored = int((~np.isnan(values)).sum())
        rows[method] = {"median": defined(median(values)), "low": low, "high": high, "tracks": scored}
    pairs = [
        {
            "methods": [pair.first, pair.second],
            "tracks": pair.tracks,
            "median_difference": defined(pair.median_difference),
            "p": defined(pair.p),
            "p_holm": defined(pair.p_holm),
        }
        for pair in compare_methods(methods)
    ]
    return {"methods": rows, "comparisons": pairs}
