"""Batched mixing equals a loop over items, sources, takes and frames, and does not read from the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from separation.datasets import excerpts
from separation.datasets.augmentation import pitch_shift_batch, pitch_shift_length
from separation.datasets.mix_config import MixConfig
from separation.datasets.sampler import MixSampler
from separation.datasets.store import StemStore
from tests.conftest import snr
from tests.datasets.helpers import MUCH, RATE, make_store, seeded
from tests.datasets.looped_mixing import looped_batch, looped_pitch_shift


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> StemStore:
    """Return a store of two data sets of coloured noise; the shortest track is shorter than most excerpts."""
    random = np.random.default_rng(0)
    tracks: dict[str, Any] = {"studio": {}, "album": {}}
    for number, frames in enumerate((30000, 4000, 25000)):
        noise = {source: random.uniform(-0.3, 0.3, (frames + 1, 2)) for source in ("vocals", "drums")}
        smooth = {source: wave[1:] + wave[:-1] for source, wave in noise.items()}
        tracks["album" if number == 2 else "studio"][f"track {number}"] = smooth
    return make_store(tmp_path_factory.mktemp("music"), tracks)


@pytest.mark.parametrize("length", [700, 5000, 20000])
@pytest.mark.parametrize(
    "changed",
    [{}, {"shuffle_groups": 4}, {"random_tracks": False}, {"repitch": 0.5}, {"repitch": 1.0, "shuffle_groups": 2}],
    ids=["mixed", "shuffled", "original", "repitched", "all repitched"],
)
def test_a_batch_equals_the_looped_one(length: int, changed: dict[str, Any], music: StemStore) -> None:
    sampler = MixSampler(music, MixConfig(**MUCH | changed), length=length)
    draw = sampler.draw(8, seeded(length))
    assert (draw.tempo != 1).any() == bool(changed.get("repitch"))
    found, expected = sampler.batch(draw), looped_batch(sampler, draw)
    assert found.shape == expected.shape == (8, 2, 2, length)
    assert snr(found, expected) > 90


def test_an_item_does_not_depend_on_the_others(music: StemStore) -> None:
    sampler = MixSampler(music, MixConfig(**MUCH | {"repitch": 0.5}), length=3000)
    draw = sampler.draw(6, seeded(1))
    batch = sampler.batch(draw)
    for item in range(6):
        assert snr(sampler.batch(draw.item(item))[0], batch[item]) > 110


def test_pitch_shifting_a_batch_equals_pitch_shifting_its_items() -> None:
    tempo = torch.tensor([0.8, 1.0, 1.15, 1.0], dtype=torch.float64)
    semitones = torch.tensor([2.0, -3.0, 2.0, 0.0])
    longest = pitch_shift_length(6000, tempo=1.15)
    audio = torch.randn(4, 3, longest, generator=seeded())
    batch = pitch_shift_batch(audio, semitones=semitones, tempo=tempo, length=6000)
    for item, (pitch, speed) in enumerate(zip(semitones.tolist(), tempo.tolist(), strict=True)):
        own = audio[item, :, : pitch_shift_length(6000, tempo=speed)]
        assert snr(batch[item], looped_pitch_shift(own, semitones=pitch, tempo=speed, length=6000)) > 90


def test_the_number_of_operations_does_not_grow_with_the_batch(
    music: StemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU augments a few excerpts at a time, and each room has a generator of its own: neither is counted here."""
    monkeypatch.setattr("separation.datasets.sampler._CACHED", 1000)
    monkeypatch.setattr(excerpts, "_sliced_windows", excerpts._windows)
    config = MixConfig(**MUCH | {"reverb": {}, "max_semitones": 0, "shuffle_groups": 2, "repitch": 0.5})
    sampler = MixSampler(music, config, length=100)
    counts = [operations(sampler, size) for size in (8, 32)]
    assert max(counts) < 2000
    assert counts[1] < 1.2 * counts[0]


def operations(sampler: MixSampler, size: int) -> int:
    draw = sampler.draw(size, seeded(2))
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        sampler.batch(draw)
    return sum(event.count for event in profiled.key_averages() if event.key.startswith("aten::"))


def test_mixing_reads_nothing_from_the_device(music: StemStore) -> None:
    """PyTorch's meta device has no values to read, and raises if a program needs one."""
    config = MixConfig(**MUCH | {"repitch": 0.5, "shuffle_groups": 2})
    sampler = MixSampler(music, config, length=RATE)
    draw = sampler.draw(8, seeded())
    assert (draw.tempo != 1).any()
    samples = music.samples
    try:
        music.samples = samples.to("meta")
        assert sampler.batch(draw).device.type == "meta"
    finally:
        music.samples = samples
