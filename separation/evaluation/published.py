"""Published scores, from ``assets/published``."""

from __future__ import annotations

import csv
from functools import lru_cache

from separation.evaluation.metrics import FRAME_METRICS
from separation.resources import ASSETS

__all__ = ["published_scores"]

FILE = ASSETS / "published" / "musdb18-test.csv"


def published_scores(metric: str = "SDR") -> dict[str, dict[str, dict[str, float]]]:
    """Return the scores of 34 systems and oracles on the 50 test tracks of MUSDB18.

    Parameters
    ----------
    metric : "SDR", "ISR", "SIR" or "SAR"

    Returns
    -------
    dict
        Target -> system -> track -> median over 1 s frames in dB (BSSEval v4). Targets are vocals, drums,
        bass, other and accompaniment; undefined scores are omitted.

    Raises
    ------
    ValueError
        If the metric is not one of these.

    References
    ----------
    Stöter, Liutkus, Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018; the other
    sources are listed next to the file.
    """
    if metric not in FRAME_METRICS:
        raise ValueError(f"no published {metric!r}; the published metrics are {', '.join(FRAME_METRICS)}")
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for row in _rows():
        for column, cell in row.items():
            target, _, name = column.rpartition(" ")
            if name == metric and cell:
                scores.setdefault(target, {}).setdefault(row["method"], {})[row["track"]] = float(cell)
    return scores


@lru_cache(maxsize=1)
def _rows() -> list[dict[str, str]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
