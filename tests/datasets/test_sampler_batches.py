"""Batches: excerpts are cut, augmented and exchanged according to the drawn parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from separation.datasets.augmentation import impulse_response, pitch_shift_length
from separation.datasets.mix_config import MixConfig
from separation.datasets.sampler import MixParameters, MixSampler
from separation.datasets.store import StemStore
from tests.datasets.helpers import (
    FRAMES,
    LENGTH,
    MUCH,
    PLAIN,
    RATE,
    assert_drawn,
    assert_independent,
    assert_share,
    assert_uniform,
    batch_of,
    decode_counting,
    make_store,
    pitch_shift,
    read_excerpt,
    seeded,
)


def expected_source(
    store: StemStore, draw: MixParameters, row: int, source: int, length: int, shift: int
) -> NDArray[np.float64]:
    """Compute a source in numpy from the formulas; `length` is the length before shifting."""
    total = np.zeros((2, length))
    for voice, index in enumerate(draw.recording[row, source].tolist()):
        if index < 0:
            continue
        recording, at = store.recordings[index], (row, source, voice)
        wave = store.samples[recording.start : recording.start + recording.frames, source].numpy().T / 32768
        u, spare = float(draw.start[at]), recording.frames - length
        if spare >= 0:
            cut = wave[:, math.floor(u * (spare + 1)) :][:, :length]
        else:
            before = math.floor(u * (1 - spare))
            cut = np.pad(wave, [(0, 0), (before, -spare - before)])
        whether, decay, level = draw.reverb[at].tolist()
        if whether < (0.5 if recording.collection == "studio" else 0):
            seed = int(decay * 2**53)
            room = impulse_response(0.3 + 1.7 * decay, -18 + 14 * level, seed, channels=2, sample_rate=RATE).numpy()
            cut = np.stack([np.convolve(cut[channel], room[channel])[:length] for channel in range(2)])
        tilt, width = float(draw.tilt[at]), float(draw.width[at])
        cut = (cut + tilt * np.pad(cut, [(0, 0), (1, 0)])[:, :-1]) / math.sqrt(1 + tilt**2)
        middle, side = (cut[0] + cut[1]) / 2, (cut[0] - cut[1]) / 2
        left, right = middle + width * side, middle - width * side
        total += float(draw.gain[at]) * np.stack([right, left] if draw.swapped[at] else [left, right])
    return total[:, math.floor(float(draw.shift[row, source]) * (shift + 1)) :][:, : length - shift]


@pytest.mark.parametrize("length", [LENGTH, FRAMES + 50])
def test_all_parameters_are_applied(length: int, store: StemStore) -> None:
    excerpts = MixSampler(store, MixConfig(**MUCH), length=length)
    draw = excerpts.draw(40, seeded())
    assert (draw.recording[..., 1] >= 0).any()
    assert (draw.recording[..., 1] < 0).any()
    batch = excerpts.batch(draw)
    for row in range(40):
        for source in range(2):
            expected = expected_source(store, draw, row, source, length + 30, 30)
            np.testing.assert_allclose(batch[row, source], expected, atol=1e-6)


def test_tilt_and_width_are_drawn_from_their_ranges(store: StemStore) -> None:
    config = MixConfig(**PLAIN | {"tilt": 0.3, "width": 0.4})
    draw = MixSampler(store, config).draw(1500, seeded())
    tilt, width = draw.tilt[..., 0].double().numpy(), draw.width[..., 0].double().numpy()
    assert_share(tilt != 0, 0.3)
    assert_uniform(tilt[tilt != 0], -0.5, 0.5)
    assert_share(width != 1, 0.4)
    assert_uniform(width[width != 1], 0.0, 1.4)
    assert_independent(tilt != 0, width != 1)
    for values in (tilt, width):
        assert_independent(values[:, 0], values[:, 1])


def test_dry_data_sets_get_reverb(store: StemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms: list[tuple[float, float, int]] = []

    def impulse_response(decay: float, level: float, seed: int, *, channels: int, sample_rate: int) -> Tensor:
        rooms.append((decay, level, seed))
        assert (channels, sample_rate) == (2, RATE)
        return torch.tensor([[1.0, 1.0]]).expand(2, 2)  # the direct sound, and an echo one sample later

    monkeypatch.setattr("separation.datasets.sampler.impulse_response", impulse_response)
    batch = batch_of(store, 1000, **PLAIN | {"reverb": {"studio": 0.3}})
    found = decode_counting(batch[..., 1:])  # whose gain is then 2
    in_album = np.isin(np.rint(found.number), (6, 7))
    assert_drawn(found.gain[in_album], {1: 1})
    assert_drawn(found.gain[~in_album], {1: 0.7, 2: 0.3})
    assert len(rooms) == len(set(rooms)) == np.count_nonzero(found.gain > 1.5)
    decays, levels, seeds = (np.array(values, dtype=float) for values in zip(*rooms, strict=True))
    assert_uniform(decays, 0.3, 2.0)
    assert_uniform(levels, -18.0, -4.0)
    assert len(set(seeds)) == len(rooms)
    assert_independent(decays, levels)


def test_without_augmentation_sources_equal_the_store(store: StemStore) -> None:
    batch = batch_of(store, 50, **PLAIN)
    found = decode_counting(batch)
    for row in range(50):
        for source in range(2):
            recording = store.recordings[round(found.number[row, source]) // 2]
            excerpt = read_excerpt(store, recording, source, round(found.start[row, source]), LENGTH)
            assert torch.equal(batch[row, source], excerpt)


def test_a_shorter_recording_is_padded_at_a_random_position(store: StemStore) -> None:
    batch = batch_of(store, 1000, length=FRAMES + 20, **PLAIN)
    sounding = batch[:, :, 1] != 0
    assert (sounding.sum(-1) == FRAMES).all()
    before = sounding.int().argmax(-1)
    assert_drawn(before.flatten().double().numpy(), dict.fromkeys(range(21), 1.0))
    for row, source in ((0, 0), (1, 1)):
        cut = batch[row, source, 0, int(before[row, source]) :][:FRAMES]
        assert torch.equal(cut, torch.arange(1, FRAMES + 1) / 32768)


def test_shift_moves_the_sources_against_each_other(store: StemStore) -> None:
    """The offset is the difference of two shifts of up to 5 samples."""
    found = decode_counting(batch_of(store, 1500, **PLAIN | {"random_tracks": False, "shift": 0.005}))
    apart = found.start[:, 0] - found.start[:, 1]
    assert_drawn(apart, {moved: 6 - abs(moved) for moved in range(-5, 6)})
    assert_uniform(found.start[:, 0], 0, FRAMES - LENGTH)
    assert np.nanmin(found.start) >= -0.02
    assert np.nanmax(found.start) <= FRAMES - LENGTH + 0.02


@pytest.mark.parametrize("groups", [2, 4, 10, 16])
def test_sources_are_exchanged_within_groups_only(groups: int, store: StemStore) -> None:
    """Ten items, so that the last group may be smaller."""
    before = batch_of(store, 10, seed=3, **PLAIN)
    after = batch_of(store, 10, seed=3, **PLAIN | {"shuffle_groups": groups})
    orders = []
    for source in range(2):
        same = [[torch.equal(after[i, source], before[j, source]) for j in range(10)] for i in range(10)]
        order = [row.index(True) for row in same]
        assert sorted(order) == list(range(10))
        assert [taken // groups for taken in order] == [item // groups for item in range(10)]
        orders.append(order)
    assert orders[0] != orders[1]


def test_all_permutations_are_equally_likely(store: StemStore) -> None:
    order = MixSampler(store, MixConfig(shuffle_groups=3)).draw(3000, seeded()).order.numpy()
    within = order.reshape(1000, 3, 2) - np.arange(0, 3000, 3)[:, None, None]
    codes = within[:, 0] * 3 + within[:, 1]  # of the six permutations of three items
    for source in range(2):
        assert_drawn(codes[:, source].astype(float), dict.fromkeys((1, 2, 3, 5, 6, 7), 1.0))
    assert_independent(codes[:, 0] == 1, codes[:, 1] == 1)


def test_without_groups_nothing_is_exchanged(store: StemStore) -> None:
    order = MixSampler(store, MixConfig()).draw(10, seeded()).order
    assert torch.equal(order, torch.arange(10)[:, None].expand(10, 2))


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> StemStore:
    """Return a store of one track whose sources are the same noise, long enough for pitch shifting."""
    wave = np.random.default_rng(0).integers(-9000, 9000, (20000, 2)) / 32768
    return make_store(tmp_path_factory.mktemp("twins"), {"studio": {"a": {"vocals": wave, "drums": wave}}})


def test_pitch_shifting_keeps_the_sources_aligned(twins: StemStore) -> None:
    batch = batch_of(twins, 4, **PLAIN | {"random_tracks": False, "repitch": 1.0})
    assert batch.std() > 0.05
    assert torch.equal(batch[:, 0], batch[:, 1])


@pytest.mark.parametrize("shift", [0, 20])
def test_items_are_pitch_shifted_as_drawn(shift: int, twins: StemStore) -> None:
    """The excerpt read is as long as pitch shifting requires; the result is shifted and cut to length."""
    excerpts = MixSampler(twins, MixConfig(**PLAIN | {"repitch": 0.5, "shift": shift / RATE}))
    draw = excerpts.draw(12, seeded())
    batch = excerpts.batch(draw)
    changed = draw.semitones.ne(0) | draw.tempo.ne(1)
    assert changed.any()
    assert not changed.all()
    raw = LENGTH + shift
    for row in range(12):
        semitones, tempo = float(draw.semitones[row]), float(draw.tempo[row])
        length = pitch_shift_length(raw, tempo=tempo) if changed[row] else raw
        pieces = []
        for source in range(2):
            start = math.floor(float(draw.start[row, source, 0]) * (20000 - length + 1))
            pieces.append(read_excerpt(twins, twins.recordings[0], source, start, length))
        sound = torch.stack(pieces)
        if changed[row]:
            sound = pitch_shift(sound, semitones=semitones, tempo=tempo, length=raw)
        for source in range(2):
            first = math.floor(float(draw.shift[row, source]) * (shift + 1))
            assert torch.equal(batch[row, source], sound[source, :, first : first + LENGTH])


def test_pitch_and_tempo_are_drawn_from_their_ranges(store: StemStore) -> None:
    config = MixConfig(repitch=0.4, max_semitones=3, max_tempo=0.2)
    draw = MixSampler(store, config).draw(2000, seeded())
    semitones, tempo = draw.semitones.double().numpy(), draw.tempo.double().numpy()
    changed = tempo != 1
    assert_share(changed, 0.4)
    assert (semitones[~changed] == 0).all()
    assert_drawn(semitones[changed], dict.fromkeys(range(-3, 4), 1.0))
    assert_uniform(tempo[changed], 0.8, 1.2)
    assert_independent(semitones[changed], tempo[changed])


def test_pitch_and_tempo_are_unchanged_by_default(store: StemStore) -> None:
    draw = MixSampler(store, MixConfig()).draw(100, seeded())
    assert not draw.semitones.any()
    assert (draw.tempo == 1).all()


def test_a_batch_is_on_the_device_of_the_samples(store: StemStore) -> None:
    """PyTorch's meta device computes nothing, and raises on mixed devices as a GPU does."""
    excerpts = MixSampler(store, MixConfig(**MUCH | {"swap": 1.0, "tilt": 1.0, "width": 1.0, "shuffle_groups": 2}))
    draw = excerpts.draw(4, seeded())
    samples = store.samples
    try:
        store.samples = samples.to("meta")
        assert excerpts.batch(draw).device.type == "meta"
    finally:
        store.samples = samples


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("more", [{}, {"repitch": 1.0}], ids=["plain", "repitched"])
def test_a_gpu_mixes_the_same_batches(more: dict[str, Any], twins: StemStore) -> None:
    excerpts = MixSampler(twins, MixConfig(**MUCH | {"shuffle_groups": 2} | more))
    draw = excerpts.draw(4, seeded())
    expected, samples = excerpts.batch(draw), twins.samples
    try:
        batch = MixSampler(twins.to(torch.device("cuda")), excerpts.config).batch(draw)
    finally:
        twins.samples = samples
    assert batch.device.type == "cuda"
    assert torch.allclose(batch.cpu(), expected, atol=1e-4)
