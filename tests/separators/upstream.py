"""Upstream's inference of Demucs and Hybrid Demucs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import demucs.apply
from torch import Tensor, nn

from separation.models.demucs import Demucs

RATE = 44100
SOURCES = ("drums", "bass", "other", "vocals")


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


def apply_upstream(network: nn.Module, mixture: Tensor, *, segment: float, overlap: float = 0.25) -> Tensor:
    """Run `apply_model` with the normalisation of upstream's `separate`."""
    mono = mixture.mean(0)
    standard = (mixture - mono.mean()) / (mono.std() + 1e-8)
    adapter: Any = _Adapter(network, segment)
    estimates = demucs.apply.apply_model(adapter, standard[None], shifts=0, split=True, overlap=overlap)[0]
    return estimates * (mono.std() + 1e-8) + mono.mean()
