"""Random parameters of batches: their distributions, and that a seed reproduces them exactly."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from separation.datasets.mix_config import MixConfig
from separation.datasets.sampler import MixSampler
from separation.datasets.store import StemStore
from tests.datasets.helpers import (
    FRAMES,
    LENGTH,
    MUCH,
    PLAIN,
    RATE,
    CountingExcerpts,
    assert_drawn,
    assert_independent,
    assert_share,
    assert_uniform,
    batch_of,
    counting,
    decode_counting,
    make_store,
    read_excerpt,
    seeded,
)


@pytest.mark.parametrize("more", [{}, MUCH, MUCH | {"shuffle_groups": 4}, MUCH | {"whole_mixes": 0.5}])
def test_a_seed_reproduces_its_batch_exactly(more: dict[str, Any], store: StemStore) -> None:
    config = PLAIN | more
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = batch_of(store, 8, seed=5, **config)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(batch_of(store, 8, seed=5, **config), first)
    assert not torch.equal(batch_of(store, 8, seed=6, **config), first)


def test_a_generator_yields_different_batches_in_turn(store: StemStore) -> None:
    excerpts, generator = MixSampler(store, MixConfig(**PLAIN)), seeded()
    first, second = (excerpts.batch(excerpts.draw(4, generator)) for _ in range(2))
    assert not torch.equal(first, second)


def test_an_item_does_not_depend_on_the_batch_size(store: StemStore) -> None:
    excerpts = MixSampler(store, MixConfig(**MUCH | {"whole_mixes": 0.3}))
    many = excerpts.batch(excerpts.draw(9, seeded()))
    for size in (1, 2, 8):
        assert torch.equal(excerpts.batch(excerpts.draw(size, seeded())), many[:size])


@pytest.mark.parametrize("groups", [0, 4])
def test_a_single_item_equals_its_row_before_sources_are_exchanged(groups: int, store: StemStore) -> None:
    excerpts = MixSampler(store, MixConfig(**MUCH | {"shuffle_groups": groups}))
    unshuffled = MixSampler(store, MixConfig(**MUCH))
    draw = excerpts.draw(8, seeded())
    batch = unshuffled.batch(draw)
    for row in range(8):
        assert torch.equal(excerpts.batch(draw.item(row)), batch[row : row + 1])


@pytest.mark.parametrize("config", [PLAIN, MUCH, MUCH | {"shuffle_groups": 2}, PLAIN | {"repitch": 1.0}])
def test_shape_and_dtype_of_batches(config: dict[str, Any], store: StemStore) -> None:
    for length in (None, 123):
        batch = batch_of(store, 4, length=length, **config)
        assert (batch.dtype, batch.device.type) == (torch.float32, "cpu")
        assert batch.shape == (4, 2, 2, length or LENGTH)


def test_the_length_follows_from_the_config_and_the_sample_rate(store: StemStore) -> None:
    assert batch_of(store, 1, seconds=0.2506).shape[-1] == 251
    assert MixSampler(store, MixConfig()).length == 6000


@pytest.fixture(scope="module")
def drawn(store: StemStore) -> CountingExcerpts:
    """Return a large batch with Open-Unmix's augmentations, at a shorter length."""
    return decode_counting(batch_of(store, 1500, seconds=LENGTH / RATE))


def test_gains_are_uniform_in_their_range(drawn: CountingExcerpts, store: StemStore) -> None:
    assert_uniform(drawn.gain, 0.25, 1.25)
    assert_uniform(decode_counting(batch_of(store, 400, **PLAIN | {"gain": (2.0, 3.0)})).gain, 2.0, 3.0)


def test_channels_are_swapped_with_the_configured_probability(drawn: CountingExcerpts, store: StemStore) -> None:
    assert_share(drawn.swapped, 0.5)
    assert_share(decode_counting(batch_of(store, 500, **PLAIN | {"swap": 0.2})).swapped, 0.2)
    assert not decode_counting(batch_of(store, 100, **PLAIN | {"swap": 0.0})).swapped.any()
    assert decode_counting(batch_of(store, 100, **PLAIN | {"swap": 1.0})).swapped.all()


def test_polarity_is_inverted_with_the_configured_probability(drawn: CountingExcerpts, store: StemStore) -> None:
    assert (drawn.gain > 0).all()
    turned = decode_counting(batch_of(store, 500, **PLAIN | {"flip": 0.2}))
    assert_share(turned.gain < 0, 0.2)
    np.testing.assert_allclose(np.abs(turned.gain), 1, atol=1e-5)
    assert (decode_counting(batch_of(store, 100, **PLAIN | {"flip": 1.0})).gain < 0).all()


def test_starts_are_uniform_over_the_recording(drawn: CountingExcerpts) -> None:
    assert_uniform(drawn.start, 0, FRAMES - LENGTH)


@pytest.mark.parametrize("slack", [4, 1, 0])
def test_excerpts_reach_both_ends_of_a_recording(slack: int, store: StemStore) -> None:
    """All positions are equally likely, including the first and the last."""
    starts = decode_counting(batch_of(store, 500, length=FRAMES - slack, **PLAIN)).start
    assert_drawn(starts, dict.fromkeys(range(slack + 1), 1.0))


def test_parameters_are_independent(store: StemStore) -> None:
    config = MixConfig(**MUCH | {"repitch": 1.0, "max_semitones": 12, "shuffle_groups": 2})
    draw = MixSampler(store, config).draw(3000, seeded())
    columns = [draw.semitones, draw.tempo, *draw.shift.unbind(1), *(draw.recording[..., 1] >= 0).unbind(1)]
    columns += [*(draw.recording[..., 0] == 0).unbind(1), *(draw.order % 2).unbind(1)]
    for each in (draw.gain.abs(), draw.gain < 0, draw.swapped, draw.tilt != 0, draw.width != 1, draw.start):
        columns += each.flatten(1).unbind(1)
    columns += draw.reverb.flatten(1).unbind(1)
    correlation = np.corrcoef(torch.stack([column.double() for column in columns]).numpy())
    np.testing.assert_allclose(correlation, np.eye(len(columns)), atol=4.5 / math.sqrt(3000))


def test_recordings_of_a_source_are_drawn_equally_often(drawn: CountingExcerpts) -> None:
    assert_drawn(drawn.number[:, 0], {0: 1, 2: 1, 4: 1, 6: 1})
    assert_drawn(drawn.number[:, 1], {1: 1, 3: 1, 7: 1})
    assert not np.isnan(drawn.number).any()


@pytest.mark.parametrize(
    ("shares", "vocals", "drums"),
    [
        ({"studio": 1.0, "album": 3.0}, {0: 1, 2: 1, 4: 1, 6: 9}, {1: 1, 3: 1, 7: 6}),
        ({"studio": 0.5, "album": 0.5}, {0: 1, 2: 1, 4: 1, 6: 3}, {1: 1, 3: 1, 7: 2}),
        ({"studio": 7.0}, {0: 1, 2: 1, 4: 1}, {1: 1, 3: 1}),
        ({"studio": 0.0, "album": 0.1}, {6: 1}, {7: 1}),
    ],
)
def test_data_sets_are_drawn_by_their_shares(
    shares: dict[str, float], vocals: dict[float, float], drums: dict[float, float], store: StemStore
) -> None:
    found = decode_counting(batch_of(store, 600, **PLAIN | {"shares": shares}))
    assert_drawn(found.number[:, 0], vocals)
    assert_drawn(found.number[:, 1], drums)


@pytest.mark.parametrize("random_tracks", [True, False])
def test_recordings_are_drawn_at_every_speed(random_tracks: bool, tmp_path: Path) -> None:
    """The samples of a counting source rise faster at a higher speed."""
    tracks = {"studio": {name: {"vocals": counting(0), "drums": counting(1)} for name in "ab"}}
    store = make_store(tmp_path, tracks, speeds=(1.0, 0.8, 1.25))
    config = PLAIN | {"random_tracks": random_tracks, "speeds": (1.0, 0.8, 1.25), "seconds": 0.4}
    batch = batch_of(store, 400, **config)[..., 100:300]  # without the ends of a resampled recording
    speeds = decode_counting(batch).gain
    for source in range(2):
        assert_drawn(np.rint(speeds[:, source] * 20), {20: 1, 16: 1, 25: 1})
    if random_tracks:
        assert_independent(speeds[:, 0], speeds[:, 1])
    else:
        np.testing.assert_allclose(speeds[:, 0], speeds[:, 1], atol=1e-2)


def test_without_random_tracks_all_sources_have_the_same_position(store: StemStore) -> None:
    found = decode_counting(batch_of(store, 800, random_tracks=False, seconds=LENGTH / RATE, flip=0.5))
    assert_drawn(found.number[:, 0], {0: 1, 2: 1, 4: 1, 6: 1})
    silent = np.isnan(found.number[:, 1])
    np.testing.assert_array_equal(silent, np.rint(found.number[:, 0]) == 4)
    np.testing.assert_allclose(found.number[~silent, 1], found.number[~silent, 0] + 1, atol=0.02)
    np.testing.assert_allclose(found.start[~silent, 0], found.start[~silent, 1], atol=0.02)
    assert_uniform(found.start[:, 0], 0, FRAMES - LENGTH)
    assert_independent(found.number[:, 0], found.start[:, 0])
    assert_uniform(np.abs(found.gain[:, 0]), 0.25, 1.25)  # but each source is changed for itself
    for values in (np.abs(found.gain), found.gain < 0, found.swapped):
        assert_independent(values[~silent, 0], values[~silent, 1])


def test_without_random_tracks_nothing_is_doubled(store: StemStore) -> None:
    config = PLAIN | {"random_tracks": False, "doubled": {"vocals": 1.0, "drums": 1.0}}
    np.testing.assert_allclose(decode_counting(batch_of(store, 50, **config)).gain[:, 0], 1, atol=1e-5)


def original_mixtures(batch: Tensor, store: StemStore) -> NDArray[np.bool_]:
    """Return a mask of the items that equal an excerpt of one track at one position."""
    found = decode_counting(batch)
    result = np.zeros(len(batch), bool)
    for row, (number, start) in enumerate(zip(found.number[:, 0], found.start[:, 0], strict=True)):
        if -1 < number < 7 and 0 <= round(start) <= FRAMES:
            recording = store.recordings[round(number) // 2]
            excerpts = [read_excerpt(store, recording, source, round(start), batch.shape[-1]) for source in range(2)]
            result[row] = torch.equal(torch.stack(excerpts), batch[row])
    return result


@pytest.mark.parametrize(
    ("whole_from", "numbers"),
    [
        ((), {0: 1, 2: 1, 4: 1, 6: 1}),
        (("album",), {6: 1}),
        (("studio",), {0: 1, 2: 1, 4: 1}),
    ],
)
def test_a_share_of_the_items_are_original_mixtures(
    whole_from: tuple[str, ...], numbers: dict[float, float], store: StemStore
) -> None:
    much = MUCH | {"shift": 0.0, "doubled": {"vocals": 1.0, "drums": 1.0}, "reverb": {"studio": 1.0, "album": 1.0}}
    batch = batch_of(store, 500, **much | {"whole_mixes": 0.3, "whole_from": whole_from})
    real = original_mixtures(batch, store)
    assert_share(real, 0.3)
    found = decode_counting(batch[torch.from_numpy(real)])
    assert_drawn(found.number[:, 0], numbers)
    assert_uniform(found.start[:, 0], 0, FRAMES - LENGTH)


def test_original_mixtures_follow_the_shares(store: StemStore) -> None:
    batch = batch_of(store, 600, **PLAIN | {"whole_mixes": 1.0, "shares": {"studio": 1.0, "album": 3.0}})
    assert original_mixtures(batch, store).all()
    assert_drawn(decode_counting(batch).number[:, 0], {0: 1, 2: 1, 4: 1, 6: 9})


def test_without_whole_mixes_there_are_no_original_mixtures(store: StemStore) -> None:
    assert not original_mixtures(batch_of(store, 200, seconds=LENGTH / RATE), store).any()


@pytest.mark.parametrize("change", [{"shift": 0.05}, {"repitch": 1.0}, {"shuffle_groups": 4}], ids=str)
def test_original_mixtures_are_not_augmented(change: dict[str, Any], store: StemStore) -> None:
    """They are unchanged, whatever augmentations the other items get."""
    assert original_mixtures(batch_of(store, 12, **PLAIN | {"whole_mixes": 1.0} | change), store).all()


def test_sources_are_doubled_with_the_configured_probability(store: StemStore) -> None:
    found = decode_counting(batch_of(store, 800, **PLAIN | {"doubled": {"vocals": 0.3}}))
    assert_drawn(found.gain[:, 0], {1: 0.7, 2: 0.3})
    np.testing.assert_allclose(found.gain[:, 1], 1, atol=1e-5)


def test_both_takes_are_drawn_from_recordings_of_the_source(store: StemStore) -> None:
    """The number decoded from two counting drums is their mean: all pairs are equally likely."""
    found = decode_counting(batch_of(store, 800, **PLAIN | {"doubled": {"drums": 1.0}}))
    np.testing.assert_allclose(found.gain[:, 1], 2, atol=1e-5)
    assert_drawn(2 * found.number[:, 1], {2: 1, 4: 2, 6: 1, 8: 2, 10: 2, 14: 1})
    assert found.start[:, 1].std() == pytest.approx(400 / math.sqrt(24), rel=0.1)  # mean of two positions
