"""The Open-Unmix recipe: magnitudes of one target, or of all in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from separation.datasets.sampler import MixSampler
from separation.datasets.store import StemStore
from separation.models.open_unmix import OpenUnmix, bins_below
from separation.spectral.stft import StftConfig, istft, stft
from separation.training.config import TrainingConfig
from separation.training.recipe import Objective, Recipe

__all__ = ["OpenUnmixConfig", "OpenUnmixRecipe", "input_statistics", "magnitude"]


@dataclass(frozen=True, kw_only=True)
class OpenUnmixConfig(TrainingConfig):
    """Open-Unmix as published: the numbers that upstream's UMX and UMXHQ were trained with.

    Attributes
    ----------
    hidden_size, n_layers : int
        Of the network.
    n_fft, hop_length : int
        Samples.
    bandwidth : float
        Hz; what lies above is estimated but not looked at.

    References
    ----------
    Stöter, Uhlich, Liutkus, Mitsufuji, Journal of Open Source Software 4(41), 2019.
    """

    weight_decay: float = 1e-5
    schedule: Literal["plateau", "decay", "constant"] = "plateau"
    patience: int | None = 140
    hidden_size: int = 512
    n_layers: int = 3
    n_fft: int = 4096
    hop_length: int = 1024
    bandwidth: float = 16000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        StftConfig(n_fft=self.n_fft, hop_length=self.hop_length)
        if self.hidden_size < 2 or self.hidden_size % 2 or self.n_layers < 1:
            raise ValueError(
                f"hidden_size must be even and n_layers at least 1, got {self.hidden_size} and {self.n_layers}"
            )
        if not 0 < self.bandwidth <= 192000:
            raise ValueError(f"bandwidth must be in 0..192000 Hz, got {self.bandwidth}")


def magnitude(waveform: Tensor, config: StftConfig) -> Tensor:
    """Magnitude of the un-centred STFT that upstream trains with, (..., time) -> (..., bins, frames)."""
    flat = waveform.reshape(-1, waveform.shape[-1])
    window = config.window(waveform)
    X = torch.stft(flat, config.n_fft, config.hop_length, window=window, center=False, return_complex=True)
    # abs() of complex numbers guards against overflow that cannot occur here, at twice the time.
    squared = torch.addcmul(X.real * X.real, X.imag, X.imag)
    return squared.sqrt_().unflatten(0, waveform.shape[:-1])


class MagnitudeLoss(Objective):
    """Mean squared error of a target's magnitude."""

    network: OpenUnmix

    def __init__(self, network: OpenUnmix) -> None:
        super().__init__()
        self.network = network

    def forward(self, mixture: Tensor, target: Tensor) -> Tensor:
        """Both (batch, channels, bins, frames)."""
        return F.mse_loss(self.network(mixture).float(), target)


class OpenUnmixRecipe(Recipe):
    """The methods are described in :class:`separation.training.recipe.Recipe`."""

    method = "open-unmix"
    config: OpenUnmixConfig
    objectives: dict[str, MagnitudeLoss]

    def __init__(self, config: OpenUnmixConfig, *, sources: tuple[str, ...], target: str = "all") -> None:
        if target not in (*sources, "all"):
            raise ValueError(f"the target must be all or one of {', '.join(sources)}, got {target!r}")
        self.config = config
        self.sources = sources
        self.targets = sources if target == "all" else (target,)
        self.stft = StftConfig(n_fft=config.n_fft, hop_length=config.hop_length)
        self.max_bin = bins_below(config.bandwidth, n_fft=config.n_fft, sample_rate=44100)
        self.objectives = {name: MagnitudeLoss(self._network()) for name in self.targets}

    def _network(self) -> OpenUnmix:
        return OpenUnmix(
            n_bins=self.stft.n_bins,
            max_bin=self.max_bin,
            hidden_size=self.config.hidden_size,
            n_layers=self.config.n_layers,
        )

    def excerpts(self, store: StemStore) -> MixSampler:
        return MixSampler(store, self.config)

    def initialise(self, store: StemStore) -> None:
        mean, deviation = input_statistics(store, self.stft, collections=self.config.whole_from)
        for objective in self.objectives.values():
            objective.network.input_mean.data = -mean[: self.max_bin].float()
            objective.network.input_scale.data = 1 / deviation[: self.max_bin].float()

    def inputs(self, sources: Tensor) -> Mapping[str, tuple[Tensor, ...]]:
        mixture = magnitude(sources.sum(1), self.stft)
        return {name: (mixture, magnitude(sources[:, self.sources.index(name)], self.stft)) for name in self.targets}

    def evaluate(self, networks: Mapping[str, nn.Module], sources: Tensor) -> tuple[Tensor, Tensor]:
        X = stft(sources.sum(0), self.stft)
        losses, estimates = [], []
        for name in self.targets:
            estimate = networks[name](X.abs()[None])[0].float()
            reference = sources[self.sources.index(name)]
            losses.append(F.mse_loss(estimate, stft(reference, self.stft).abs()))
            estimates.append(istft(torch.polar(estimate, X.angle()), self.stft, length=sources.shape[-1]))
        return torch.stack(losses), torch.stack(estimates)

    def description(self) -> dict[str, Any]:
        config = self.config
        shape = {
            "n_fft": config.n_fft,
            "hop_length": config.hop_length,
            "max_bin": self.max_bin,
            "hidden_size": config.hidden_size,
        }
        return {"architecture": shape if config.n_layers == 3 else shape | {"n_layers": config.n_layers}}


def input_statistics(
    store: StemStore, config: StftConfig, *, collections: tuple[str, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the training mixtures' magnitude, each (bins,), float64.

    Over all frames of the whole recordings, the channels' magnitudes averaged first, the deviation floored
    at 1e-4 of its largest value: upstream's ``StandardScaler``. The mixture is the sum of the sources.

    Parameters
    ----------
    collections : tuple of str
        Those whose sums are mixtures; empty: all.
    """
    count, total, squares = 0, torch.zeros(config.n_bins).double(), torch.zeros(config.n_bins).double()
    block = config.hop_length * 1024
    for recording in store.recordings:
        if recording.speed != 1 or (collections and recording.collection not in collections):
            continue
        for start in range(0, max(1, recording.frames - config.n_fft + 1), block):
            length = min(block - config.hop_length + config.n_fft, recording.frames - start)
            if length < config.n_fft:
                continue
            mixture = sum(store.excerpt(recording, source, start, length) for source in range(len(store.sources)))
            assert isinstance(mixture, Tensor)
            mono = magnitude(mixture, config).mean(0).double().cpu()
            count += mono.shape[1]
            total += mono.sum(1)
            squares += mono.square().sum(1)
    mean = total / count
    deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
    return mean, deviation.clamp(min=1e-4 * float(deviation.max()))
