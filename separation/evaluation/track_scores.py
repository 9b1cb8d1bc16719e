"""All scores of one track, from its signals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separation.evaluation.bss_eval import Scores, Signals, bss_eval
from separation.evaluation.mask_scores import MaskCurve, mask_scores

__all__ = [
    "METRICS",
    "SILENT",
    "WholeTrackScores",
    "finite",
    "median",
    "score_signals",
    "whole_track_scores",
]

METRICS = ("SDR", "ISR", "SIR", "SAR")
SILENT = "is silent throughout"  #: the words of notes on silent references and estimates
BLOCK = 1 << 16  # frames read at a time for whole-track sums


@dataclass(frozen=True)
class WholeTrackScores:
    """Scores of whole tracks, in dB, one per source.

    Attributes
    ----------
    usdr : array
        10 log10((|s|^2 + 1e-7) / (|s - estimate|^2 + 1e-7)) over all channels: the score of the
        Music Demixing Challenges (Mitsufuji et al., Frontiers in Signal Processing 1, 2022).
    si_sdr : array
        10 log10(|a s|^2 / |a s - estimate|^2) with a = <estimate, s> / |s|^2, all channels as one
        vector, means not removed (Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019);
        NaN where the reference is silent.
    """

    usdr: np.ndarray
    si_sdr: np.ndarray


def whole_track_scores(references: Signals, estimates: Signals) -> WholeTrackScores:
    """Compute scores of whole tracks from sums over blocks; see :class:`WholeTrackScores`."""
    sources, _, time = references.shape
    energy, error, inner, estimated = (np.zeros(sources) for _ in range(4))
    for start in range(0, time, BLOCK):
        stop = min(start + BLOCK, time)
        s, e = references.read(start, stop), estimates.read(start, stop)
        for total, value in ((energy, s * s), (error, (s - e) ** 2), (inner, s * e), (estimated, e * e)):
            total += value.sum((1, 2)).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        target = inner**2 / energy  # |a s|^2
        scale_invariant = 10 * np.log10(target / np.maximum(estimated - target, 0))
    return WholeTrackScores(10 * np.log10((energy + 1e-7) / (error + 1e-7)), scale_invariant)


def score_signals(
    targets: Sequence[str],
    references: Signals,
    estimates: Signals,
    rate: int,
    *,
    permute: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """Return all scores of one track as a document for JSON.

    Each target has the medians over 1 s frames of SDR, ISR, SIR and SAR (BSSEval v4), uSDR and SI-SDR of the
    whole track, and every frame; None where a score is undefined. If there is an estimate for each of several
    targets, "masks" holds the average precision of its mask, and precision and recall at thresholds from 0 to 1
    (:mod:`separation.evaluation.mask_scores`).

    Parameters
    ----------
    targets : sequence of str
        Names of the references.
    references, estimates : Signals, shape (targets, channels, time)
        There may be fewer estimates: they belong to the first references, and the others count as interference.
    rate : int
        Sample rate in Hz, which is also the frame length in samples.
    permute : bool
        Assign unnamed estimates, at most one per reference, to targets; see
        :func:`separation.evaluation.bss_eval.bss_eval`. Targets without an estimate are omitted.
    """
    scores = bss_eval(references, estimates, window=rate, hop=rate, permute=permute, device=device)
    assigned = [(row, column) for row, column in enumerate(scores.permutation) if column is not None]
    pairs = _Rows(references, [row for row, _ in assigned]), _Rows(estimates, [column for _, column in assigned])
    whole = whole_track_scores(*pairs)
    scored = 1 < len(targets) == len(assigned)
    masks = [{"masks": _masks(curve)} for curve in mask_scores(*pairs)] if scored else [{} for _ in assigned]
    silent = zip(targets, _silent_throughout(references), strict=True)
    notes = [f"{target} {SILENT}" for target, is_silent in silent if is_silent]
    silent_estimates = _silent_throughout(estimates)
    notes += [
        f"the estimate of {targets[row]} {SILENT}, so that SDR, ISR, SIR and SAR are defined for no target"
        for row, column in assigned
        if silent_estimates[column]
    ]
    if permute:
        unassigned = [target for target, column in zip(targets, scores.permutation, strict=True) if column is None]
        notes += [f"no estimate is assigned to {target}" for target in unassigned]
        notes += [f"estimate {column + 1} is assigned to {targets[row]}" for row, column in assigned]
    return {
        "aggregation": "median over 1 s frames; uSDR and SI-SDR over the whole track",
        "targets": {
            targets[row]: _target(scores, row, whole, index, rate, references.shape[2])
            | (masks[index] if masks else {})
            for index, (row, _) in enumerate(assigned)
        },
        "notes": notes,
    }


@dataclass(frozen=True)
class _Rows:
    """A selection of the signals, in any order."""

    signals: Signals
    rows: list[int]

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.rows), *self.signals.shape[1:])

    def read(self, start: int, stop: int) -> Tensor:
        return self.signals.read(start, stop)[self.rows]


def _silent_throughout(signals: Signals) -> list[bool]:
    """Return for each source whether it is silent throughout."""
    sources, _, time = signals.shape
    peak = torch.zeros(sources)
    for start in range(0, time, BLOCK):
        block = signals.read(start, min(start + BLOCK, time)).abs().amax((1, 2))
        peak = torch.maximum(peak, block.float())
    return (peak == 0).tolist()


def _target(scores: Scores, row: int, whole: WholeTrackScores, index: int, rate: int, time: int) -> dict[str, Any]:
    values = {name: getattr(scores, name)[row].numpy() for name in METRICS}
    frames = [
        {
            "time": float(number),
            "duration": min(1.0, time / rate),
            **{name: finite(values[name][number]) for name in METRICS},
        }
        for number in range(len(values["SDR"]))
    ]
    medians = {name: _score(median(values[name])) for name in METRICS}
    return {**medians, "uSDR": _score(whole.usdr[index]), "SI-SDR": _score(whole.si_sdr[index]), "frames": frames}


def _masks(curve: MaskCurve) -> dict[str, Any]:
    points = [(threshold / 20, *curve.at(threshold / 20)) for threshold in range(21)]
    return {
        "average_precision": finite(curve.average_precision),
        "prevalence": finite(curve.prevalence),
        "curve": [{"threshold": t, "precision": finite(p), "recall": finite(r)} for t, p, r in points],
    }


def _score(value: float) -> float | None:
    """Return None for an undefined score; a perfect estimate keeps its infinite one."""
    return math.inf if value == math.inf else finite(value)


def median(values: np.ndarray) -> float:
    """Return the median of the defined values as museval does; NaN if there are none."""
    defined = values[~np.isnan(values)]
    return float(np.median(defined)) if len(defined) else math.nan


def finite(value: float) -> float | None:
    """Return None for NaN and infinity, which JSON cannot express."""
    return float(value) if math.isfinite(value) else None
