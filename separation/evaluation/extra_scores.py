"""The extra metrics of a track, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from separation.evaluation.log_wmse import log_wmse
from separation.evaluation.signals import Signals
from separation.evaluation.spectral_scores import aura_stft, bleedless_and_fullness, l1_freq

__all__ = ["extra_scores"]


def extra_scores(
    names: Sequence[str], references: Signals, estimates: Signals, mixture: Signals, rate: int
) -> dict[str, np.ndarray]:
    """Return metric -> one score per source, in the order of `names`; NaN where undefined.

    Parameters
    ----------
    names : sequence of str
        Some of :data:`separation.evaluation.metrics.EXTRA_METRICS`.
    references, estimates : Signals, shape (sources, channels, time)
    mixture : Signals, shape (1, channels, time)
    rate : int
        Hz.
    """
    scores = {}
    if {"bleedless", "fullness"} & set(names):
        scores["bleedless"], scores["fullness"] = bleedless_and_fullness(references, estimates, rate)
    if "l1_freq" in names:
        scores["l1_freq"] = l1_freq(references, estimates)
    if "aura_stft" in names:
        scores["aura_stft"] = aura_stft(references, estimates)
    if "log_wmse" in names:
        scores["log_wmse"] = log_wmse(references, estimates, mixture, rate)
    return {name: scores[name] for name in names}
