"""All scores of one track, from its signals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from separation.evaluation.bss_eval import Scores, bss_eval
from separation.evaluation.extra_scores import extra_scores
from separation.evaluation.mask_scores import MaskCurve, mask_scores
from separation.evaluation.metrics import FRAME_METRICS
from separation.evaluation.signals import SelectedSignals, Signals, SumSignal
from separation.evaluation.statistics import median
from separation.evaluation.verification import verify_scores
from separation.evaluation.whole_track import WholeTrackScores, whole_track_scores

__all__ = ["SILENT", "defined", "score_signals"]

SILENT = "is silent throughout"  #: the words of notes on silent references and estimates


def score_signals(
    targets: Sequence[str],
    references: Signals,
    estimates: Signals,
    rate: int,
    *,
    permute: bool = False,
    metrics: Sequence[str] = (),
    mixture: Signals | None = None,
    verify: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """Return all scores of one track as a document for JSON.

    Each target has the medians over 1 s frames of SDR, ISR, SIR and SAR (BSSEval v4), uSDR and SI-SDR of the
    whole track, and every frame; None where a score is undefined, and infinity for a perfect estimate. If there is an
    estimate for each of several targets, "masks" holds the average precision of its mask, and precision and recall at
    thresholds from 0 to 1 (:mod:`separation.evaluation.mask_scores`).

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
        :func:`separation.evaluation.bss_eval.bss_eval`. Targets without an estimate are omitted, and "assignment" holds
        the index of the estimate of each of the others.
    metrics : sequence of str
        Further metrics of the whole track, from :data:`separation.evaluation.metrics.EXTRA_METRICS`.
    mixture : Signals, optional, shape (1, channels, time)
        The mixture for log_wmse; the sum of the references by default. A note says which was used.
    verify : bool
        Compare SDR, ISR, SIR and SAR with museval's, under "verification"; see
        :func:`separation.evaluation.verification.verify_scores`.
    """
    scores = bss_eval(references, estimates, window=rate, hop=rate, permute=permute, device=device)
    assigned = [(row, column) for row, column in enumerate(scores.permutation) if column is not None]
    pairs = (
        SelectedSignals(references, [row for row, _ in assigned]),
        SelectedSignals(estimates, [column for _, column in assigned]),
    )
    track = whole_track_scores(*pairs)
    extra = extra_scores(metrics, *pairs, mixture or SumSignal(references), rate)
    whole = {"uSDR": track.usdr, "SI-SDR": track.si_sdr, **extra}
    scored = 1 < len(targets) == len(assigned)
    masks = [{"masks": _masks(curve)} for curve in mask_scores(*pairs)] if scored else [{} for _ in assigned]
    verification = (
        {"verification": verify_scores(scores, references, estimates, rate, permute=permute)} if verify else {}
    )
    notes = _notes(targets, references, assigned, track, permute=permute)
    if "log_wmse" in metrics:
        of = "the sum of the references" if mixture is None else "the track's mixture"
        notes.append(f"log_wmse is relative to {of}")
    whole_metrics = "all others" if metrics else "uSDR and SI-SDR"
    return {
        "aggregation": f"median over 1 s frames; {whole_metrics} over the whole track",
        "targets": {
            targets[row]: _target(scores, row, whole, index, rate, references.shape[2]) | masks[index]
            for index, (row, _) in enumerate(assigned)
        },
        "notes": notes,
        **({"assignment": {targets[row]: column for row, column in assigned}} if permute else {}),
        **verification,
    }


def _notes(
    targets: Sequence[str],
    references: Signals,
    assigned: Sequence[tuple[int, int]],
    track: WholeTrackScores,
    *,
    permute: bool,
) -> list[str]:
    """Return sentences about silent signals and, if `permute`, about the assignment of estimates to targets."""
    silent = {row: is_silent for (row, _), is_silent in zip(assigned, track.silent_references, strict=True)}
    if rest := [row for row in range(len(targets)) if row not in silent]:
        others = SelectedSignals(references, rest)
        silent |= zip(rest, whole_track_scores(others, others).silent_references, strict=True)
    notes = [f"{target} {SILENT}" for row, target in enumerate(targets) if silent[row]]
    notes += [
        f"the estimate of {targets[row]} {SILENT}, so that SDR, ISR, SIR and SAR are defined for no target"
        for (row, _), is_silent in zip(assigned, track.silent_estimates, strict=True)
        if is_silent
    ]
    if permute:
        rows = [row for row, _ in assigned]
        notes += [f"no estimate is assigned to {target}" for row, target in enumerate(targets) if row not in rows]
        notes += [f"estimate {column + 1} is assigned to {targets[row]}" for row, column in assigned]
    return notes


def _target(
    scores: Scores, row: int, whole: Mapping[str, np.ndarray], index: int, rate: int, time: int
) -> dict[str, Any]:
    values = {name: getattr(scores, name)[row].numpy() for name in FRAME_METRICS}
    frames = [
        {
            "time": float(number),
            "duration": min(1.0, time / rate),
            **{name: defined(values[name][number]) for name in FRAME_METRICS},
        }
        for number in range(len(values["SDR"]))
    ]
    medians = {name: defined(median(values[name])) for name in FRAME_METRICS}
    return {**medians, **{name: defined(values[index]) for name, values in whole.items()}, "frames": frames}


def _masks(curve: MaskCurve) -> dict[str, Any]:
    points = [(threshold / 20, *curve.at(threshold / 20)) for threshold in range(21)]
    return {
        "average_precision": defined(curve.average_precision),
        "prevalence": defined(curve.prevalence),
        "curve": [{"threshold": t, "precision": defined(p), "recall": defined(r)} for t, p, r in points],
    }


def defined(value: float) -> float | None:
    """Return None for an undefined score, NaN; a perfect estimate keeps its infinite one."""
    return None if math.isnan(value) else float(value)
