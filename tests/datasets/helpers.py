"""Stores of counting tracks, and assertions about random numbers.

The left channel of every counting source counts its samples, and the right channel is a constant that identifies
track and source. Position, gain, polarity and swapped channels of an excerpt can therefore be read from its samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from separation.datasets.augmentation import pitch_shift_batch
from separation.datasets.dataset import open_dataset
from separation.datasets.mix_config import MixConfig
from separation.datasets.sampler import MixSampler
from separation.datasets.store import StemStore, StoredTrack, build_store

RATE = 1000
FRAMES = 600
LENGTH = 200
SOURCES = ("vocals", "drums")
#: No augmentation.
PLAIN: dict[str, Any] = {"seconds": LENGTH / RATE, "gain": (1.0, 1.0), "swap": 0.0}
#: All augmentations except pitch shifting.
MUCH: dict[str, Any] = {
    "seconds": LENGTH / RATE,
    "swap": 0.5,
    "flip": 0.5,
    "shift": 0.03,
    "tilt": 0.5,
    "width": 0.5,
    "doubled": {"vocals": 0.5, "drums": 0.3},
    "reverb": {"studio": 0.5},
}
#: The tracks of the store that most tests use, and the numbers of their sources.
TRACKS = {
    "studio": {"a": {"vocals": 0, "drums": 1}, "b": {"vocals": 2, "drums": 3}, "c": {"vocals": 4}},
    "album": {"d": {"vocals": 6, "drums": 7}},
}


def counting(number: int, frames: int = FRAMES) -> NDArray[np.float64]:
    """Return a source whose left channel counts its samples from 1, and whose right channel encodes `number`."""
    return np.stack([np.arange(1, frames + 1), np.full(frames, -1000 - 100 * number)], 1) / 32768


def make_store(
    folder: Path,
    tracks: Mapping[str, Mapping[str, Mapping[str, NDArray[np.float64]]]],
    *,
    rate: int = RATE,
    speeds: Sequence[float] = (1.0,),
) -> StemStore:
    """Build a store of waves (time, channels), given by data set, track and source."""
    for dataset, by_track in tracks.items():
        for track, waves in by_track.items():
            (folder / dataset / track).mkdir(parents=True)
            for source, wave in waves.items():
                soundfile.write(folder / dataset / track / f"{source}.wav", wave, rate, subtype="PCM_16")
    datasets = [open_dataset(folder / dataset) for dataset in tracks]
    return build_store(folder / "store", datasets, sources=SOURCES, sample_rate=rate, speeds=speeds)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(store: StemStore, size: int, *, seed: int = 0, length: int | None = None, **config: Any) -> Tensor:
    excerpts = MixSampler(store, MixConfig(**config), length=length)
    return excerpts.batch(excerpts.draw(size, seeded(seed)))


class CountingExcerpts(NamedTuple):
    """Parameters decoded from counting sources, each (batch, sources); NaN where there is silence."""

    gain: NDArray[np.float64]
    start: NDArray[np.float64]
    number: NDArray[np.float64]
    swapped: NDArray[np.bool_]


def decode_counting(batch: Tensor) -> CountingExcerpts:
    sound = batch.double().numpy() * 32768
    rises = (sound[..., -1] - sound[..., 0]) / (sound.shape[-1] - 1)  # (batch, sources, channels)
    swapped = np.abs(rises[..., 1]) > np.abs(rises[..., 0])
    gain = np.where(swapped, rises[..., 1], rises[..., 0])
    gain[gain == 0] = np.nan
    first = np.where(swapped, sound[..., 1, 0], sound[..., 0, 0])
    constant = np.where(swapped, sound[..., 0, 0], sound[..., 1, 0])
    return CountingExcerpts(gain, first / gain - 1, (-constant / gain - 1000) / 100, swapped)


def assert_drawn(values: NDArray[np.float64], shares: Mapping[float, float]) -> None:
    """Check that only these values occur, with these frequencies: Pearson's chi-square, up to 4.5 standard deviations.

    Wilson and Hilferty's normal approximation keeps the probability of a chance failure low for any seed.
    """
    values = values[~np.isnan(values)]
    whole = np.rint(values)
    np.testing.assert_allclose(values, whole, atol=0.02)
    assert set(whole) <= {value for value, share in shares.items() if share}
    total = sum(shares.values())
    statistic = 0.0
    for value, share in shares.items():
        if share:
            expected = len(values) * share / total
            statistic += (np.count_nonzero(whole == value) - expected) ** 2 / expected
    degrees = sum(share > 0 for share in shares.values()) - 1
    if degrees:
        spread = 2 / (9 * degrees)
        assert ((statistic / degrees) ** (1 / 3) - (1 - spread)) / math.sqrt(spread) < 4.5


def assert_uniform(values: NDArray[np.float64], low: float, high: float) -> None:
    values = values[~np.isnan(values)]
    slack = 1e-3 * (high - low)
    assert low - slack <= values.min()
    assert values.max() <= high + slack
    bins = np.clip((values - low) / (high - low) * 10, 0, 9.99).astype(int).astype(float)
    assert_drawn(bins, dict.fromkeys(range(10), 1.0))


def assert_share(happened: NDArray[np.bool_], share: float) -> None:
    """Check a relative frequency within four standard deviations."""
    assert happened.mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / happened.size))


def assert_independent(one: NDArray[Any], other: NDArray[Any]) -> None:
    both = ~(np.isnan(one.astype(float)) | np.isnan(other.astype(float)))
    assert abs(np.corrcoef(one[both], other[both])[0, 1]) < 4 / math.sqrt(both.sum())


def pitch_shift(audio: Tensor, *, semitones: float, tempo: float, length: int) -> Tensor:
    """Change pitch and tempo of a single item, (..., channels, time), whose rows stay aligned."""
    rows, one = audio.reshape(1, -1, audio.shape[-1]), torch.ones(1, dtype=torch.float64)
    shifted = pitch_shift_batch(rows, semitones=semitones * one, tempo=tempo * one, length=length)
    return shifted.reshape(*audio.shape[:-1], length)


def read_excerpt(store: StemStore, recording: StoredTrack, source: int, start: int, length: int) -> Tensor:
    """Return what `StemStore.excerpts` must return for one excerpt, (channels, time)."""
    first, last = max(0, start), min(recording.frames, start + length)
    stored = store.samples[recording.start + first : recording.start + max(first, last), source]
    excerpt = torch.zeros(stored.shape[-1], length)
    excerpt[:, first - start : first - start + len(stored)] = stored.T
    return excerpt / 32768
