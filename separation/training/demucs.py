"""The Demucs recipe: one network that estimates the waveforms of all sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from separation.datasets.sampler import MixSampler
from separation.datasets.store import StemStore
from separation.models.demucs import Demucs, center_trim
from separation.training.config import TrainingConfig
from separation.training.recipe import Objective, Recipe

__all__ = ["DemucsConfig", "DemucsRecipe"]

RESOLUTIONS = (512, 1024, 2048)  # STFT window lengths of the spectral loss, in samples


@dataclass(frozen=True, kw_only=True)
class DemucsConfig(TrainingConfig):
    """The published settings of Demucs v2: 360 epochs of Adam at 3e-4 on remixed excerpts of 10 s.

    Attributes
    ----------
    channels, depth : int
        Channels after the first layer, and number of layers, of the encoder.
    resample : bool
        Upsample the input by 2, and downsample the output.
    spectral : float
        Weight of the spectral loss, the mean absolute error of magnitudes at three resolutions; 0 as published.

    References
    ----------
    Défossez, Usunier, Bottou, Bach, arXiv:1911.13254, version 2, section 5.
    """

    seconds: float = 10.0
    random_tracks: bool = False
    flip: float = 0.5
    shift: float = 1.0
    shuffle_groups: int = 4
    repitch: float = 0.2
    batch: int = 64
    epochs: int = 360
    excerpts_per_track: int = 230  # about one per second of an average track
    learning_rate: float = 3e-4
    best_by: Literal["loss", "sdr"] = "loss"
    channels: int = 64
    depth: int = 6
    resample: bool = True
    spectral: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels < 1 or not 1 <= self.depth <= 8 or self.spectral < 0:
            raise ValueError(
                "channels must be at least 1, depth in 1..8, spectral at least 0, "
                f"got {self.channels}, {self.depth}, {self.spectral}"
            )


class WaveformLoss(Objective):
    """The mean absolute error of all waveforms, plus `spectral` times that of their magnitudes."""

    def __init__(self, network: Demucs, spectral: float) -> None:
        super().__init__()
        self.network = network
        self.spectral = spectral

    def forward(self, mixture: Tensor, sources: Tensor) -> Tensor:
        """Return the loss for a mixture (batch, channels, time) and its sources (batch, sources, channels, time)."""
        estimate = self.network(mixture).float()
        sources = center_trim(sources, estimate.shape[-1])
        loss = F.l1_loss(estimate, sources)
        return loss + self.spectral * _spectral_error(estimate, sources) if self.spectral else loss


def _spectral_error(estimate: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute error of magnitudes, averaged over resolutions; windows have unit energy."""
    errors = []
    for n_fft in RESOLUTIONS:
        window = torch.hann_window(n_fft, device=estimate.device)
        window = window / window.square().sum().sqrt()
        pair = torch.stack([estimate, target]).reshape(-1, estimate.shape[-1])
        X = torch.stft(pair, n_fft, n_fft // 4, window=window, return_complex=True)
        a, b = (X.real.square() + X.imag.square() + 1e-8).sqrt().chunk(2)
        errors.append(F.l1_loss(a, b))
    return torch.stack(errors).mean()


class DemucsRecipe(Recipe):
    """A recipe with one network for all sources; see :class:`separation.training.recipe.Recipe` for the methods."""

    method = "demucs"
    config: DemucsConfig
    objectives: dict[str, WaveformLoss]

    def __init__(
        self, config: DemucsConfig, *, sources: tuple[str, ...], target: str = "all", sample_rate: int = 44100
    ) -> None:
        if target != "all":
            raise ValueError(f"Demucs is trained on all sources at once: omit --target, got {target!r}")
        self.config = config
        self.sources = self.targets = sources
        self.sample_rate = sample_rate
        self.network = Demucs(sources, channels=config.channels, depth=config.depth, resample=config.resample)
        self.objectives = {"all": WaveformLoss(self.network, config.spectral)}

    def sampler(self, store: StemStore) -> MixSampler:
        """Return a sampler of excerpts as long as the network needs to estimate the configured length."""
        length = self.network.valid_length(round(self.config.seconds * store.sample_rate))
        return MixSampler(store, self.config, length=length)

    def initialise(self, store: StemStore) -> None:
        """Do nothing: every mixture is standardised with its own statistics."""

    def inputs(self, sources: Tensor) -> Mapping[str, tuple[Tensor, ...]]:
        """Standardise as at inference, but with the statistics of the excerpt; upstream uses those of the track."""
        mixture = sources.sum(1)
        mono = mixture.mean(1, keepdim=True)
        mean, std = mono.mean(-1, keepdim=True), mono.std(-1, keepdim=True) + 1e-3
        return {"all": ((mixture - mean) / std, sources / std[:, None])}

    def evaluate(self, networks: Mapping[str, nn.Module], sources: Tensor) -> tuple[Tensor, Tensor]:
        """Separate a track in chunks of the excerpts' length, each with its true context on both sides."""
        mixture = sources.sum(0)
        mono = mixture.mean(0)
        mean, std = mono.mean(), mono.std() + 1e-8
        length, chunk = mixture.shape[-1], round(self.config.seconds * self.sample_rate)
        context = self.network.valid_length(chunk) - chunk
        padded = F.pad((mixture - mean) / std, (context // 2, context - context // 2 + chunk))
        chunks = [
            center_trim(networks["all"](padded[None, :, start : start + chunk + context])[0].float(), chunk)
            for start in range(0, length, chunk)
        ]
        standardised = torch.cat(chunks, -1)[..., :length]
        losses = (standardised - sources / std).abs().mean((1, 2))
        return losses, standardised * std + mean

    def description(self) -> dict[str, Any]:
        """Return the fields of ``model.json`` that depend on the recipe."""
        config = self.config
        return {"architecture": {"channels": config.channels, "depth": config.depth, "resample": config.resample}}
