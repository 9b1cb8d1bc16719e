"""Options of training mixtures: defaults, ranges, and names that must be in the store."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from separation.datasets.mix_config import MixConfig
from separation.datasets.sampler import MixSampler
from separation.datasets.store import StemStore
from tests.datasets.helpers import (
    counting,
    make_store,
)


def test_the_defaults_are_those_of_the_published_open_unmix() -> None:
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
def test_nan_and_infinity_are_refused(field: str, value: Any) -> None:
    """TOML can express nan and inf."""
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
def test_values_at_the_ends_of_their_range_are_accepted(field: str, value: Any) -> None:
    assert getattr(MixConfig(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"shares": {"studio": 1.0, "attic": 1.0}},
            "unknown data set 'attic' in the config; the data holds album, studio",
        ),
        ({"whole_from": ("attic",)}, "unknown data set 'attic' in the config; the data holds album, studio"),
        ({"reverb": {"attic": 0.5}}, "unknown data set 'attic' in the config; the data holds album, studio"),
        ({"doubled": {"flute": 0.5}}, "unknown source 'flute' in `doubled`; the sources are vocals, drums"),
    ],
)
def test_names_missing_from_the_store_are_refused(config: dict[str, Any], message: str, store: StemStore) -> None:
    with pytest.raises(ValueError, match=message):
        MixSampler(store, MixConfig(**config))


def test_a_source_that_no_recording_holds_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path, {"studio": {"a": {"vocals": counting(0)}, "b": {"vocals": counting(2)}}})
    with pytest.raises(ValueError, match="no recording with drums exists"):
        MixSampler(store, MixConfig())


def test_a_source_without_a_data_set_that_has_a_share_is_refused(tmp_path: Path) -> None:
    both = {"vocals": counting(0), "drums": counting(1)}
    store = make_store(tmp_path, {"studio": {"a": both}, "choir": {"b": {"vocals": counting(2)}}})
    MixSampler(store, MixConfig(shares={"studio": 1.0, "choir": 1.0}))
    with pytest.raises(ValueError, match="no recording with drums exists"):
        MixSampler(store, MixConfig(shares={"studio": 0.0, "choir": 1.0}))
