"""Scores of a group of stems in the studio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from separation.studio.player_data import Group

__all__ = ["score_group"]


def score_group(truth: Group, group: Group, rate: int, frames: int) -> Mapping[str, Any]:
    """Score the written stems against the sources of the same name; match unnamed components.

    The page's charts take finite numbers: the infinite scores of a perfect estimate are None.
    """
    from separation.evaluation.track_scores import FileSignals, match_sources, score_signals

    stems = {name: path for name, path in group.wav.items() if name != "residual"}
    pairs = match_sources(truth.wav, stems)
    unnamed = not pairs and all(name.startswith("component ") for name in stems) and len(stems) <= len(truth.wav)
    if not (unnamed or pairs):
        raise ValueError("no stem is called like one of the true sources")
    paths: list[list[Any]] = [list(truth.wav.values()), list(stems.values())]
    if not unnamed:
        paths = [[pair[side] for pair in pairs.values()] for side in (0, 1)]
    signals = [FileSignals(sources, time=frames) for sources in paths]
    if signals[0].shape[1] != signals[1].shape[1]:
        raise ValueError(f"the stems have {signals[1].shape[1]} channels, the true sources {signals[0].shape[1]}")
    document = score_signals(list(truth.wav if unnamed else pairs), signals[0], signals[1], rate, permute=unnamed)
    targets = {
        name: {key: None if value == math.inf else value for key, value in target.items()}
        for name, target in document["targets"].items()
    }
    return {**document, "targets": targets}
