"""The Demucs recipe: all waveforms at once."""

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

RESOLUTIONS = (512, 1024, 2048)  # of the spectral part of the loss


@dataclass(frozen=True, kw_only=True)
class DemucsConfig(TrainingConfig):
    """Demucs v2 as published: 360 epochs of Adam at 3e-4 on remixed excerpts of 10 s.

    Attributes
    ----------
    channels, depth : int
        Of the network.
    resample : bool
        Work at twice the sampling rate inside.
    spectral : float
        Weight of the mean absolute error of magnitudes at three resolutions, added to that of the
        waveforms; 0 as published.

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
    excerpts_per_track: int = 230  # one for every second of an average track
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
    """Mean absolute error of all waveforms, plus that of their magnitudes if `spectral` is above 0."""

    def __init__(self, network: Demucs, spectral: float) -> None:
        super().__init__()
        self.network = network
        self.spectral = spectral

    def forward(self, mixture: Tensor, sources: Tensor) -> Tensor:
        """(batch, channels, time), (batch, sources, channels, time)."""
        estimate = self.network(mixture).float()
        sources = center_trim(sources, estimate.shape[-1])
        loss = F.l1_loss(estimate, sources)
        return loss + self.spectral * _spectral_error(estimate, sources) if self.spectral else loss


def _spectral_error(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean over the resolutions of the mean absolute difference of magnitudes, windows of unit energy."""
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
    """One network for all sources; the methods are described in :class:`separation.training.recipe.Recipe`."""

    method = "demucs"
    config: DemucsConfig
    objectives: dict[str, WaveformLoss]

    def __init__(self, config: DemucsConfig, *, sources: tuple[str, ...], target: str = "all") -> None:
        if target != "all":
            raise ValueError(f"Demucs learns all sources at once: leave the target out, got {target!r}")
        self.config = config
        self.sources = self.targets = sources
        self.network = Demucs(sources, channels=config.channels, depth=config.depth, resample=config.resample)
        self.objectives = {"all": WaveformLoss(self.network, config.spectral)}

    def excerpts(self, store: StemStore) -> MixSampler:
        length = self.network.valid_length(round(self.config.seconds * store.sample_rate))
        return MixSampler(store, self.config, length=length)

    def initialise(self, store: StemStore) -> None:
        """Nothing is measured: every mixture is standardised by itself."""

    def inputs(self, sources: Tensor) -> Mapping[str, tuple[Tensor, ...]]:
        """As at inference, but by the excerpt's own statistics: upstream standardises by the track's."""
        mixture = sources.sum(1)
        mono = mixture.mean(1, keepdim=True)
        mean, deviation = mono.mean(-1, keepdim=True), mono.std(-1, keepdim=True) + 1e-3
        return {"all": ((mixture - mean) / deviation, sources / deviation[:, None])}

    def evaluate(self, networks: Mapping[str, nn.Module], sources: Tensor) -> tuple[Tensor, Tensor]:
        """In pieces of the training excerpts' length, each with its true surroundings."""
        mixture = sources.sum(0)
        mono = mixture.mean(0)
        mean, deviation = mono.mean(), mono.std() + 1e-8
        length, piece = mixture.shape[-1], round(self.config.seconds * 44100)
        extra = self.network.valid_length(piece) - piece
        padded = F.pad((mixture - mean) / deviation, (extra // 2, extra - extra // 2 + piece))
        pieces = [
            center_trim(networks["all"](padded[None, :, start : start + piece + extra])[0].float(), piece)
            for start in range(0, length, piece)
        ]
        standard = torch.cat(pieces, -1)[..., :length]
        losses = (standard - sources / deviation).abs().mean((1, 2))
        return losses, standard * deviation + mean

    def description(self) -> dict[str, Any]:
        config = self.config
        return {"architecture": {"channels": config.channels, "depth": config.depth, "resample": config.resample}}
