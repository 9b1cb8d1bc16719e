"""Open-Unmix: one network per target, then the multichannel Wiener filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from separation.audio.signal import Signal
from separation.models.open_unmix import LEGACY_KEYS, OpenUnmix
from separation.separators.base import SpectrogramSeparator
from separation.separators.level import check_level, levelled, master
from separation.separators.overlap_add import fade_window, overlap_add
from separation.separators.precision import apply_precision
from separation.spectral.stft import InverseStft, StftConfig, frames_between
from separation.spectral.wiener import wiener
from separation.weights.model import Model
from separation.workers.threads import map_threads

__all__ = ["OpenUnmixOptions", "OpenUnmixSeparator"]

_BLOCK_FRAMES = 512  # STFT frames encoded at a time


@dataclass(frozen=True, kw_only=True)
class OpenUnmixOptions:
    """Options of ``open-unmix``, with upstream's meaning except for `segment`.

    Attributes
    ----------
    iterations : int
        Iterations of the Wiener filter; 0 combines the networks' magnitudes with the mixture's phase.
    softmask : bool
        Start the filter from shares of the mixture instead of the networks' magnitudes.
    residual : bool
        Add a stem "residual", whose first estimate is the mixture minus those of all targets.
    window : int or None
        Frames over which a source's spatial covariance is constant, counted from the start of the signal.
        None is the whole segment, and memory grows with it. If half an hour of many songs shares one covariance, each
        song loses 0.17 dB of SDR, with windows of 300 frames 0.10 dB, and with the default segments as well 0.04 dB
        (``notebooks/length.ipynb``).
    segment : float or None
        Length in seconds of the chunks of the recurrent layers, rounded up to whole windows; None is the whole signal.
        Signals up to this length are separated in one pass, longer ones in crossfaded chunks. At 30 s per chunk,
        songs of 3 min agreed with the single pass to 26 to 51 dB with the bundled weights (worst for bass, whose
        network has the longest memory); within 10 ms of the joins, the error was at most 1.2 times that elsewhere.
    level : "invariant" or "upstream"
        "invariant" gives the same stems, scaled, at any level: all recordings are brought to the level of mastered
        music for the networks, opposite polarity of the channels is undone, and their means are removed and
        shared equally among the stems (or added to "residual", if present). "upstream" leaves the mixture unchanged.
    """

    iterations: int = 1
    softmask: bool = False
    residual: bool = False
    window: int | None = 300
    segment: float | None = 60.0
    level: str = "invariant"

    def __post_init__(self) -> None:
        check_level(self.level)
        if not 0 <= self.iterations <= 100:
            raise ValueError(f"iterations must be in 0..100, got {self.iterations}")
        if self.window is not None and self.window < 1:
            raise ValueError(f"window must be at least 1 frame, or none, got {self.window}")
        if self.segment is not None and not 2 <= self.segment <= 3600:
            raise ValueError(f"segment must be in 2..3600 s, or none, got {self.segment}")


class OpenUnmixSeparator(SpectrogramSeparator):
    """Separation by Open-Unmix, with released or locally trained weights.

    References
    ----------
    Stöter, Uhlich, Liutkus, Mitsufuji, Journal of Open Source Software 4(41), 2019.
    """

    name = "open-unmix"
    context_seconds = 6.0  # on both sides of a chunk, to warm up the LSTMs; their output there is discarded
    fade_seconds = 6.0
    options: OpenUnmixOptions

    def __init__(self, model: Model, *, device: torch.device, precision: str, options: OpenUnmixOptions) -> None:
        super().__init__()
        self.networks: list[Any] = []  # in the order of `sources`
        for source in model.sources:
            self.stft, network = model.build(lambda shape: _build(shape, model.channels))
            model.load_into(network, model.file(source), ignore=LEGACY_KEYS)
            self.networks.append(apply_precision(network.eval(), precision, device))
        if options.iterations and len(self.networks) + options.residual < 2:
            raise ValueError("the Wiener filter needs two sources or more: use residual=true or iterations=0")
        self._adopt(model, device, options)
        if options.residual:
            self.sources = (*model.sources, "residual")
        self.min_frames = self.stft.n_fft

    def segments(self, frames: int) -> int:
        """Return the number of filter windows in a mixture of `frames` samples."""
        return -(-self._num_frames(frames) // self._window_frames(frames))

    def _num_frames(self, length: int) -> int:
        """Return the number of STFT frames of `length` samples."""
        return length // self.stft.hop_length + 1

    def _chunk_frames(self, length: int) -> int:
        """Return the STFT frames per chunk of the recurrent layers: whole windows, so that none spans two chunks."""
        if self.options.segment is None:
            return self._num_frames(length)
        frames = max(1, round(self.options.segment * self.sample_rate / self.stft.hop_length))
        window = self.options.window or frames
        return -(-frames // window) * window

    def _window_frames(self, length: int) -> int:
        """Return the number of STFT frames that are filtered and yielded together."""
        return self.options.window or self._chunk_frames(length)

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        if self.options.level == "upstream":
            yield from self._estimates(mixture)
            return
        matrices = master(mixture)
        shares = torch.eye(len(self.sources))[-1] if self.options.residual else None
        yield from matrices.restore(self._estimates(levelled(mixture, matrices)), shares)

    def _estimates(self, mixture: Signal) -> Iterator[Tensor]:
        """Yield the blocks of estimates for a mixture at the level that the networks expect."""
        left, inverse = self._num_frames(mixture.frames), InverseStft(self.stft, mixture.frames)
        for Y in self.stream_spectrograms(mixture):
            left -= Y.shape[-1]
            yield inverse(Y, last=left == 0).cpu()

    def stream_spectrograms(self, mixture: Signal) -> Iterator[Tensor]:
        """Yield the filtered spectrograms, one block (sources, channels, bins, frames) per window."""
        window = self._window_frames(mixture.frames)
        for start, features, held in self._features(mixture):
            for first in range(start, start + features.shape[-1], window):
                last = min(first + window, start + features.shape[-1])
                yield self._filter(features[..., first - start : last - start], held, first, last)

    def _features(self, mixture: Signal) -> Iterator[tuple[int, Tensor, _HeldSignal]]:
        """Yield the networks' features, chunk by chunk.

        Adjacent chunks are crossfaded in the feature domain. Each is computed with at least `context_seconds`
        of context on either side, so that there is no audible seam. Signals shorter than a chunk are processed whole.

        Yields
        ------
        int
            First STFT frame of the chunk.
        Tensor, shape (targets, features, frames)
        _HeldSignal
            The mixture around the chunk.
        """
        length, frames = mixture.frames, self._num_frames(mixture.frames)
        chunk = self._chunk_frames(length)
        per_second = self.sample_rate / self.stft.hop_length
        context, fade = round(self.context_seconds * per_second), round(self.fade_seconds * per_second)
        fade = min(fade, chunk)
        held = _HeldSignal(mixture)

        def recurrent(first: int, last: int) -> Tensor:
            # At an end of the signal, context is added on the other side instead, so that all chunks are equally long.
            begin, end = max(0, first - context), min(frames, last + context)
            begin, end = max(0, end - (last - first) - 2 * context), min(frames, begin + (last - first) + 2 * context)
            held.hold(begin * self.stft.hop_length - self.stft.n_fft, end * self.stft.hop_length + self.stft.n_fft)
            encoded = [
                self._encode(held, block, min(block + _BLOCK_FRAMES, end)) for block in range(begin, end, _BLOCK_FRAMES)
            ]
            parts = list(zip(self.networks, map(torch.cat, zip(*encoded, strict=True)), strict=True))
            return torch.stack(
                self._map_networks(lambda part: part[0].recurrent(part[1])[first - begin : last - begin, 0].T, parts)
            )

        start = 0
        starts = range(0, max(1, frames - fade), chunk)
        for block in overlap_add(recurrent, frames, starts=starts, window=fade_window(chunk + fade, fade)):
            yield start, block, held
            start += block.shape[-1]

    def _map_networks(self, function: Callable[[Any], Tensor], items: Sequence[Any]) -> list[Tensor]:
        """Apply a function with one network per core; operations within a network are sequential."""
        if self.device.type == "cpu":
            return map_threads(function, items)
        return [function(item) for item in items]

    def _encode(self, mixture: Signal, first: int, last: int) -> list[Tensor]:
        """Return every network's features of STFT frames `first` to `last`, shape (last - first, 1, features) each."""
        magnitude = self._spectrogram(mixture, first, last).abs().movedim(-1, 0)[:, None]
        return self._map_networks(lambda network: network.encode(magnitude), self.networks)

    def _spectrogram(self, mixture: Signal, first: int, last: int) -> Tensor:
        """Return STFT frames `first` to `last` of the mixture on the device, shape (channels, bins, last - first)."""
        return frames_between(
            lambda start, stop: mixture.read(start, stop).to(self.device), mixture.frames, first, last, self.stft
        )

    def _filter(self, features: Tensor, mixture: Signal, first: int, last: int) -> Tensor:
        """Return the stems' spectrograms, shape (sources, channels, bins, last - first)."""
        X = self._spectrogram(mixture, first, last)
        magnitude = X.abs().movedim(-1, 0)[:, None]
        estimates = self._map_networks(
            lambda part: part[0].decode_mask(part[1].T[:, None], magnitude)[:, 0].movedim(0, 1),
            list(zip(self.networks, features, strict=True)),
        )
        options = self.options
        return wiener(
            torch.stack(estimates).mT,
            X,
            iterations=options.iterations,
            softmask=options.softmask,
            residual=options.residual,
        )


class _HeldSignal:
    """A buffered part of a signal; only this part can be read."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self.channels, self.frames = signal.channels, signal.frames

    def hold(self, start: int, stop: int) -> None:
        """Read a part into memory, replacing the previous one."""
        self._start = max(0, start)
        self._samples = self._signal.read(self._start, min(stop, self.frames))

    def read(self, start: int, stop: int) -> Tensor:
        return self._samples[:, start - self._start : stop - self._start]


def _build(shape: dict[str, Any], channels: int) -> tuple[StftConfig, OpenUnmix]:
    config = StftConfig(n_fft=shape.pop("n_fft"), hop_length=shape.pop("hop_length"))
    return config, OpenUnmix(n_bins=config.n_bins, n_channels=channels, **shape)
