"""Scores of a group of stems in the studio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from separation.studio.results.comparison import finite

if TYPE_CHECKING:
    from separation.studio.results.player_data import Group

__all__ = ["score_group"]


def score_group(truth: Group, group: Group, rate: int, frames: int, metrics: Sequence[str] = ()) -> Mapping[str, Any]:
    """Score the written stems against the sources of the same name; match unnamed components.

    "stems" in the document holds source -> component, if the stems are unnamed components.
    `metrics` are further ones, out of :data:`separation.evaluation.metrics.EXTRA_METRICS`.
    Infinite scores of a perfect estimate become None, since the page's charts need finite numbers.
    """
    from separation.evaluation.file_signals import FileSignals
    from separation.evaluation.folder_scores import match_sources
    from separation.evaluation.track_scores import score_signals

    stems = {name: path for name, path in group.wav.items() if name != "residual"}
    pairs = match_sources(truth.wav, stems)
    unnamed = not pairs and all(name.startswith("component ") for name in stems) and len(stems) <= len(truth.wav)
    if not (unnamed or pairs):
        raise ValueError("no stem has the name of a true source")
    paths: list[list[Any]] = [list(truth.wav.values()), list(stems.values())]
    if not unnamed:
        paths = [[pair[side] for pair in pairs.values()] for side in (0, 1)]
    with FileSignals(paths[0], time=frames) as true, FileSignals(paths[1], time=frames) as estimates:
        if true.shape[1] != estimates.shape[1]:
            raise ValueError(f"the stems have {estimates.shape[1]} channels, the true sources {true.shape[1]}")
        names = list(truth.wav if unnamed else pairs)
        document = score_signals(names, true, estimates, rate, permute=unnamed, metrics=metrics)
    matched = {source: list(stems)[index] for source, index in document.pop("assignment", {}).items()}
    return {**document, "targets": finite(document["targets"]), **({"stems": matched} if matched else {})}
