"""Scores of the bundled models and of the methods without training.

The scores are BSSEval v4 as computed by museval (1 s frames; median over frames, then over clips), with the app's own
separators including the Wiener filter, on clips that no model was trained on. `valid` was used to choose the weights,
`test` for nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from separation.audio.signal import Audio
from separation.datasets.musdb18 import Track
from separation.evaluation.bss_eval import bss_eval
from separation.evaluation.signals import ArraySignals
from separation.pipeline.run import run
from separation.separators import create
from separation.sources import SOURCES
from tools.bundle_models import BUNDLED

UNTRAINED = ("mix", "hpss")


def score_clip(separator: Any, track: Track) -> np.ndarray:
    """Return the median over frames of each target's SDR, shape (targets,), dB."""
    mixture, references, rate = track.read()
    audio = Audio(waveform=torch.from_numpy(np.ascontiguousarray(mixture)), sample_rate=rate)
    stems = torch.cat(list(run(separator, audio)), dim=-1)
    estimates = stems[[separator.sources.index(source) for source in SOURCES]]
    targets = torch.from_numpy(np.stack([references[source] for source in SOURCES]))
    scores = bss_eval(ArraySignals(targets), ArraySignals(estimates), window=rate, hop=rate)
    return np.asarray(np.nanmedian(scores.SDR.numpy(), axis=1))


def score_methods(clips: list[Track]) -> dict[str, np.ndarray]:
    """Return the SDR of every clip and target for each method, shape (clips, targets), dB."""
    scores = {}
    for method in (*UNTRAINED, *BUNDLED):
        separator = create(method, device="cpu")
        scores[method] = np.stack([score_clip(separator, clip) for clip in clips])
    return scores


def score_table(scores: dict[str, np.ndarray]) -> str:
    """Return a Markdown table of the medians over clips."""
    lines = [f"| | {' | '.join(SOURCES)} | mean of the targets |", "|---|" + "---|" * (len(SOURCES) + 1)]
    for method, values in scores.items():
        medians = np.nanmedian(values, axis=0)
        cells = " | ".join(f"{value:.2f}" for value in (*medians, medians.mean()))
        lines.append(f"| `{method}` | {cells} |")
    return "\n".join(lines)


def win_table(scores: dict[str, np.ndarray], method: str) -> str:
    """Return a Markdown table of the number of clips on which a method beats each method without training."""
    lines = [f"| better than | {' | '.join(SOURCES)} |", "|---|" + "---|" * len(SOURCES)]
    for other in UNTRAINED:
        wins = np.nansum(scores[method] > scores[other], axis=0)
        clips = np.isfinite(scores[method]).sum(axis=0)
        cells = " | ".join(f"{k} of {n}" for k, n in zip(wins, clips, strict=True))
        lines.append(f"| `{other}` | {cells} |")
    return "\n".join(lines)
