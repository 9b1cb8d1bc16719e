"""Scores of data sets on disk, in museval's format, and their summary.

A track is one JSON file, ``<folder>/<subset>/<track>.json``, as `museval` writes and reads it; an additional
entry "stemscope" records the provenance of the stems. A frame without a score is the number NaN. The score of a perfect
estimate is Infinity, for which museval writes NaN, too; its readers accept both.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from separation.atomic import atomic_write
from separation.evaluation.metrics import EXTRA_METRICS, FRAME_METRICS, METRIC_UNITS, TRACK_METRICS
from separation.evaluation.statistics import median
from separation.evaluation.track_scores import defined

__all__ = [
    "AGGREGATION",
    "TrackResult",
    "extra_metrics",
    "medians",
    "read_result",
    "read_results",
    "scores_by_target",
    "write_result",
    "write_summary",
]

AGGREGATION = "median over 1 s frames, then over tracks"
_WHOLE = TRACK_METRICS + EXTRA_METRICS  # one number per track and target
_VERSION = "BSSEval v4 by Stemscope"


@dataclass(frozen=True, kw_only=True)
class TrackResult:
    """Scores of one track.

    Attributes
    ----------
    name, subset : str
    file : Path
    frames : dict of str to dict of str to array
        Target -> metric -> value per frame in dB; NaN where undefined, infinite for a perfect estimate.
    whole : dict of str to dict of str to float
        Target -> metric -> score of the whole track; absent from files written by museval.
    provenance : dict
        Method, model and options; empty in files written by museval.
    """

    name: str
    subset: str
    file: Path
    frames: dict[str, dict[str, np.ndarray]]
    whole: dict[str, dict[str, float]]
    provenance: dict[str, Any]

    @property
    def medians(self) -> dict[str, dict[str, float]]:
        """Median over the frames: target -> metric -> dB."""
        return {
            target: {name: median(values) for name, values in metrics.items()}
            for target, metrics in self.frames.items()
        }


# One track.


def write_result(path: Path, scores: Mapping[str, Any], *, provenance: Mapping[str, Any]) -> None:
    """Write the document of :func:`separation.evaluation.track_scores.score_signals` as museval does, atomically."""
    document = {
        "targets": [_target(name, target) for name, target in scores["targets"].items()],
        "museval_version": _VERSION,
        "stemscope": {
            **provenance,
            "notes": scores["notes"],
            **({"verification": scores["verification"]} if "verification" in scores else {}),
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, shared=True) as draft, draft.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)  # with the numbers NaN and Infinity, which museval's readers accept


def _target(name: str, target: Mapping[str, Any]) -> dict[str, Any]:
    frames = [
        {
            "time": frame["time"],
            "duration": frame["duration"],
            "metrics": {metric: _number(frame[metric]) for metric in FRAME_METRICS},
        }
        for frame in target["frames"]
    ]
    masks = {"masks": target["masks"]} if "masks" in target else {}
    return {
        "name": name,
        "frames": frames,
        **{metric: _number(target[metric]) for metric in _WHOLE if metric in target},
        **masks,
    }


def _number(value: float | None) -> float:
    """Round to five digits as museval does; frames without a score are NaN, and infinity, unlike museval's, stays."""
    return math.nan if value is None else round(value, 5)


def read_result(path: Path) -> TrackResult:
    """Read a track's scores, written by this program or by museval.

    Raises
    ------
    ValueError
        If the file is not in museval's format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        targets = {target["name"]: target for target in document["targets"]}
        frames = {name: _values(target["frames"]) for name, target in targets.items()}
        track_scores = {
            name: {metric: float(target[metric]) for metric in _WHOLE if metric in target}
            for name, target in targets.items()
        }
        provenance = dict(document.get("stemscope", {}))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path.name} is not a track's scores as museval writes them: {error!r}") from error
    return TrackResult(
        name=path.name.removesuffix(".json"),
        subset=path.parent.name,
        file=path,
        frames=frames,
        whole=track_scores,
        provenance=provenance,
    )


def _values(frames: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {metric: np.array([frame["metrics"][metric] for frame in frames], dtype=float) for metric in FRAME_METRICS}


# Many tracks.


def read_results(folder: Path) -> list[TrackResult]:
    """Read all tracks in a method's folder, of any subset, sorted by name.

    Raises
    ------
    ValueError
        If there are none, or one or a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise ValueError(f"cannot read the folder {Path(error.filename).name!r}: {error.strerror}") from error

    files = (Path(place, name) for place, _, names in os.walk(folder, onerror=refuse) for name in names)
    paths = sorted(path for path in files if path.suffix == ".json" and not path.name.startswith("."))
    if not paths:
        raise ValueError(f"{folder.name!r} holds no scores: looked for <subset>/<track>.json")
    return [read_result(path) for path in paths]


def scores_by_target(results: Sequence[TrackResult], metric: str) -> dict[str, dict[str, float]]:
    """Return target -> track -> median over the frames in dB, or the score of the whole track.

    A track is called by its name, or "<subset>/<name>" where several subsets have a track of this name.

    Parameters
    ----------
    results : sequence of TrackResult
    metric : str
        A key of :data:`separation.evaluation.metrics.METRIC_UNITS`. Tracks without its score are NaN.

    Raises
    ------
    ValueError
        If the metric is unknown.
    """
    if metric not in METRIC_UNITS:
        raise ValueError(f"unknown metric {metric!r}; the metrics are {', '.join(METRIC_UNITS)}")
    scores: dict[str, dict[str, float]] = {}
    names = Counter(result.name for result in results)
    for result in results:
        values = result.medians if metric in FRAME_METRICS else result.whole
        track = result.name if names[result.name] == 1 else f"{result.subset}/{result.name}"
        for target, metrics in values.items():
            scores.setdefault(target, {})[track] = metrics.get(metric, math.nan)
    return scores


def medians(results: Sequence[TrackResult]) -> dict[str, dict[str, float | None]]:
    """Return target -> metric -> :data:`AGGREGATION` in dB; None where no track has a score.

    Extra metrics, whose median is that over the tracks, are included if a track has them.
    """
    tables = {metric: scores_by_target(results, metric) for metric in (*FRAME_METRICS, *extra_metrics(results))}
    return {
        target: {metric: defined(median(np.array(list(table[target].values())))) for metric, table in tables.items()}
        for target in tables["SDR"]
    }


def extra_metrics(results: Sequence[TrackResult]) -> list[str]:
    """Return the extra metrics that at least one track has."""
    found = {metric for result in results for scores in result.whole.values() for metric in scores}
    return [metric for metric in EXTRA_METRICS if metric in found]


def write_summary(path: Path, results: Sequence[TrackResult]) -> None:
    """Write a CSV row per track and target: medians over the frames, and the scores of the whole track."""
    whole = [*TRACK_METRICS, *extra_metrics(results)]
    with (
        atomic_write(path, shared=True) as draft,
        draft.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):  # names of files may be any bytes
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["method", "model", "subset", "track", "target", *FRAME_METRICS, *whole])
        for result in results:
            first = [result.provenance.get("method"), result.provenance.get("model"), result.subset, result.name]
            for target, values in result.medians.items():
                numbers = [values[name] for name in FRAME_METRICS]
                numbers += [result.whole[target].get(name, math.nan) for name in whole]
                cells = ["" if math.isnan(number) else f"{number:.3f}" for number in numbers]
                lines.writerow([*first, target, *cells])
