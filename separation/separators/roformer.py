"""BS-RoFormer and Mel-Band RoFormer: complex masks from transformers along time and bands, in overlapping segments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.audio.signal import Signal
from separation.models.onednn_roformer import OneDnnRoformer
from separation.models.roformer import BANDS, Roformer, mel_bands, split_bands
from separation.separators.base import Separator
from separation.separators.overlap_add import fade_window, overlap_add
from separation.separators.precision import batch_seconds, waveform_estimator
from separation.weights.model import Model

__all__ = ["RoformerOptions", "RoformerSeparator"]


@dataclass(frozen=True, kw_only=True)
class RoformerOptions:
    """Options of ``roformer``.

    Attributes
    ----------
    segment : float
        Length in seconds of the segments that the network processes. Computing time and memory grow with it.
    overlap : float
        Fraction of a segment shared with the next, from 0 to below 1.
    config : str or None
        The YAML file of a checkpoint given as ``--model FILE.ckpt``.
    """

    segment: float = 8.0
    overlap: float = 0.5
    config: str | None = None

    def __post_init__(self) -> None:
        if not 0.5 <= self.segment <= 600:
            raise ValueError(f"segment must be in 0.5..600 s, got {self.segment}")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must be in 0..1 (1 excluded), got {self.overlap}")


class RoformerSeparator(Separator):
    """Separation by BS-RoFormer or Mel-Band RoFormer, with published weights.

    A network of one stem gives two sources: its target, and the rest of the mixture. The stems scale with the
    mixture, since the network normalises its input in every band.

    References
    ----------
    Lu, Wang, Kong, Hung, "Music source separation with band-split RoPE transformer", arXiv:2309.02612;
    Wang, Lu, Won, "Mel-Band RoFormer for music source separation", arXiv:2310.01809.
    """

    name = "roformer"
    options: RoformerOptions

    def __init__(self, model: Model, *, device: torch.device, precision: str, options: RoformerOptions) -> None:
        super().__init__()
        network = model.build(lambda shape: _network(model, shape))
        model.load_into(network, model.file("all"))
        self._n_stems, self._shortest = len(network.mask_estimators), network.n_fft
        self.network = waveform_estimator(network, OneDnnRoformer, precision, device)
        self._adopt(model, device, options)

    @property
    def _segment(self) -> int:
        return round(self.options.segment * self.sample_rate)

    def _starts(self, frames: int) -> range:
        step = max(1, round((1 - self.options.overlap) * self._segment))
        return range(0, max(1, frames - self._segment + step), step)

    def segments(self, frames: int) -> int:
        """Return the number of blocks for a mixture of `frames` samples."""
        return len(self._starts(frames))

    @property
    def segments_per_batch(self) -> int:
        """Number of segments per batch: one on a CPU, whose cores are busy with it."""
        return max(1, int(batch_seconds(self.device) // self.options.segment)) if self.device.type == "cuda" else 1

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        starts = self._starts(mixture.frames)
        estimates = self._estimates(mixture, starts)
        window = fade_window(self._segment, self._segment // 10)  # fades of a tenth of a segment, as upstream
        return overlap_add(lambda start, stop: next(estimates), mixture.frames, starts=starts, window=window)

    def _estimates(self, mixture: Signal, starts: range) -> Iterator[Tensor]:
        """Yield the stems (sources, channels, time) of every segment, in order, several computed in one batch."""
        for batch in (starts[i : i + self.segments_per_batch] for i in range(0, len(starts), self.segments_per_batch)):
            # The last segment is as long as the others.
            firsts = [max(0, min(start, mixture.frames - self._segment)) for start in batch]
            inputs = [mixture.read(first, min(first + self._segment, mixture.frames)) for first in firsts]
            estimates = self._estimate(inputs)
            for start, first in zip(batch, firsts, strict=True):
                yield estimates.pop(0)[..., start - first :]

    def _estimate(self, mixtures: list[Tensor]) -> list[Tensor]:
        """Return the stems (sources, channels, time) of segments (channels, time) of equal length."""
        length = mixtures[0].shape[-1]
        missing = max(0, self._shortest - length)
        found = self.network([F.pad(mixture, (0, missing)).to(self.device) for mixture in mixtures])
        estimates = [stems[..., :length].cpu() for stems in found]
        if self._n_stems < len(self.sources):
            pairs = zip(estimates, mixtures, strict=True)
            estimates = [torch.cat([stems, (mixture - stems.sum(0))[None]]) for stems, mixture in pairs]
        return estimates


def _network(model: Model, shape: dict[str, Any]) -> Roformer:
    """Build the network of an architecture: sizes, and either ``mel_bands`` or ``band_widths``."""
    n_mel_bands, widths = shape.pop("mel_bands", None), shape.pop("band_widths", BANDS)
    if n_mel_bands is None:
        bands = split_bands(widths)
    else:
        bands = mel_bands(n_mel_bands, n_fft=shape.get("n_fft", 2048), sample_rate=model.sample_rate)
    network = Roformer(bands, norm_each=n_mel_bands is not None, n_channels=model.channels, **shape)
    n_stems = len(network.mask_estimators)
    if len(model.sources) != max(2, n_stems):
        raise ValueError(f"it names {len(model.sources)} sources for a network of {n_stems} stems")
    return network
