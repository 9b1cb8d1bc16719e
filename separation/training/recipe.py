"""The interface between a recipe and the trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from separation.datasets.sampler import MixSampler
from separation.datasets.store import StemStore
from separation.training.config import TrainingConfig

__all__ = ["Objective", "Recipe"]


class Objective(nn.Module):
    """A loss module: ``forward(*inputs)`` returns a scalar loss, and `network` is the model that is saved."""

    network: nn.Module


class Recipe(Protocol):
    """A model with its loss and its inputs.

    Attributes
    ----------
    method : str
        The separation method that uses its weights.
    config : TrainingConfig
    sources : tuple of str
        Sources of the training data, in the order of the batches.
    sample_rate : int
        Sample rate of the training data in Hz.
    targets : tuple of str
        Estimated sources.
    objectives : mapping of str to Objective
        One objective per target, or one called "all". They do not share weights.
    """

    method: str
    config: TrainingConfig
    sources: tuple[str, ...]
    sample_rate: int
    targets: tuple[str, ...]
    objectives: Mapping[str, Objective]

    def sampler(self, store: StemStore) -> MixSampler:
        """Return a sampler of excerpts whose length the networks accept."""

    def initialise(self, store: StemStore) -> None:
        """Set the parameters of the networks that are computed from the training data."""

    def inputs(self, sources: Tensor) -> Mapping[str, tuple[Tensor, ...]]:
        """Return the arguments of each objective for a batch (batch, sources, channels, time)."""

    def evaluate(self, networks: Mapping[str, nn.Module], sources: Tensor) -> tuple[Tensor, Tensor]:
        """Separate a whole track (sources, channels, time).

        Returns
        -------
        losses : Tensor, shape (targets,)
        estimates : Tensor, shape (targets, channels, time)
        """

    def description(self) -> dict[str, Any]:
        """Return the fields of ``model.json`` that depend on the recipe."""
