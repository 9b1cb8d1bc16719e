"""The Open-Unmix recipe: one network per target on magnitude spectrograms, trained alone or with the others."""

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
    """The published settings of Open-Unmix, with which upstream trained UMX and UMXHQ.

    Attributes
    ----------
    hidden_size, n_layers : int
        Units and layers of the LSTM.
    n_fft, hop_length : int
        STFT window and hop length in samples.
    bandwidth : float
        Bandwidth of the network's input in Hz; its output covers all frequencies.

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
    """Return the magnitude of the uncentred STFT that upstream trains with.

    `waveform` has shape (..., time), the result (..., bins, frames).
    """
    flat = waveform.reshape(-1, waveform.shape[-1])
    window = config.window(waveform)
    X = torch.stft(flat, config.n_fft, config.hop_length, window=window, center=False, return_complex=True)
    # abs() takes twice as long, since it avoids an overflow that cannot occur here.
    squared = torch.addcmul(X.real * X.real, X.imag, X.imag)
    return squared.sqrt_().unflatten(0, waveform.shape[:-1])


class MagnitudeLoss(Objective):
    """The mean squared error of a target's magnitude."""

    network: OpenUnmix

    def __init__(self, network: OpenUnmix) -> None:
        super().__init__()
        self.network = network

    def forward(self, mixture: Tensor, target: Tensor) -> Tensor:
        """Return the loss for magnitudes of shape (batch, channels, bins, frames)."""
        return F.mse_loss(self.network(mixture).float(), target)


class OpenUnmixRecipe(Recipe):
    """A recipe with one network per target; see :class:`separation.training.recipe.Recipe` for the methods."""

    method = "open-unmix"
    config: OpenUnmixConfig
    objectives: dict[str, MagnitudeLoss]

    def __init__(
        self, config: OpenUnmixConfig, *, sources: tuple[str, ...], target: str = "all", sample_rate: int = 44100
    ) -> None:
        if target not in (*sources, "all"):
            raise ValueError(f"the target must be all or one of {', '.join(sources)}, got {target!r}")
        self.config = config
        self.sources = sources
        self.sample_rate = sample_rate
        self.targets = sources if target == "all" else (target,)
        self.stft = StftConfig(n_fft=config.n_fft, hop_length=config.hop_length)
        self.max_bin = bins_below(config.bandwidth, n_fft=config.n_fft, sample_rate=sample_rate)
        self.objectives = {name: MagnitudeLoss(self._network()) for name in self.targets}

    def _network(self) -> OpenUnmix:
        return OpenUnmix(
            n_bins=self.stft.n_bins,
            max_bin=self.max_bin,
            hidden_size=self.config.hidden_size,
            n_layers=self.config.n_layers,
        )

    def sampler(self, store: StemStore) -> MixSampler:
        """Return a sampler of excerpts of the configured length."""
        return MixSampler(store, self.config)

    def initialise(self, store: StemStore) -> None:
        """Set the networks' input mean and scale from the training mixtures."""
        mean, std = input_statistics(store, self.stft, datasets=self.config.whole_from)
        for objective in self.objectives.values():
            objective.network.input_mean.data = -mean[: self.max_bin].float()
            objective.network.input_scale.data = 1 / std[: self.max_bin].float()

    def inputs(self, sources: Tensor) -> Mapping[str, tuple[Tensor, ...]]:
        """Return the magnitudes of mixture and target, (batch, channels, bins, frames) each, by target."""
        mixture = magnitude(sources.sum(1), self.stft)
        return {name: (mixture, magnitude(sources[:, self.sources.index(name)], self.stft)) for name in self.targets}

    def evaluate(self, networks: Mapping[str, nn.Module], sources: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the targets of a whole track; see :meth:`separation.training.recipe.Recipe.evaluate`."""
        X = stft(sources.sum(0), self.stft)
        losses, estimates = [], []
        for name in self.targets:
            estimate = networks[name](X.abs()[None])[0].float()
            reference = sources[self.sources.index(name)]
            losses.append(F.mse_loss(estimate, stft(reference, self.stft).abs()))
            estimates.append(istft(torch.polar(estimate, X.angle()), self.stft, length=sources.shape[-1]))
        return torch.stack(losses), torch.stack(estimates)

    def description(self) -> dict[str, Any]:
        """Return the fields of ``model.json`` that depend on the recipe."""
        config = self.config
        shape = {
            "n_fft": config.n_fft,
            "hop_length": config.hop_length,
            "max_bin": self.max_bin,
            "hidden_size": config.hidden_size,
        }
        return {"architecture": shape if config.n_layers == 3 else shape | {"n_layers": config.n_layers}}


def input_statistics(store: StemStore, config: StftConfig, *, datasets: tuple[str, ...] = ()) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the training mixtures' magnitudes, each (bins,), float64.

    They are computed over all frames of all recordings, from magnitudes averaged over the channels. Deviations below
    1e-4 of the largest are raised to that value. Both steps follow upstream's ``StandardScaler``.

    Parameters
    ----------
    store : StemStore
    config : StftConfig
    datasets : tuple of str
        Data sets in which the sum of the sources is an original mixture; empty for all.
    """
    count, total, squares = 0, torch.zeros(config.n_bins).double(), torch.zeros(config.n_bins).double()
    block = config.hop_length * 1024
    sources = torch.arange(len(store.sources))
    for index, recording in enumerate(store.recordings):
        if recording.speed != 1 or (datasets and recording.collection not in datasets):
            continue
        for start in range(0, max(1, recording.frames - config.n_fft + 1), block):
            length = min(block - config.hop_length + config.n_fft, recording.frames - start)
            if length < config.n_fft:
                continue
            stems = store.excerpts(torch.full_like(sources, index), sources, torch.full_like(sources, start), length)
            mono = magnitude(stems.sum(0), config).mean(0).double().cpu()
            count += mono.shape[1]
            total += mono.sum(1)
            squares += mono.square().sum(1)
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    return mean, std.clamp(min=1e-4 * float(std.max()))
