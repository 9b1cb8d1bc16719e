"""The quality of methods on the test clips of MUSDB18, from the results that come with the project."""

from __future__ import annotations

import csv
from functools import cache
from statistics import median

from separation.evaluation.metrics import METRIC_UNITS
from separation.resources import ASSETS

__all__ = ["RESULTS", "Scores", "our_metrics", "our_scores", "vocals_sdr"]

RESULTS = ASSETS / "results" / "musdb18-test.csv"

Scores = dict[str, dict[str, dict[str, float]]]  # target -> method -> track -> score


def our_metrics() -> list[str]:
    """Return the metrics that these results have."""
    with RESULTS.open(encoding="utf-8", newline="") as file:
        columns = csv.DictReader(file).fieldnames or ()
    return [metric for metric in METRIC_UNITS if metric in columns]


@cache
def our_scores(metric: str) -> Scores:
    """Return every method's scores on the MUSDB18 test clips, from ``make results``."""
    found: Scores = {}
    with RESULTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row[metric]:
                found.setdefault(row["target"], {}).setdefault(row["method"], {})[row["track"]] = float(row[metric])
    return found


def vocals_sdr() -> dict[str, float]:
    """Return each evaluated method's SDR of the vocals in dB, the median of the tracks."""
    return {method: median(tracks.values()) for method, tracks in our_scores("SDR")["vocals"].items()}
