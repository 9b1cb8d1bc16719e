"""Does Open-Unmix get worse on longer audio? The measurements that ``length.ipynb`` draws.

    PYTHONPATH=. python notebooks/length.py --data DATA --out notebooks/length.csv

DATA holds ``musdb18-7s`` and ``cc0-album``. The same excerpts are separated alone and inside ever longer sound,
and scored at their own places: only their surroundings change. The SDR of BSSEval v4 needs no projection, so it
is computed directly: per 1 s frame, median over the frames of an excerpt.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from separation.datasets.musdb18 import Track, tracks
from separation.separators import create
from separation.sources import SOURCES
from separation.spectral.masks import apply_mixture_phase
from separation.spectral.stft import istft, stft
from separation.spectral.wiener import wiener

RATE = 44100
MARGIN = 8  # frames of the transform on both sides of an excerpt
BINS = 32  # filtered at a time
WHOLE = ("networks alone", "whole-file statistics", "300-frame windows")


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a programme (start, stop in samples) that is scored, under a name that stays."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Programme:
    """Sources (sources, channels, time), and what of them is scored."""

    material: str
    sources: Tensor
    excerpts: list[Excerpt]

    @property
    def seconds(self) -> float:
        return self.sources.shape[-1] / RATE


# -- programmes ------------------------------------------------------------------------------------


def read(track: Track) -> Tensor:
    _, references, _ = track.read()
    return torch.from_numpy(np.stack([references[source] for source in SOURCES]))


def clips_in_programmes(root: Path) -> Iterator[Programme]:
    """The 20 test clips alone, together, and spread among clips of the training set."""
    scored = {track.name: read(track) for track in tracks(root, subset="test")}
    others = [read(track) for track in tracks(root, subset="train")]
    order = list(np.random.default_rng(0).permutation(list(scored)))
    for count in (1, 4, 10, 20):
        for first in range(0, len(order), count):
            yield joined([(name, scored[name]) for name in order[first : first + count]])
    for minutes in (10, 30):
        fillers = round(minutes * 60 / 6.8) - len(order)
        parts: list[tuple[str, Tensor]] = []
        for place, name in enumerate(order):
            parts.append((name, scored[name]))
            between = range(place * fillers // len(order), (place + 1) * fillers // len(order))
            parts.extend(("", others[number % len(others)]) for number in between)
        yield joined(parts)


def joined(parts: list[tuple[str, Tensor]]) -> Programme:
    """One after the other; those with a name are scored."""
    excerpts, position = [], 0
    for name, sources in parts:
        if name:
            excerpts.append(Excerpt(name, position, position + sources.shape[-1]))
        position += sources.shape[-1]
    return Programme("clips", torch.cat([sources for _, sources in parts], -1), excerpts)


def songs_and_their_excerpts(root: Path) -> Iterator[Programme]:
    """Excerpts of 7 s every 40 s, alone, with 30 s around them, and in the whole song."""
    for track in tracks(root, subset="train"):
        sources = read(track)
        places = range(30 * RATE, sources.shape[-1] - 40 * RATE, 40 * RATE)
        excerpts = [Excerpt(f"{track.name} {start // RATE} s", start, start + 7 * RATE) for start in places]
        yield Programme("songs", sources, excerpts)
        for length in (7, 30):
            for excerpt in excerpts:
                first = excerpt.start - (length - 7) // 2 * RATE
                cut = sources[..., first : first + length * RATE]
                moved = Excerpt(excerpt.name, excerpt.start - first, excerpt.stop - first)
                yield Programme("songs", cut, [moved])


# -- separation ------------------------------------------------------------------------------------


def in_segments(programme: Programme) -> Iterator[Tensor]:
    """Our default; an excerpt's estimates (sources, channels, time) at a time."""
    separator = create("open-unmix", device="cpu")
    rows = [separator.sources.index(source) for source in SOURCES]
    position = 0
    waiting = list(programme.excerpts)
    kept = torch.empty(len(SOURCES), 2, 0)
    for block in separator.stream(programme.sources.sum(0)):
        kept = torch.cat([kept, block[rows]], -1)
        end = position + kept.shape[-1]
        while waiting and waiting[0].stop <= end:
            excerpt = waiting.pop(0)
            yield kept[..., excerpt.start - position : excerpt.stop - position]
        first = waiting[0].start if waiting else end
        drop = max(0, min(first, end) - position)
        kept, position = kept[..., drop:], position + drop


def in_one_piece(programme: Programme, strategies: tuple[str, ...]) -> dict[str, list[Tensor]]:
    """The networks once over everything; then filtered, a few frequencies at a time, and kept where it is scored."""
    separator = create("open-unmix", device="cpu")
    networks = dict(zip(separator.sources, separator.networks, strict=True))  # type: ignore[attr-defined]
    config = separator.stft  # type: ignore[attr-defined]
    hop = config.hop_length
    X = stft(programme.sources.sum(0), config)
    n_frames = X.shape[-1]
    spans = [(max(0, e.start // hop - MARGIN), min(n_frames, e.stop // hop + MARGIN + 1)) for e in programme.excerpts]
    keep = torch.cat([torch.arange(*span) for span in spans])
    found = {s: torch.empty(len(SOURCES), *X.shape[:-1], len(keep), dtype=X.dtype) for s in strategies}
    with tempfile.TemporaryFile() as file:
        shape = (len(SOURCES), *X.shape)
        magnitudes = torch.from_numpy(np.memmap(file, dtype=np.float32, mode="w+", shape=shape))
        for row, source in enumerate(SOURCES):
            magnitudes[row] = networks[source](X.abs()[None])[0]
        for first in range(0, X.shape[1], BINS):
            bins = slice(first, first + BINS)
            v, x = magnitudes[:, :, bins], X[:, bins]
            for strategy in strategies:
                if strategy == "networks alone":
                    Y = apply_mixture_phase(v[..., keep], x[..., keep])
                else:
                    window = 300 if "300" in strategy else None
                    Y = wiener(v, x, iterations=1, window=window)[..., keep]
                found[strategy][:, :, bins] = Y
    return {strategy: list(_excerpts(Y, programme, spans, config)) for strategy, Y in found.items()}


def _excerpts(Y: Tensor, programme: Programme, spans: list[tuple[int, int]], config: object) -> Iterator[Tensor]:
    position = 0
    for excerpt, (first, last) in zip(programme.excerpts, spans, strict=True):
        count = last - first
        hop = config.hop_length  # type: ignore[attr-defined]
        wave = istft(Y[..., position : position + count], config, length=(count - 1) * hop)  # type: ignore[arg-type]
        position += count
        begin = excerpt.start - first * hop
        estimate = wave[..., begin : begin + excerpt.stop - excerpt.start]
        missing = excerpt.stop - excerpt.start - estimate.shape[-1]
        yield torch.nn.functional.pad(estimate, (0, missing))


# -- scores ----------------------------------------------------------------------------------------


def sdr(reference: Tensor, estimate: Tensor) -> np.ndarray:
    """Median over 1 s frames, a value per source, dB; NaN where all frames hold a silent source."""
    frames = reference.shape[-1] // RATE
    s, e = (x[..., : frames * RATE].double().unflatten(-1, (frames, RATE)) for x in (reference, estimate))
    values = 10 * torch.log10(s.square().sum((1, 3)) / (s - e).square().sum((1, 3)))
    silent = (s.sum(1) == 0).all(-1).any(0)
    values[:, silent] = torch.nan
    return np.array(np.nanmedian(values.numpy(), axis=1)) if not silent.all() else np.full(len(values), np.nan)


def measure(programme: Programme) -> Iterator[list[object]]:
    """Rows: material, strategy, seconds of sound, excerpt, SDR of vocals, drums, bass, other."""
    estimates = {"our segments": list(in_segments(programme)), **in_one_piece(programme, WHOLE)}
    for strategy, found in estimates.items():
        for excerpt, estimate in zip(programme.excerpts, found, strict=True):
            reference = programme.sources[..., excerpt.start : excerpt.stop]
            cells = [f"{value:.3f}" for value in sdr(reference, estimate)]
            yield [programme.material, strategy, f"{programme.seconds:.1f}", excerpt.name, *cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    programmes = (
        clips_in_programmes(arguments.data / "musdb18-7s"),
        songs_and_their_excerpts(arguments.data / "cc0-album"),
    )
    with arguments.out.open("w", encoding="utf-8", newline="") as file, torch.inference_mode():
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["material", "strategy", "seconds", "excerpt", *SOURCES])
        for kind in programmes:
            for programme in kind:
                lines.writerows(measure(programme))
                file.flush()


if __name__ == "__main__":
    main()
