"""Batches: what is drawn how often, what is then cut and mixed, and that a seed repeats it exactly.

Most stores here hold tracks that say where they were cut: the left channel of every source counts
its samples, the right one is constant and tells track and source. From an excerpt its place, gain,
polarity and swapped channels can be read back.
"""

from __future__ import annotations

import dataclasses
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

from separation.datasets.augmentation import impulse_response, pitch_shift, pitch_shift_length
from separation.datasets.dataset import open_dataset
from separation.datasets.mix_config import MixConfig
from separation.datasets.sampler import MixParameters, MixSampler
from separation.datasets.store import StemStore, build_store

RATE = 1000
FRAMES = 600
LENGTH = 200
SOURCES = ("vocals", "drums")
#: What nothing is done to.
PLAIN: dict[str, Any] = {"seconds": LENGTH / RATE, "gain": (1.0, 1.0), "swap": 0.0}
#: Everything that keeps pitch and tempo, at once.
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
    """A source that counts its samples from 1 on, and keeps saying its number."""
    return np.stack([np.arange(1, frames + 1), np.full(frames, -1000 - 100 * number)], 1) / 32768


def make_store(
    folder: Path,
    tracks: Mapping[str, Mapping[str, Mapping[str, NDArray[np.float64]]]],
    *,
    rate: int = RATE,
    speeds: Sequence[float] = (1.0,),
) -> StemStore:
    """Of waves (time, channels) by collection, track and source."""
    for collection, by_track in tracks.items():
        for track, waves in by_track.items():
            (folder / collection / track).mkdir(parents=True)
            for source, wave in waves.items():
                soundfile.write(folder / collection / track / f"{source}.wav", wave, rate, subtype="PCM_16")
    collections = [open_dataset(folder / collection) for collection in tracks]
    return build_store(folder / "store", collections, sources=SOURCES, sample_rate=rate, speeds=speeds)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StemStore:
    """Four tracks in two collections, one without drums."""
    waves = {
        collection: {
            track: {source: counting(number) for source, number in numbers.items()} for track, numbers in tracks.items()
        }
        for collection, tracks in TRACKS.items()
    }
    return make_store(tmp_path_factory.mktemp("counting"), waves)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(store: StemStore, size: int, *, seed: int = 0, length: int | None = None, **config: Any) -> Tensor:
    excerpts = MixSampler(store, MixConfig(**config), length=length)
    return excerpts.batch(excerpts.draw(size, seeded(seed)))


class Seen(NamedTuple):
    """What counting sources tell, each (batch, sources); NaN where there is silence."""

    gain: NDArray[np.float64]
    start: NDArray[np.float64]
    number: NDArray[np.float64]
    swapped: NDArray[np.bool_]


def seen(batch: Tensor) -> Seen:
    sound = batch.double().numpy() * 32768
    rises = (sound[..., -1] - sound[..., 0]) / (sound.shape[-1] - 1)  # (batch, sources, channels)
    swapped = np.abs(rises[..., 1]) > np.abs(rises[..., 0])
    gain = np.where(swapped, rises[..., 1], rises[..., 0])
    gain[gain == 0] = np.nan
    first = np.where(swapped, sound[..., 1, 0], sound[..., 0, 0])
    constant = np.where(swapped, sound[..., 0, 0], sound[..., 1, 0])
    return Seen(gain, first / gain - 1, (-constant / gain - 1000) / 100, swapped)


def assert_drawn(values: NDArray[np.float64], shares: Mapping[float, float]) -> None:
    """Only these values occur, each as often as it should: Pearson's chi-square, up to 4.5 standard deviations.

    Wilson and Hilferty's normal approximation, so that another order of the draws cannot fail by chance.
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
    """Within four standard deviations."""
    assert happened.mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / happened.size))


def assert_independent(one: NDArray[Any], other: NDArray[Any]) -> None:
    both = ~(np.isnan(one.astype(float)) | np.isnan(other.astype(float)))
    assert abs(np.corrcoef(one[both], other[both])[0, 1]) < 4 / math.sqrt(both.sum())


# -- the config ------------------------------------------------------------------------------------


def test_the_defaults_are_what_open_unmix_published() -> None:
    """6 s, factors of 0.25 to 1.25, channels swapped half of the time, sources of random tracks; nothing else."""
    config = dataclasses.asdict(MixConfig())
    assert {name: config.pop(name) for name in ("seconds", "gain", "swap", "random_tracks")} == {
        "seconds": 6.0,
        "gain": (0.25, 1.25),
        "swap": 0.5,
        "random_tracks": True,
    }
    assert (config.pop("speeds"), config.pop("max_semitones"), config.pop("max_tempo")) == ((1.0,), 2, 0.12)
    assert not any(config.values())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds", 0.09),
        ("seconds", 3601.0),
        ("seconds", -1.0),
        ("seconds", math.nan),
        *[
            (field, value)
            for field in ("whole_mixes", "swap", "flip", "repitch", "tilt", "width")
            for value in (-0.01, 1.01, math.nan)
        ],
        ("doubled", {"vocals": 1.01}),
        ("doubled", {"vocals": 0.5, "drums": -0.01}),
        ("doubled", {"vocals": math.nan}),
        ("reverb", {"studio": 0.5, "album": 1.01}),
        ("reverb", {"studio": -0.01}),
        ("shares", {"studio": 1.0, "album": -0.01}),
        ("gain", (1.25, 0.25)),
        ("gain", (-0.25, 1.0)),
        ("gain", (1.0,)),
        ("gain", (0.25, 1.0, 1.25)),
        ("gain", (0.25, math.nan)),
        ("speeds", ()),
        ("speeds", (1.0, 0.24)),
        ("speeds", (1.0, 4.01)),
        ("speeds", (1.0, math.nan)),
        ("shift", -0.01),
        ("shift", 60.01),
        ("shift", math.nan),
        ("shuffle_groups", -1),
        ("max_semitones", -1),
        ("max_semitones", 25),
        ("max_tempo", -0.01),
        ("max_tempo", 0.51),
        ("max_tempo", math.nan),
    ],
)
def test_values_out_of_range_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field) as refused:
        MixConfig(**{field: value})
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shares", {"studio": math.nan}),
        ("shares", {"studio": math.inf}),
        ("gain", (0.25, math.inf)),
    ],
)
def test_values_that_are_no_numbers_to_draw_with_are_refused(field: str, value: Any) -> None:
    """TOML has nan and inf."""
    with pytest.raises(ValueError, match=field):
        MixConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds", 0.1),
        ("seconds", 3600.0),
        *[
            (field, value)
            for field in ("whole_mixes", "swap", "flip", "repitch", "tilt", "width")
            for value in (0.0, 1.0)
        ],
        ("doubled", {"vocals": 0.0, "drums": 1.0}),
        ("reverb", {"studio": 0.0, "album": 1.0}),
        ("shares", {"studio": 0.0, "album": 100.0}),
        ("gain", (0.0, 0.0)),
        ("speeds", (0.25, 1.0, 4.0)),
        ("shift", 60.0),
        ("max_semitones", 0),
        ("max_semitones", 24),
        ("max_tempo", 0.0),
        ("max_tempo", 0.5),
    ],
)
def test_values_at_the_ends_of_their_range_are_taken(field: str, value: Any) -> None:
    assert getattr(MixConfig(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"shares": {"studio": 1.0, "attic": 1.0}}, "the config speaks of 'attic'; the data holds album, studio"),
        ({"whole_from": ("attic",)}, "the config speaks of 'attic'; the data holds album, studio"),
        ({"reverb": {"attic": 0.5}}, "the config speaks of 'attic'; the data holds album, studio"),
        ({"doubled": {"flute": 0.5}}, "the config doubles 'flute'; the sources are vocals, drums"),
    ],
)
def test_names_that_the_store_does_not_know_are_refused(config: dict[str, Any], message: str, store: StemStore) -> None:
    with pytest.raises(ValueError, match=message):
        MixSampler(store, MixConfig(**config))


def test_a_source_that_no_recording_holds_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"studio": {"a": {"vocals": counting(0)}, "b": {"vocals": counting(2)}}})
    with pytest.raises(ValueError, match="to draw drums from"):
        MixSampler(store, MixConfig())


def test_a_source_that_no_collection_with_a_share_holds_is_refused(tmp_path: Path) -> None:
    both = {"vocals": counting(0), "drums": counting(1)}
    store = make_store(tmp_path, {"studio": {"a": both}, "choir": {"b": {"vocals": counting(2)}}})
    MixSampler(store, MixConfig(shares={"studio": 1.0, "choir": 1.0}))
    with pytest.raises(ValueError, match="to draw drums from"):
        MixSampler(store, MixConfig(shares={"studio": 0.0, "choir": 1.0}))


# -- the same again --------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, MUCH, MUCH | {"shuffle_groups": 4}, MUCH | {"whole_mixes": 0.5}])
def test_a_seed_repeats_its_batch_exactly(more: dict[str, Any], store: StemStore) -> None:
    config = PLAIN | more
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = batch_of(store, 8, seed=5, **config)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(batch_of(store, 8, seed=5, **config), first)
    assert not torch.equal(batch_of(store, 8, seed=6, **config), first)


def test_a_generator_goes_on_from_batch_to_batch(store: StemStore) -> None:
    excerpts, generator = MixSampler(store, MixConfig(**PLAIN)), seeded()
    first, second = (excerpts.batch(excerpts.draw(4, generator)) for _ in range(2))
    assert not torch.equal(first, second)


def test_an_item_does_not_depend_on_how_many_are_drawn_with_it(store: StemStore) -> None:
    excerpts = MixSampler(store, MixConfig(**MUCH | {"whole_mixes": 0.3}))
    many = excerpts.batch(excerpts.draw(9, seeded()))
    for size in (1, 2, 8):
        assert torch.equal(excerpts.batch(excerpts.draw(size, seeded())), many[:size])


@pytest.mark.parametrize("groups", [0, 4])
def test_an_item_alone_is_what_it_is_in_its_batch_before_sources_are_exchanged(groups: int, store: StemStore) -> None:
    excerpts = MixSampler(store, MixConfig(**MUCH | {"shuffle_groups": groups}))
    unshuffled = MixSampler(store, MixConfig(**MUCH))
    draw = excerpts.draw(8, seeded())
    batch = unshuffled.batch(draw)
    for row in range(8):
        assert torch.equal(excerpts.batch(draw.item(row)), batch[row : row + 1])


@pytest.mark.parametrize("config", [PLAIN, MUCH, MUCH | {"shuffle_groups": 2}, PLAIN | {"repitch": 1.0}])
def test_batches_have_the_form_that_they_should(config: dict[str, Any], store: StemStore) -> None:
    for length in (None, 123):
        batch = batch_of(store, 4, length=length, **config)
        assert (batch.dtype, batch.device.type) == (torch.float32, "cpu")
        assert batch.shape == (4, 2, 2, length or LENGTH)


def test_the_length_is_that_of_the_config_at_the_rate_of_the_store(store: StemStore) -> None:
    assert batch_of(store, 1, seconds=0.2506).shape[-1] == 251
    assert MixSampler(store, MixConfig()).length == 6000


# -- what is drawn how often -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(store: StemStore) -> Seen:
    """A large batch as Open-Unmix has it, but for the length."""
    return seen(batch_of(store, 1500, seconds=LENGTH / RATE))


def test_gains_are_uniform_between_the_two(drawn: Seen, store: StemStore) -> None:
    assert_uniform(drawn.gain, 0.25, 1.25)
    assert_uniform(seen(batch_of(store, 400, **PLAIN | {"gain": (2.0, 3.0)})).gain, 2.0, 3.0)


def test_channels_are_swapped_as_often_as_asked_for(drawn: Seen, store: StemStore) -> None:
    assert_share(drawn.swapped, 0.5)
    assert_share(seen(batch_of(store, 500, **PLAIN | {"swap": 0.2})).swapped, 0.2)
    assert not seen(batch_of(store, 100, **PLAIN | {"swap": 0.0})).swapped.any()
    assert seen(batch_of(store, 100, **PLAIN | {"swap": 1.0})).swapped.all()


def test_polarity_is_turned_as_often_as_asked_for(drawn: Seen, store: StemStore) -> None:
    assert (drawn.gain > 0).all()
    turned = seen(batch_of(store, 500, **PLAIN | {"flip": 0.2}))
    assert_share(turned.gain < 0, 0.2)
    np.testing.assert_allclose(np.abs(turned.gain), 1, atol=1e-5)
    assert (seen(batch_of(store, 100, **PLAIN | {"flip": 1.0})).gain < 0).all()


def test_starts_are_uniform_over_the_recording(drawn: Seen) -> None:
    assert_uniform(drawn.start, 0, FRAMES - LENGTH)


@pytest.mark.parametrize("room", [4, 1, 0])
def test_excerpts_reach_both_ends_of_a_recording(room: int, store: StemStore) -> None:
    """Every place has its share, the first and the last as well."""
    starts = seen(batch_of(store, 500, length=FRAMES - room, **PLAIN)).start
    assert_drawn(starts, dict.fromkeys(range(room + 1), 1.0))


def test_nothing_that_is_drawn_tells_of_anything_else(store: StemStore) -> None:
    config = MixConfig(**MUCH | {"repitch": 1.0, "max_semitones": 12, "shuffle_groups": 2})
    draw = MixSampler(store, config).draw(3000, seeded())
    columns = [draw.semitones, draw.tempo, *draw.shift.unbind(1), *(draw.recording[..., 1] >= 0).unbind(1)]
    columns += [*(draw.recording[..., 0] == 0).unbind(1), *(draw.order % 2).unbind(1)]
    for each in (draw.gain.abs(), draw.gain < 0, draw.swapped, draw.tilt != 0, draw.width != 1, draw.start):
        columns += each.flatten(1).unbind(1)
    columns += draw.room.flatten(1).unbind(1)
    correlation = np.corrcoef(torch.stack([column.double() for column in columns]).numpy())
    np.testing.assert_allclose(correlation, np.eye(len(columns)), atol=4.5 / math.sqrt(3000))


def test_every_recording_that_holds_the_source_is_drawn_alike(drawn: Seen) -> None:
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
def test_collections_are_drawn_by_their_shares(
    shares: dict[str, float], vocals: dict[float, float], drums: dict[float, float], store: StemStore
) -> None:
    found = seen(batch_of(store, 600, **PLAIN | {"shares": shares}))
    assert_drawn(found.number[:, 0], vocals)
    assert_drawn(found.number[:, 1], drums)


@pytest.mark.parametrize("random_tracks", [True, False])
def test_recordings_are_drawn_at_every_speed(random_tracks: bool, tmp_path: Path) -> None:
    """A source that counts does so faster if it is played faster."""
    tracks = {"studio": {name: {"vocals": counting(0), "drums": counting(1)} for name in "ab"}}
    store = make_store(tmp_path, tracks, speeds=(1.0, 0.8, 1.25))
    config = PLAIN | {"random_tracks": random_tracks, "speeds": (1.0, 0.8, 1.25), "seconds": 0.4}
    batch = batch_of(store, 400, **config)[..., 100:300]  # without the ends of a resampled recording
    speeds = seen(batch).gain
    for source in range(2):
        assert_drawn(np.rint(speeds[:, source] * 20), {20: 1, 16: 1, 25: 1})
    if random_tracks:
        assert_independent(speeds[:, 0], speeds[:, 1])
    else:
        np.testing.assert_allclose(speeds[:, 0], speeds[:, 1], atol=1e-2)


# -- whole mixtures --------------------------------------------------------------------------------


def test_without_random_tracks_all_sources_are_from_one_place(store: StemStore) -> None:
    found = seen(batch_of(store, 800, random_tracks=False, seconds=LENGTH / RATE, flip=0.5))
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
    np.testing.assert_allclose(seen(batch_of(store, 50, **config)).gain[:, 0], 1, atol=1e-5)


def real_mixtures(batch: Tensor, store: StemStore) -> NDArray[np.bool_]:
    """Which items are one place of one track, exactly."""
    found = seen(batch)
    result = np.zeros(len(batch), bool)
    for row, (number, start) in enumerate(zip(found.number[:, 0], found.start[:, 0], strict=True)):
        if -1 < number < 7 and 0 <= round(start) <= FRAMES:
            recording = store.recordings[round(number) // 2]
            excerpts = [store.excerpt(recording, source, round(start), batch.shape[-1]) for source in range(2)]
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
def test_a_share_of_the_items_are_real_mixtures(
    whole_from: tuple[str, ...], numbers: dict[float, float], store: StemStore
) -> None:
    much = MUCH | {"shift": 0.0, "doubled": {"vocals": 1.0, "drums": 1.0}, "reverb": {"studio": 1.0, "album": 1.0}}
    batch = batch_of(store, 500, **much | {"whole_mixes": 0.3, "whole_from": whole_from})
    real = real_mixtures(batch, store)
    assert_share(real, 0.3)
    found = seen(batch[torch.from_numpy(real)])
    assert_drawn(found.number[:, 0], numbers)
    assert_uniform(found.start[:, 0], 0, FRAMES - LENGTH)


def test_real_mixtures_follow_the_shares(store: StemStore) -> None:
    batch = batch_of(store, 600, **PLAIN | {"whole_mixes": 1.0, "shares": {"studio": 1.0, "album": 3.0}})
    assert real_mixtures(batch, store).all()
    assert_drawn(seen(batch).number[:, 0], {0: 1, 2: 1, 4: 1, 6: 9})


def test_without_whole_mixes_there_are_none(store: StemStore) -> None:
    assert not real_mixtures(batch_of(store, 200, seconds=LENGTH / RATE), store).any()


@pytest.mark.parametrize("change", [{"shift": 0.05}, {"repitch": 1.0}, {"shuffle_groups": 4}], ids=str)
def test_real_mixtures_stay_real(change: dict[str, Any], store: StemStore) -> None:
    """They are unchanged, whatever is done to the other items."""
    assert real_mixtures(batch_of(store, 12, **PLAIN | {"whole_mixes": 1.0} | change), store).all()


# -- two voices ------------------------------------------------------------------------------------


def test_sources_are_doubled_as_often_as_asked_for(store: StemStore) -> None:
    found = seen(batch_of(store, 800, **PLAIN | {"doubled": {"vocals": 0.3}}))
    assert_drawn(found.gain[:, 0], {1: 0.7, 2: 0.3})
    np.testing.assert_allclose(found.gain[:, 1], 1, atol=1e-5)


def test_both_voices_are_drawn_from_recordings_that_hold_the_source(store: StemStore) -> None:
    """Of two counting drums the mean number: every pair has its share."""
    found = seen(batch_of(store, 800, **PLAIN | {"doubled": {"drums": 1.0}}))
    np.testing.assert_allclose(found.gain[:, 1], 2, atol=1e-5)
    assert_drawn(2 * found.number[:, 1], {2: 1, 4: 2, 6: 1, 8: 2, 10: 2, 14: 1})
    assert found.start[:, 1].std() == pytest.approx(400 / math.sqrt(24), rel=0.1)  # the mean of two places


# -- cut and changed as drawn ----------------------------------------------------------------------


def expected_source(
    store: StemStore, draw: MixParameters, row: int, source: int, length: int, shift: int
) -> NDArray[np.float64]:
    """The same in numpy, from the formulas; `length` before shifting."""
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
        whether, decay, level = draw.room[at].tolist()
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
def test_everything_that_is_drawn_is_done(length: int, store: StemStore) -> None:
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


def test_recordings_of_dry_collections_are_put_into_rooms(store: StemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms: list[tuple[float, float, int]] = []

    def impulse_response(decay: float, level: float, seed: int, *, channels: int, sample_rate: int) -> Tensor:
        rooms.append((decay, level, seed))
        assert (channels, sample_rate) == (2, RATE)
        return torch.tensor([[1.0, 1.0]]).expand(2, 2)  # the sound, and once more a sample later

    monkeypatch.setattr("separation.datasets.sampler.impulse_response", impulse_response)
    batch = batch_of(store, 1000, **PLAIN | {"reverb": {"studio": 0.3}})
    found = seen(batch[..., 1:])  # whose gain is then 2
    in_album = np.isin(np.rint(found.number), (6, 7))
    assert_drawn(found.gain[in_album], {1: 1})
    assert_drawn(found.gain[~in_album], {1: 0.7, 2: 0.3})
    assert len(rooms) == len(set(rooms)) == np.count_nonzero(found.gain > 1.5)
    decays, levels, seeds = (np.array(values, dtype=float) for values in zip(*rooms, strict=True))
    assert_uniform(decays, 0.3, 2.0)
    assert_uniform(levels, -18.0, -4.0)
    assert len(set(seeds)) == len(rooms)
    assert_independent(decays, levels)


def test_sources_are_exactly_what_the_store_holds_if_nothing_is_to_be_done(store: StemStore) -> None:
    batch = batch_of(store, 50, **PLAIN)
    found = seen(batch)
    for row in range(50):
        for source in range(2):
            recording = store.recordings[round(found.number[row, source]) // 2]
            excerpt = store.excerpt(recording, source, round(found.start[row, source]), LENGTH)
            assert torch.equal(batch[row, source], excerpt)


def test_a_recording_that_is_shorter_lies_somewhere_within(store: StemStore) -> None:
    batch = batch_of(store, 1000, length=FRAMES + 20, **PLAIN)
    sounding = batch[:, :, 1] != 0
    assert (sounding.sum(-1) == FRAMES).all()
    before = sounding.int().argmax(-1)
    assert_drawn(before.flatten().double().numpy(), dict.fromkeys(range(21), 1.0))
    for row, source in ((0, 0), (1, 1)):
        cut = batch[row, source, 0, int(before[row, source]) :][:FRAMES]
        assert torch.equal(cut, torch.arange(1, FRAMES + 1) / 32768)


def test_shift_moves_the_sources_against_each_other(store: StemStore) -> None:
    """By up to 5 samples: the difference of two such moves."""
    found = seen(batch_of(store, 1500, **PLAIN | {"random_tracks": False, "shift": 0.005}))
    apart = found.start[:, 0] - found.start[:, 1]
    assert_drawn(apart, {moved: 6 - abs(moved) for moved in range(-5, 6)})
    assert_uniform(found.start[:, 0], 0, FRAMES - LENGTH)
    assert np.nanmin(found.start) >= -0.02
    assert np.nanmax(found.start) <= FRAMES - LENGTH + 0.02


# -- exchanged among items ---------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [2, 4, 10, 16])
def test_sources_are_exchanged_within_groups_only(groups: int, store: StemStore) -> None:
    """Of ten items, so that the last group may be smaller."""
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


def test_every_exchange_is_as_likely_as_any_other(store: StemStore) -> None:
    order = MixSampler(store, MixConfig(shuffle_groups=3)).draw(3000, seeded()).order.numpy()
    within = order.reshape(1000, 3, 2) - np.arange(0, 3000, 3)[:, None, None]
    codes = within[:, 0] * 3 + within[:, 1]  # of the six permutations of three items
    for source in range(2):
        assert_drawn(codes[:, source].astype(float), dict.fromkeys((1, 2, 3, 5, 6, 7), 1.0))
    assert_independent(codes[:, 0] == 1, codes[:, 1] == 1)


def test_without_groups_nothing_is_exchanged(store: StemStore) -> None:
    order = MixSampler(store, MixConfig()).draw(10, seeded()).order
    assert torch.equal(order, torch.arange(10)[:, None].expand(10, 2))


# -- pitch and tempo -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> StemStore:
    """One track whose sources are the same noise, long enough to be repitched."""
    wave = np.random.default_rng(0).integers(-9000, 9000, (20000, 2)) / 32768
    return make_store(tmp_path_factory.mktemp("twins"), {"studio": {"a": {"vocals": wave, "drums": wave}}})


def test_repitching_keeps_the_sources_in_step(twins: StemStore) -> None:
    batch = batch_of(twins, 4, **PLAIN | {"random_tracks": False, "repitch": 1.0})
    assert batch.std() > 0.05
    assert torch.equal(batch[:, 0], batch[:, 1])


@pytest.mark.parametrize("shift", [0, 20])
def test_items_are_repitched_as_drawn(shift: int, twins: StemStore) -> None:
    """From as long a piece as that needs; then moved, and cut to the length of an excerpt."""
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
            pieces.append(twins.excerpt(twins.recordings[0], source, start, length))
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


def test_pitch_and_tempo_stay_as_they_are_if_not_asked_for(store: StemStore) -> None:
    draw = MixSampler(store, MixConfig()).draw(100, seeded())
    assert not draw.semitones.any()
    assert (draw.tempo == 1).all()


# -- on another device -----------------------------------------------------------------------------


def test_a_batch_is_made_where_the_samples_are(store: StemStore) -> None:
    """On PyTorch's meta device, which computes nothing and refuses to mix devices as a GPU does."""
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
def test_a_gpu_makes_the_same_batches(more: dict[str, Any], twins: StemStore) -> None:
    excerpts = MixSampler(twins, MixConfig(**MUCH | {"shuffle_groups": 2} | more))
    draw = excerpts.draw(4, seeded())
    expected, samples = excerpts.batch(draw), twins.samples
    try:
        batch = MixSampler(twins.to(torch.device("cuda")), excerpts.config).batch(draw)
    finally:
        twins.samples = samples
    assert batch.device.type == "cuda"
    assert torch.allclose(batch.cpu(), expected, atol=1e-4)
