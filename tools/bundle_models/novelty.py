"""Scores of the Open-Unmix networks on sources that they were trained on and on new ones."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch

from separation.datasets.musdb18 import Track
from separation.separators import create
from separation.sources import SOURCES
from separation.spectral.masks import ratio_mask
from separation.spectral.stft import StftConfig, istft, stft

PAIRS = 120


@torch.inference_mode()
def novelty_table(trained_on: list[Track], new: list[Track]) -> str:
    """Return a Markdown table of the networks' SDR for known and new targets and accompaniments.

    Each mixture is the target of one clip with the accompaniment of another, 3.5 dB louder. The ideal ratio mask
    measures how hard the mixtures are.
    """
    separator: Any = create("open-unmix", device="cpu")
    stems = {"trained on": read_stems(trained_on), "new": read_stems(new)}
    kinds = list(product(stems, repeat=2))
    lines = [
        f"| | {' | '.join(f'target {target}, rest {rest}' for target, rest in kinds)} |",
        "|---|" + "---|" * len(kinds),
    ]
    for index, (source, network) in enumerate(zip(separator.sources, separator.networks, strict=True)):
        cells = []
        for target, rest in kinds:
            pairs = draw_pairs(stems[target], stems[rest], index)
            network_sdr, ideal_sdr = np.mean([score_pair(network, separator.stft, *pair) for pair in pairs], axis=0)
            cells.append(f"{network_sdr:.1f} ({ideal_sdr:.1f})")
        lines.append(f"| {source} | {' | '.join(cells)} |")
    return "\n".join(lines)


def read_stems(clips: list[Track]) -> list[torch.Tensor]:
    """Return the stems of each clip, shape (targets, channels, time)."""
    references = [clip.read()[1] for clip in clips]
    return [torch.from_numpy(np.stack([stems[source] for source in SOURCES])) for stems in references]


def draw_pairs(
    targets: list[torch.Tensor], others: list[torch.Tensor], index: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Draw targets and the accompaniments of other clips, each (channels, time), with a fixed seed."""
    random = np.random.default_rng(0)
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    while len(pairs) < PAIRS:
        target, other = targets[random.integers(len(targets))][index], others[random.integers(len(others))]
        num_samples = min(target.shape[-1], other.shape[-1])
        target, rest = target[:, :num_samples], (other.sum(0) - other[index])[:, :num_samples]
        if min(target.square().mean(), rest.square().mean()) > 1e-5:
            pairs.append((target, 1.5 * rest * (target.square().mean() / rest.square().mean()).sqrt()))
    return pairs


def score_pair(network: Any, config: StftConfig, target: torch.Tensor, rest: torch.Tensor) -> tuple[float, float]:
    """Return the SDR over the whole clip, in dB, of a network's estimate and of the ideal ratio mask's."""
    X = stft(target + rest, config)
    ideal = ratio_mask(torch.stack([stft(target, config).abs(), stft(rest, config).abs()]), power=2)[0]
    estimates = (torch.polar(network(X.abs()[None])[0].float(), X.angle()), ideal * X)
    errors = [target - istft(Y, config, length=target.shape[-1]) for Y in estimates]
    network_sdr, ideal_sdr = (float(10 * torch.log10(target.square().sum() / e.square().sum())) for e in errors)
    return network_sdr, ideal_sdr
