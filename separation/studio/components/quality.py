"""The quality of methods on the test clips of MUSDB18, from the results that come with the project."""

from __future__ import annotations

import csv
from collections import defaultdict
from functools import cache
from statistics import median

from separation.resources import ASSETS

__all__ = ["vocals_sdr"]


@cache
def vocals_sdr() -> dict[str, float]:
    """Return each evaluated method's SDR of the vocals in dB, the median of the tracks."""
    found: dict[str, list[float]] = defaultdict(list)
    with (ASSETS / "results" / "musdb18-test.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["target"] == "vocals" and row["SDR"]:
                found[row["method"]].append(float(row["SDR"]))
    return {method: median(values) for method, values in found.items()}
