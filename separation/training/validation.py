"""Validation on whole tracks: loss, SDR, choice of the best epoch, early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from separation.training.config import TrainingConfig
from separation.training.recipe import Recipe

__all__ = ["Validation", "is_out_of_patience", "validate", "validation_score"]


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The result of one validation.

    Attributes
    ----------
    loss : float
        Mean over tracks and targets.
    sdr : dict of str to float or None
        Mean SDR of every target in dB, over the tracks that contain it; None for a target that no track contains.
    estimates : Tensor, shape (targets, channels, time), or None
        Estimates for the first track, on the CPU.
    """

    loss: float
    sdr: dict[str, float | None]
    estimates: Tensor | None


@torch.inference_mode()
def validate(
    recipe: Recipe, networks: Mapping[str, nn.Module], tracks: Sequence[Tensor], *, device: torch.device
) -> Validation:
    """Evaluate networks on whole tracks, each of shape (sources, channels, time)."""
    for network in networks.values():
        network.eval()
    losses, scores = [], []
    first: Tensor | None = None
    for track in tracks:
        loss, estimates = recipe.evaluate(networks, track.to(device))
        estimates = estimates.cpu()
        references = torch.stack([track[recipe.sources.index(name)] for name in recipe.targets])
        losses.append(loss.mean().item())
        scores.append(_sdr(references, estimates))
        first = estimates if first is None else first
    for network in networks.values():
        network.train()
    means = [None if math.isnan(mean) else mean for mean in torch.stack(scores).nanmean(0).tolist()]
    return Validation(loss=float(np.mean(losses)), sdr=dict(zip(recipe.targets, means, strict=True)), estimates=first)


def validation_score(entry: Mapping[str, Any], best_by: str) -> float:
    """Return the score of a validated log entry by which the best epoch is chosen; higher is better."""
    scores = [score for score in entry["sdr"].values() if score is not None]
    if best_by == "sdr" and scores:
        return float(np.mean(scores))
    return -float(entry["valid_loss"])  # also the fallback if no validation track contains a target


def is_out_of_patience(log: Sequence[Mapping[str, Any]], config: TrainingConfig) -> bool:
    """Return True if the validation loss has not improved for ``config.patience`` epochs."""
    validated = [entry for entry in log if "valid_loss" in entry]
    if config.patience is None or not validated:
        return False
    best = min(validated, key=lambda entry: entry["valid_loss"])
    return bool(validated[-1]["epoch"] - best["epoch"] >= config.patience)


def _sdr(references: Tensor, estimates: Tensor) -> Tensor:
    """Return the SDR of whole signals in dB, shape (targets,); NaN where the reference is silent."""
    energy = references.square().sum((1, 2))
    error = (references - estimates).square().sum((1, 2))
    return torch.where(energy > 0, 10 * torch.log10(energy / error.clamp(min=1e-12)), torch.nan)
