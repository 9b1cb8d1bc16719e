"""Helpers of the training tests: trainers with fixed batches or scripted validation, and upstream's networks."""

from __future__ import annotations

import copy
import json
from typing import Any

import openunmix.model
import openunmix.transforms
import pytest
import torch
from torch import Tensor, nn

from separation.training.loader import batch_seed
from separation.training.open_unmix import OpenUnmixRecipe
from separation.training.trainer import Trainer
from tests.training.conftest import (
    RATE,
    RECIPES,
    SOURCES,
)

BOTH = pytest.mark.parametrize("name", RECIPES)


def fixed_batch(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, batch: Tensor) -> Tensor:
    """Make the sampler return the same batch at every step."""
    monkeypatch.setattr(trainer.sampler, "batch", lambda draw: batch)
    return batch


def drawn(trainer: Trainer, step: int, rank: int = 0) -> Tensor:
    """Return the batch of a step."""
    generator = torch.Generator().manual_seed(batch_seed(trainer.config.seed, step, rank))
    return trainer.sampler.batch(trainer.sampler.draw(trainer.config.batch, generator))


def skip_training_steps(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """Replace training steps by ones that cost and change nothing."""
    monkeypatch.setattr(trainer.sampler, "batch", lambda draw: torch.zeros(1))
    monkeypatch.setattr(trainer, "_one_step", lambda sources: torch.zeros(len(trainer.objectives)))
    return trainer


def script(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, losses: list[float], scores: list[float] | None = None
) -> None:
    """Make validation return the given losses, and SDRs in dB, by epoch."""

    def evaluate(networks: Any, sources: Tensor) -> tuple[Tensor, Tensor]:
        epoch = trainer.step // trainer.epoch_steps
        rows = torch.stack([sources[SOURCES.index(name)] for name in trainer.recipe.targets])
        error = 10 ** (-(scores[epoch - 1] if scores else 0.0) / 20)
        return torch.full((len(rows),), float(losses[epoch - 1])), rows * (1 + error)

    monkeypatch.setattr(trainer.recipe, "evaluate", evaluate)


def without_dropout(trainer: Trainer) -> Trainer:
    for module in trainer.objectives.modules():
        if isinstance(module, nn.LSTM):
            module.dropout = 0.0
    return trainer


def gradients(trainer: Trainer, name: str = "all") -> Tensor:
    found = [parameter.grad for parameter in trainer.objectives[name].parameters()]
    return torch.cat([gradient.flatten() for gradient in found if gradient is not None])


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.objectives.state_dict().items()}


def log_on_disk(trainer: Trainer) -> list[dict[str, Any]]:
    """Read the log, whose lines must be strictly valid JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    lines = (trainer.run_folder.job_folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def networks_of(trainer: Trainer, state: dict[str, Tensor]) -> dict[str, nn.Module]:
    """Return copies of a trainer's networks with other weights, in evaluation mode."""
    objectives = copy.deepcopy(trainer.objectives)
    objectives.load_state_dict(state)
    return {name: module.network.eval() for name, module in objectives.items()}  # type: ignore[union-attr]


def upstreams_encoder(n_fft: int, hop: int, *, center: bool = False) -> nn.Module:
    """Return the transform from waveforms to magnitudes of upstream's train.py."""
    transform, _ = openunmix.transforms.make_filterbanks(n_fft=n_fft, n_hop=hop, center=center, sample_rate=RATE)
    return nn.Sequential(transform, openunmix.model.ComplexNorm(mono=False))


def upstreams_network(recipe: OpenUnmixRecipe, target: str) -> nn.Module:
    """Return upstream's network with the weights of a recipe's."""
    network = openunmix.model.OpenUnmix(
        nb_bins=recipe.stft.n_bins, nb_channels=2, hidden_size=recipe.config.hidden_size, max_bin=recipe.max_bin
    )
    network.load_state_dict(recipe.objectives[target].network.state_dict())
    return network
