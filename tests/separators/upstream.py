"""Upstream's inference of Demucs and Hybrid Demucs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import demucs.apply
import demucs.hdemucs
import demucs.htdemucs
from torch import Tensor, nn

from separation.models.demucs import Demucs

RATE = 44100
SOURCES = ("drums", "bass", "other", "vocals")
OWN = (demucs.apply.BagOfModels, demucs.hdemucs.HDemucs, demucs.htdemucs.HTDemucs)


class _Adapter(nn.Module):
    """A network with the interface that `apply_model` expects."""

    samplerate = RATE
    audio_channels = 2

    def __init__(self, network: nn.Module, segment: float, sources: Sequence[str] = SOURCES) -> None:
        super().__init__()
        self.network = network
        self.segment = segment
        self.sources = list(sources)
        if isinstance(network, Demucs):
            self.valid_length = network.valid_length

    def forward(self, mixture: Tensor) -> Tensor:
        return self.network(mixture)


def apply_upstream(
    network: nn.Module,
    mixture: Tensor,
    *,
    segment: float | None = None,
    overlap: float = 0.25,
    shifts: int = 0,
    seed: int = 0,
) -> Tensor:
    """Run `apply_model` with the normalisation of upstream's `separate`; `segment` is its own for a network of it."""
    mono = mixture.mean(0)
    standard = (mixture - mono.mean()) / (mono.std() + 1e-8)
    model: Any = network if isinstance(network, OWN) else _Adapter(network, segment or 10.0)
    random.seed(seed)
    estimates = demucs.apply.apply_model(
        model, standard[None], shifts=shifts, split=True, overlap=overlap, segment=segment
    )[0]
    return estimates * (mono.std() + 1e-8) + mono.mean()
