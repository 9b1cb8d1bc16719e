"""Scores of a group of stems in the studio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from separation.studio.player_data import Group

__all__ = ["score_group"]


def score_group(truth: Group, group: Group, rate: int, frames: int) -> Mapping[str, Any]:
    """Score the written stems against the sources of the same name; match unnamed components."""
    from separation.evaluation.track_scores import FileSignals, score_signals

    stems = {name: path for name, path in group.wav.items() if name != "residual"}
    named = [name for name in truth.wav if name in stems]
    unnamed = not named and all(name.startswith("component ") for name in stems) and len(stems) <= len(truth.wav)
    targets = list(truth.wav) if unnamed else named
    if not targets:
        raise ValueError("no stem is called like one of the true sources")
    estimates = list(stems.values()) if unnamed else [stems[name] for name in named]
    signals = [FileSignals(paths, time=frames) for paths in ([truth.wav[name] for name in targets], estimates)]
    if signals[0].shape[1] != signals[1].shape[1]:
        raise ValueError(f"the stems have {signals[1].shape[1]} channels, the true sources {signals[0].shape[1]}")
    return score_signals(targets, signals[0], signals[1], rate, permute=unnamed)
