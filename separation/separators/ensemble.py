"""Ensembles: the estimates of several methods, combined per source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

from separation.audio.signal import Signal
from separation.separators.base import Separator, SpectrogramSeparator
from separation.separators.lazy_stems import LazySpectrograms, LazyStem, LazyStems
from separation.separators.level import levelled, master
from separation.separators.presets import Preset
from separation.sources import SOURCES
from separation.spectral.stft import InverseStft, StftConfig, frames_between
from separation.spectral.wiener import wiener

__all__ = ["EnsembleOptions", "EnsembleSeparator"]

_Estimates = LazyStems | LazySpectrograms  # of one part

_BLOCK = 1 << 17  # samples averaged at a time

#: Least magnitude of every source relative to the mixture's, -40 dB: what no part claims would otherwise be lost.
_LEAST_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class EnsembleOptions:
    """Options of ensembles.

    Attributes
    ----------
    combine : "wiener" or "mean"
        "wiener" averages the magnitudes of the parts' spectrograms and applies one multichannel Wiener filter to the
        mixture. "mean" averages the waveforms.
    iterations : int
        Iterations of the Wiener filter.
    window : int or None
        STFT frames over which a source's spatial covariance is constant, as for ``open-unmix``.
    """

    combine: str = "wiener"
    iterations: int = 1
    window: int | None = 300

    def __post_init__(self) -> None:
        if self.combine not in ("wiener", "mean"):
            raise ValueError(f"combine must be wiener or mean, got {self.combine!r}")
        if not 0 <= self.iterations <= 100:
            raise ValueError(f"iterations must be in 0..100, got {self.iterations}")
        if self.window is not None and self.window < 1:
            raise ValueError(f"window must be at least 1 frame, or none, got {self.window}")


class EnsembleSeparator(Separator):
    """A weighted mean of several separators' estimates, per source.

    All parts advance together, block by block, so that memory is constant and the first stems are available before any
    part has finished. With the Wiener filter, the mixture is brought to the level of mastered music first.

    Parameters
    ----------
    preset : Preset
        Defines the parts, their inputs and their weights.
    parts : mapping of str to Separator
        A separator for each part; several parts may share one.

    Raises
    ------
    ValueError
        If a part does not estimate a source that it has a weight for, if the parts' sample rates or channels differ, or
        if there is one source only, which the Wiener filter would give the whole mixture.
    """

    options: EnsembleOptions
    stft = StftConfig()

    def __init__(
        self, preset: Preset, parts: Mapping[str, Separator], *, options: EnsembleOptions = EnsembleOptions()
    ) -> None:
        super().__init__()
        self.name = preset.name  # type: ignore[misc]  # an instance is named after its preset
        self.preset, self.parts, self.options = preset, dict(parts), options
        self._kept = {name: self._kept_stems(name) for name in preset.parts}
        weighted = dict.fromkeys(source for part in preset.parts.values() for source in part.weights)
        self.sources = tuple(sorted(weighted, key=lambda source: (*SOURCES, source).index(source)))
        self.sample_rate = _common({part.sample_rate for part in self.parts.values()}, "sample rates")
        channels = {part.channels for part in self.parts.values() if part.channels is not None}
        self.channels = _common(channels, "numbers of channels") if channels else None
        if options.combine == "wiener" and options.iterations and len(self.sources) < 2:
            raise ValueError(
                f"{preset.name}: the Wiener filter needs two sources or more: use combine=mean or iterations=0"
            )
        n_fft = self.stft.n_fft if options.combine == "wiener" else 1
        self.min_frames = max(n_fft, *(part.min_frames for part in self.parts.values()))
        self.device = next(iter(self.parts.values())).device
        models = dict.fromkeys(part.model for part in self.parts.values() if part.model)
        self.model = " + ".join(models) or None
        hashes = [f"{preset.parts}", *(str(part.model_hash) for part in self.parts.values())]
        self.model_hash = hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]

    def _kept_stems(self, name: str) -> tuple[str, ...]:
        """Return the stems of a part that have weights, and then those that other parts separate further."""
        inputs = [part.input.partition(".") for part in self.preset.parts.values() if part.input]
        kept = (*self.preset.parts[name].weights, *(stem for part, _, stem in inputs if part == name))
        for stem in kept:
            if stem not in self.parts[name].sources:
                gives = ", ".join(self.parts[name].sources)
                raise ValueError(f"{self.preset.name}: the part {name!r} has no stem {stem!r}; it gives {gives}")
        return tuple(dict.fromkeys(kept))

    def at(self, *, sample_rate: int, channels: int) -> Separator:
        """Return an ensemble whose parts are configured for this sample rate and channel count."""
        trained = {part.sample_rate for part in self.parts.values() if part.model}
        rate = _common(trained or {sample_rate}, "sample rates")
        parts = {name: part.at(sample_rate=rate, channels=channels) for name, part in self.parts.items()}
        if all(parts[name] is self.parts[name] for name in parts):
            return self
        configured = EnsembleSeparator(self.preset, parts, options=self.options)
        configured.allow_tf32 = self.allow_tf32
        return configured

    def segments(self, frames: int) -> int:
        """Return the number of blocks for a mixture of `frames` samples."""
        if self.options.combine == "mean":
            return -(-frames // _BLOCK)
        n_frames = frames // self.stft.hop_length + 1
        return -(-n_frames // (self.options.window or n_frames))

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        with ExitStack() as closing:
            if self.options.combine == "mean":
                yield from self._mean(mixture, self._start(mixture, closing))
            else:
                matrices = master(mixture)
                signal = levelled(mixture, matrices)
                yield from matrices.restore(self._wiener(signal, self._start(signal, closing)))
        for part in self.parts.values():
            self.notes.extend(note for note in part.notes if note not in self.notes)

    def _start(self, mixture: Signal, closing: ExitStack) -> dict[str, _Estimates]:
        """Return every part's estimates, to be computed as they are read."""
        inputs = {part.input.partition(".")[0] for part in self.preset.parts.values() if part.input}
        stems: dict[str, LazyStems] = {}
        estimates: dict[str, _Estimates] = {}
        for name, part in self.preset.parts.items():
            source: Signal = mixture
            if part.input is not None:
                other, _, stem = part.input.partition(".")
                source = LazyStem(stems[other], self._kept[other].index(stem))
            separator = self.parts[name]
            rows = [separator.sources.index(stem) for stem in self._kept[name]]
            if name not in inputs and self._combines_spectrograms_of(separator):
                estimates[name] = LazySpectrograms(separator.stream_spectrograms(source), rows)
                continue
            estimates[name] = stems[name] = LazyStems(
                separator.stream(source), rows, channels=mixture.channels, frames=mixture.frames
            )
            closing.callback(stems[name].close)
        return estimates

    def _combines_spectrograms_of(self, separator: Separator) -> TypeGuard[SpectrogramSeparator]:
        """Return whether a method's own spectrograms can be combined, without going through its waveforms."""
        spectral = isinstance(separator, SpectrogramSeparator) and separator.stft == self.stft
        return spectral and self.options.combine == "wiener"

    def _average(self, estimates: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted mean (sources, ...) of the parts' estimates, shape (stems, ...) each."""
        total = torch.zeros(len(self.sources), *next(iter(estimates.values())).shape[1:])
        sums = [0.0] * len(self.sources)
        for name, stems in estimates.items():
            for stem, (source, weight) in zip(stems, self.preset.parts[name].weights.items(), strict=False):
                row = self.sources.index(source)
                total[row] += weight * stem
                sums[row] += weight
        return total / torch.tensor(sums).reshape(-1, *[1] * (total.dim() - 1))

    def _mean(self, mixture: Signal, estimates: Mapping[str, _Estimates]) -> Iterator[Tensor]:
        for start in range(0, mixture.frames, _BLOCK):
            stop = min(start + _BLOCK, mixture.frames)
            yield self._average({name: part.read(start, stop) for name, part in estimates.items()})

    def _wiener(self, mixture: Signal, estimates: Mapping[str, _Estimates]) -> Iterator[Tensor]:
        n_frames = mixture.frames // self.stft.hop_length + 1
        inverse, window = InverseStft(self.stft, mixture.frames), self.options.window or n_frames

        def spectrogram(signal: Signal | LazyStems, first: int, last: int) -> Tensor:
            return frames_between(signal.read, mixture.frames, first, last, self.stft)

        for first in range(0, n_frames, window):
            last = min(first + window, n_frames)
            magnitudes = {
                name: (
                    part.read(first, last) if isinstance(part, LazySpectrograms) else spectrogram(part, first, last)
                ).abs()
                for name, part in estimates.items()
            }
            X = spectrogram(mixture, first, last)
            V = torch.maximum(self._average(magnitudes), _LEAST_SHARE * X.abs())
            yield inverse(wiener(V, X, iterations=self.options.iterations), last=last == n_frames)


def _common(values: set[int], quantity: str) -> int:
    """Return the only value in a set; raise ValueError if it holds several."""
    if len(values) > 1:
        raise ValueError(f"the parts of an ensemble have different {quantity}: {', '.join(map(str, sorted(values)))}")
    return next(iter(values))
