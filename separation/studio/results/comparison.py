"""The answers of the Compare page: the best method per source and metric, and the scores of published systems."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from separation.evaluation.metrics import METRIC_UNITS
from separation.separators import METHODS
from separation.studio.results import storage

__all__ = ["compare_result", "finite", "metrics_of", "outside_ranking", "pack_scores", "published"]

FLOOR = "mix"  # the mixture in place of each stem: every method should score higher
MASKS = "mask AP"  # average precision of the masks, among the metrics


def compare_result(folder: Path) -> dict[str, Any]:
    """Return the ranking of a result's methods.

    Returns
    -------
    dict
        ``{"metrics": [{"name", "unit"}], "floor": method or None, "outside": [methods], "sources": ...}``, with the
        sources of :func:`separation.evaluation.ranking.rank_methods`. Oracles and the mixture are outside.
    """
    from separation.evaluation.ranking import rank_methods

    groups = storage.read_player(folder)["groups"]
    scored = {
        group["id"]: {name: {**target, **metrics_of(target)} for name, target in group["scores"]["targets"].items()}
        for group in groups
        if group["scores"]
    }
    outside = outside_ranking(scored)
    sources = rank_methods(scored, outside=outside)
    metrics = dict.fromkeys(metric for its in sources.values() for metric in its)
    return {
        "metrics": [{"name": name, "unit": METRIC_UNITS.get(name, "")} for name in metrics],
        "floor": FLOOR if FLOOR in scored else None,
        "outside": outside,
        "sources": {source: sources[source] for source in storage.sort_sources(sources)},
    }


def outside_ranking(methods: Iterable[str]) -> list[str]:
    """Return the methods that do not compete: oracles, which know the true sources, and the mixture."""
    return [name for name in methods if name == FLOOR or (name in METHODS and METHODS[name].needs_references)]


def metrics_of(target: Mapping[str, Any]) -> dict[str, float | None]:
    """Return all metrics of one target's scores, with the average precision of its mask."""
    metrics = {name: value for name, value in target.items() if value is None or isinstance(value, int | float)}
    return metrics | ({MASKS: target["masks"]["average_precision"]} if "masks" in target else {})


@lru_cache(maxsize=4)
def published(metric: str) -> dict[str, Any]:
    """Return the scores of the published systems as :func:`pack_scores` does; raise ValueError for another metric."""
    from separation.evaluation.published import published_scores

    return pack_scores(published_scores(metric))


def pack_scores(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Pack target -> method -> track -> score for the page, which needs each track's name only once.

    Returns
    -------
    dict
        ``{"tracks": [names], "targets": {target: {method: [score or None, ...]}}}``, in the order of the tracks; None
        also for infinite and undefined scores.
    """
    tracks = sorted({track for methods in scores.values() for its in methods.values() for track in its})
    return {
        "tracks": tracks,
        "targets": {
            target: {method: [finite(its.get(track)) for track in tracks] for method, its in scores[target].items()}
            for target in storage.sort_sources(scores)
        },
    }


def finite(value: Any) -> Any:
    """Return a document with None in place of all NaN and infinite numbers, which the page cannot draw."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
