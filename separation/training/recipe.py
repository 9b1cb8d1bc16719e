"""What the loop asks of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from separation.datasets.sampler import MixSampler
from separation.datasets.store import StemStore
from separation.training.config import TrainingConfig

__all__ = ["Objective", "Recipe"]


class Objective(nn.Module):
    """A network within its loss: ``forward(*inputs)`` is that loss, a scalar; `network` is what is kept."""

    network: nn.Module


class Recipe(Protocol):
    """A model with its loss.

    Attributes
    ----------
    method : str
        The separation method that its weights are for.
    targets : tuple of str
        What it learns to estimate: "vocals", or all sources.
    objectives : mapping of str to Objective
        By target, or one as "all". They do not share weights: each is stepped by its own gradient.
    """

    method: str
    config: TrainingConfig
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    objectives: Mapping[str, Objective]

    def excerpts(self, store: StemStore) -> MixSampler:
        """Batches of the length that the networks take."""

    def initialise(self, store: StemStore) -> None:
        """Set what is measured on the training data."""

    def inputs(self, sources: Tensor) -> Mapping[str, tuple[Tensor, ...]]:
        """What each objective is called with, from a batch (batch, sources, channels, time)."""

    def evaluate(self, networks: Mapping[str, nn.Module], sources: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (targets,) and estimates (targets, channels, time) for a whole track (sources, channels, time)."""

    def description(self) -> dict[str, Any]:
        """The fields of ``model.json`` that only the recipe knows."""
