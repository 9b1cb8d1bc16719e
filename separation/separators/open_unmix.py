"""Open-Unmix: one network per target, then the multichannel Wiener filter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from separation.checkpoints import Model
from separation.masking import wiener
from separation.models.open_unmix import LEGACY_KEYS, OpenUnmix
from separation.segments import fade_window, overlap_add
from separation.separators.base import Separator
from separation.separators.precision import apply_precision
from separation.stft import StftConfig, istft, stft

__all__ = ["OpenUnmixOptions", "OpenUnmixSeparator"]


@dataclass(frozen=True, kw_only=True)
class OpenUnmixOptions:
    """Options of ``open-unmix``; but for `segment` they mean what they mean upstream.

    Attributes
    ----------
    iterations : int
        Of the Wiener filter; 0: the networks' magnitudes with the mixture's phase.
    softmask : bool
        Start the filter from shares of the mixture instead.
    residual : bool
        One more stem, "residual": what the networks leave of the mixture.
    window : int or None
        Frames over which a source's place in the stereo picture is taken as constant; None: the whole segment.
        Over a whole file of many pieces instead, each loses 0.17 dB of SDR (``notebooks/length.ipynb``).
    segment : float or None
        Seconds that are separated at a time; None: the whole signal, memory growing with it.
    """

    iterations: int = 1
    softmask: bool = False
    residual: bool = False
    window: int | None = 300
    segment: float | None = 20.0

    def __post_init__(self) -> None:
        if not 0 <= self.iterations <= 100:
            raise ValueError(f"iterations must be in 0..100, got {self.iterations}")
        if self.window is not None and self.window < 1:
            raise ValueError(f"window must be at least 1 frame, or none, got {self.window}")
        if self.segment is not None and not 2 <= self.segment <= 3600:
            raise ValueError(f"segment must be in 2..3600 s, or none, got {self.segment}")


class OpenUnmixSeparator(Separator):
    """Open-Unmix, with upstream's released or locally trained weights or ours.

    References
    ----------
    Stöter, Uhlich, Liutkus, Mitsufuji, Journal of Open Source Software 4(41), 2019.
    """

    name = "open-unmix"
    context_seconds = 3.0  # on both sides of a segment, for the LSTMs to warm up on; not used otherwise
    fade_seconds = 0.5
    options: OpenUnmixOptions

    def __init__(
        self,
        model: Model,
        *,
        device: torch.device = torch.device("cpu"),
        precision: str = "auto",
        options: OpenUnmixOptions = OpenUnmixOptions(),
    ) -> None:
        super().__init__()
        self.networks: list[Any] = []  # in the order of the sources
        for source in model.sources:
            self.stft, network = model.build(lambda shape: _build(shape, model.channels))
            model.load_into(network, model.file(source), ignore=LEGACY_KEYS)
            self.networks.append(apply_precision(network.eval(), precision, device))
        if options.iterations and len(self.networks) + options.residual < 2:
            raise ValueError("the Wiener filter needs two sources or more: use residual=true or iterations=0")
        self.sources = (*model.sources, "residual") if options.residual else model.sources
        self.sample_rate = model.sample_rate
        self.channels = model.channels
        self.min_frames = self.stft.n_fft
        self.model, self.model_hash = model.name, model.hash()
        self.device = device
        self.options = options

    def segments(self, frames: int) -> int:
        return 1 if self.options.segment is None else len(self._starts(frames, self.options.segment))

    def _starts(self, frames: int, segment: float) -> range:
        fade = round(self.fade_seconds * self.sample_rate)
        return range(0, max(1, frames - fade), round(segment * self.sample_rate) - fade)

    def _stream(self, mixture: Tensor) -> Iterator[Tensor]:
        length = mixture.shape[-1]
        segment = self.options.segment
        if segment is None:
            yield self._estimate(mixture)
            return
        context = round(self.context_seconds * self.sample_rate)

        def process(start: int, stop: int) -> Tensor:
            first, last = max(0, start - context), min(length, stop + context)
            first -= first % self.stft.hop_length  # frames lie where they lie in the whole signal
            return self._estimate(mixture[:, first:last])[..., start - first : stop - first]

        window = fade_window(round(segment * self.sample_rate), round(self.fade_seconds * self.sample_rate))
        yield from overlap_add(process, length, starts=self._starts(length, segment), window=window)

    def _estimate(self, mixture: Tensor) -> Tensor:
        """(channels, time) -> (sources, channels, time), in one piece."""
        X = stft(mixture.to(self.device), self.stft)
        magnitude = X.abs()[None]
        estimates = torch.cat([network(magnitude) for network in self.networks])
        options = self.options
        Y = wiener(
            estimates,
            X,
            iterations=options.iterations,
            softmask=options.softmask,
            residual=options.residual,
            window=options.window,
        )
        return istft(Y, self.stft, length=mixture.shape[-1]).cpu()


def _build(shape: dict[str, Any], channels: int) -> tuple[StftConfig, OpenUnmix]:
    config = StftConfig(n_fft=shape.pop("n_fft"), hop_length=shape.pop("hop_length"))
    return config, OpenUnmix(n_bins=config.n_bins, n_channels=channels, **shape)
