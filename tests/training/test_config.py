"""Options of the recipes: published defaults, TOML files, and rejected values."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from separation.training.config import TrainingConfig, as_dict, from_dict, read_toml
from separation.training.demucs import DemucsConfig
from separation.training.open_unmix import OpenUnmixConfig
from tests.conftest import ROOT

BUNDLED = sorted((ROOT / "assets" / "models").glob("*/*.toml"))
CONFIGS = pytest.mark.parametrize("config", [OpenUnmixConfig, DemucsConfig])

#: What both papers leave out: nothing of ours changes what was published unless it is asked for.
NOTHING_MORE = {
    "whole_mixes": 0.0,
    "whole_from": (),
    "shares": {},
    "speeds": (1.0,),
    "tilt": 0.0,
    "width": 0.0,
    "reverb": {},
    "doubled": {},
    "accumulate": 1,
    "epoch_steps": None,
    "validate_every": 1,
    "ema": 0.0,
    "clip": None,
    "precision": "auto",
    "compile": False,
    "seed": 42,
    "best_by": "loss",
    "gain": (0.25, 1.25),
    "swap": 0.5,
}
OPEN_UNMIX = NOTHING_MORE | {
    "learning_rate": 1e-3,
    "weight_decay": 1e-5,
    "batch": 16,
    "epochs": 1000,
    "patience": 140,
    "schedule": "plateau",
    "plateau_factor": 0.3,
    "plateau_patience": 80,
    "plateau_cooldown": 10,
    "decay_share": 0.4,
    "seconds": 6.0,
    "excerpts_per_track": 64,
    "random_tracks": True,
    "flip": 0.0,
    "shift": 0.0,
    "shuffle_groups": 0,
    "repitch": 0.0,
    "max_semitones": 2,
    "max_tempo": 0.12,
    "hidden_size": 512,
    "n_layers": 3,
    "n_fft": 4096,
    "hop_length": 1024,
    "bandwidth": 16000.0,
}
DEMUCS = NOTHING_MORE | {
    "learning_rate": 3e-4,
    "weight_decay": 0.0,
    "batch": 64,
    "epochs": 360,
    "patience": None,
    "schedule": "constant",
    "plateau_factor": 0.3,
    "plateau_patience": 80,
    "plateau_cooldown": 10,
    "decay_share": 0.4,
    "seconds": 10.0,
    "excerpts_per_track": 230,
    "random_tracks": False,
    "flip": 0.5,
    "shift": 1.0,
    "shuffle_groups": 4,
    "repitch": 0.2,
    "max_semitones": 2,
    "max_tempo": 0.12,
    "channels": 64,
    "depth": 6,
    "resample": True,
    "spectral": 0.0,
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "my.toml").write_text(text, encoding="utf-8")
        return tmp_path / "my.toml"

    return write


@pytest.mark.parametrize(("config", "published"), [(OpenUnmixConfig, OPEN_UNMIX), (DemucsConfig, DEMUCS)])
def test_the_defaults_are_the_published_ones(config: type[TrainingConfig], published: dict[str, Any]) -> None:
    assert as_dict(config()) == published
    assert read_toml(config, None) == config()


@CONFIGS
def test_configs_are_immutable(config: type[TrainingConfig]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().batch = 3  # type: ignore[misc]


def test_a_file_changes_only_the_options_it_names(written: Callable[[str], Path]) -> None:
    path = written(
        'seconds = 4\nlearning_rate = 1\nclip = 5\npatience = 7\nschedule = "decay"\nspeeds = [1, 0.9]\n'
        'whole_from = ["a", "b"]\ncompile = true\n[shares]\na = 1\nb = 0.5\n[doubled]\nvocals = 0.15\n'
    )
    changed = read_toml(OpenUnmixConfig, path)
    expected = {
        "seconds": 4.0,
        "learning_rate": 1.0,
        "clip": 5.0,
        "patience": 7,
        "schedule": "decay",
        "speeds": (1.0, 0.9),
        "whole_from": ("a", "b"),
        "compile": True,
        "shares": {"a": 1.0, "b": 0.5},
        "doubled": {"vocals": 0.15},
    }
    assert as_dict(changed) == OPEN_UNMIX | expected


def test_integers_are_converted_where_a_float_is_expected(written: Callable[[str], Path]) -> None:
    changed = read_toml(DemucsConfig, written("gain = [1, 2]\nclip = 5\nseconds = 3\nshift = 1\n[shares]\na = 2\n"))
    numbers = [*changed.gain, changed.clip, changed.seconds, changed.shift, *changed.shares.values()]
    assert numbers == [1, 2, 5, 3, 1, 2]
    assert {type(number) for number in numbers} == {float}


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: f"{path.parent.name}, {path.name}")
def test_the_bundled_models_configs_load(path: Path) -> None:
    kinds: dict[str, type[TrainingConfig]] = {"open-unmix": OpenUnmixConfig, "demucs": DemucsConfig}
    recipe = path.parent.name.removesuffix("-compact")
    config = read_toml(kinds[recipe], path)
    assert as_dict(config).items() >= {"clip": 5.0, "schedule": "decay", "best_by": "sdr"}.items()
    assert config.precision == {"open-unmix": "bf16", "demucs": "fp32"}[recipe]
    assert config.speeds[0] == 1
    assert sum(config.shares.values()) == pytest.approx(1)
    assert {*config.whole_from, *config.reverb} <= set(config.shares)


def test_the_bundled_models_come_with_their_configs() -> None:
    assert {path.parent.name for path in BUNDLED} == {"open-unmix-compact", "demucs-compact"}


@pytest.mark.parametrize(
    "config",
    [
        OpenUnmixConfig(),
        DemucsConfig(),
        OpenUnmixConfig(
            speeds=(1.0, 0.5),
            whole_from=("a",),
            shares={"a": 1.0},
            doubled={"bass": 0.5},
            patience=None,
            clip=1.5,
            gain=(1.0, 1.0),
        ),
        DemucsConfig(epoch_steps=3, ema=0.9, spectral=0.5, patience=3),
    ],
)
def test_json_round_trip(config: TrainingConfig) -> None:
    again = from_dict(type(config), json.loads(json.dumps(as_dict(config))))
    assert again == config
    assert as_dict(again) == as_dict(config)
    assert {name: type(value) for name, value in as_dict(again).items()} == {
        name: type(value) for name, value in as_dict(config).items()
    }


@CONFIGS
def test_an_unknown_key_is_refused_with_a_list_of_the_keys(
    config: type[TrainingConfig], written: Callable[[str], Path]
) -> None:
    with pytest.raises(ValueError, match=r"^my\.toml: unknown key 'bach'; the keys are accumulate, .*batch, .*width$"):
        read_toml(config, written("bach = 3\n"))


def test_keys_belong_to_their_recipe(written: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=r"^my\.toml: unknown key 'hidden_size'"):
        read_toml(DemucsConfig, written("hidden_size = 8\n"))
    with pytest.raises(ValueError, match=r"^my\.toml: unknown key 'channels'"):
        read_toml(OpenUnmixConfig, written("channels = 8\n"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("batch = 1.5", "batch must be int, got 1.5"),
        ('batch = "16"', "batch must be int, got '16'"),
        ("batch = true", "batch must be int, got True"),
        ("seconds = true", "seconds must be float, got True"),
        ('seconds = "6"', "seconds must be float, got '6'"),
        ("compile = 1", "compile must be bool, got 1"),
        ('patience = "never"', "patience must be int, got 'never'"),
        ("clip = [5]", r"clip must be float, got \[5\]"),
        ('schedule = "cosine"', "schedule must be one of plateau, decay, constant, got 'cosine'"),
        ("schedule = 1", "schedule must be one of plateau, decay, constant, got 1"),
        ('precision = "fp8"', "precision must be one of auto, fp32, bf16, fp16, got 'fp8'"),
        ('best_by = "ear"', "best_by must be one of loss, sdr, got 'ear'"),
        ("gain = 1", "gain must be .*, got 1"),
        ('gain = ["a", "b"]', "gain must be float, got 'a'"),
        ("whole_from = [1]", "whole_from must be str, got 1"),
        ('shares = ["a"]', r"shares must be .*, got \['a'\]"),
        ('[shares]\na = "much"', "shares.a must be float, got 'much'"),
        ("[doubled]\nvocals = true", "doubled.vocals must be float, got True"),
    ],
)
def test_a_wrong_type_is_refused_by_name(line: str, complaint: str, written: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=rf"^my\.toml: {complaint}$"):
        read_toml(OpenUnmixConfig, written(line + "\n"))


@pytest.mark.parametrize(
    ("config", "line", "named"),
    [
        (OpenUnmixConfig, "batch = 0", "batch must be at least 1, got 0"),
        (OpenUnmixConfig, "accumulate = 0", "accumulate must be at least 1, got 0"),
        (OpenUnmixConfig, f"batch = {10**400}", "batch is too large$"),
        (OpenUnmixConfig, f"learning_rate = {10**400}", "learning_rate is too large$"),
        (OpenUnmixConfig, f"gain = [0.5, {10**400}]", "gain is too large$"),
        (OpenUnmixConfig, "plateau_patience = -1", "plateau_patience must be at least 0, got -1"),
        (OpenUnmixConfig, "plateau_cooldown = -1", "plateau_cooldown must be at least 0, got -1"),
        (OpenUnmixConfig, "epochs = -1", "epochs must be at least 1, got -1"),
        (OpenUnmixConfig, "excerpts_per_track = 0", "excerpts_per_track must be at least 1, got 0"),
        (OpenUnmixConfig, "validate_every = 0", "validate_every must be at least 1, got 0"),
        (OpenUnmixConfig, "epoch_steps = 0", "epoch_steps must be above 0 or omitted, got 0"),
        (OpenUnmixConfig, "patience = 0", "patience must be above 0 or omitted, got 0"),
        (OpenUnmixConfig, "clip = 0.0", "clip must be above 0 or omitted, got 0.0"),
        (OpenUnmixConfig, "accumulate = 3", "a batch of 16 does not divide into 3 parts"),
        (OpenUnmixConfig, "learning_rate = 0.0", "learning_rate must be above 0.*got 0.0"),
        (OpenUnmixConfig, "learning_rate = nan", "learning_rate must be finite, got nan"),
        (OpenUnmixConfig, "weight_decay = -1e-5", "weight_decay .* at least 0.*-1e-05"),
        (OpenUnmixConfig, "seed = -1", "seed at least 0.*-1$"),
        (OpenUnmixConfig, "ema = 1.0", r"ema must be in 0\.\.1 \(1 excluded\).*got 1.0"),
        (OpenUnmixConfig, "decay_share = 0.0", r"decay_share .* got 0.0, 0.0"),
        (OpenUnmixConfig, "plateau_factor = 1.0", r"plateau_factor .* 1.0$"),
        (OpenUnmixConfig, "seconds = 0.05", r"seconds must be in 0\.1\.\.3600, got 0.05"),
        (OpenUnmixConfig, "seconds = nan", "seconds must be finite, got nan"),
        (OpenUnmixConfig, "swap = 1.1", "swap must be a probability in 0..1, got 1.1"),
        (OpenUnmixConfig, "flip = -0.1", "flip must be a probability in 0..1, got -0.1"),
        (OpenUnmixConfig, "whole_mixes = 2", "whole_mixes must be a probability in 0..1, got 2.0"),
        (OpenUnmixConfig, "tilt = 1.5", "tilt must be a probability in 0..1, got 1.5"),
        (OpenUnmixConfig, "width = 1.5", "width must be a probability in 0..1, got 1.5"),
        (OpenUnmixConfig, "repitch = 1.5", "repitch must be a probability in 0..1, got 1.5"),
        (OpenUnmixConfig, "[doubled]\nbass = 1.5", "doubled must hold probabilities in 0..1"),
        (OpenUnmixConfig, "[reverb]\na = -0.5", "reverb must hold probabilities in 0..1"),
        (OpenUnmixConfig, "[shares]\na = -1", "shares must not be negative"),
        (OpenUnmixConfig, "gain = [1.0, 0.5]", "gain must be two factors of at least 0, the smaller first"),
        (OpenUnmixConfig, "gain = [1.0]", "gain must be two factors of at least 0, the smaller first"),
        (OpenUnmixConfig, "speeds = []", r"speeds must be in 0\.25\.\.4"),
        (OpenUnmixConfig, "speeds = [1.0, 5.0]", r"speeds must be in 0\.25\.\.4"),
        (OpenUnmixConfig, "hidden_size = 7", "hidden_size must be even and n_layers at least 1, got 7 and 3"),
        (OpenUnmixConfig, "n_layers = 0", "hidden_size must be even and n_layers at least 1, got 512 and 0"),
        (OpenUnmixConfig, "hop_length = 4096", r"hop_length must be in 1\.\.2048 samples, got 4096"),
        (OpenUnmixConfig, "bandwidth = 0.0", r"bandwidth must be in 0\.\.192000 Hz, got 0.0"),
        (DemucsConfig, "depth = 9", r"depth in 1\.\.8.*got 64, 9, 0.0"),
        (DemucsConfig, "channels = 0", "channels must be at least 1.*got 0, 6, 0.0"),
        (DemucsConfig, "spectral = -1.0", "spectral at least 0.*got 64, 6, -1.0"),
        (DemucsConfig, "batch = 6", "6 items do not divide into groups of 4"),
        (DemucsConfig, "accumulate = 32", "2 items do not divide into groups of 4"),
        (DemucsConfig, "shift = 61.0", r"shift must be in 0\.\.60 s, got 61.0"),
        (DemucsConfig, "shuffle_groups = -1", "shuffle_groups must be at least 0"),
        (DemucsConfig, "max_semitones = 25", r"max_semitones in 0\.\.24"),
        (DemucsConfig, "max_tempo = 0.6", r"max_tempo in 0\.\.0\.5"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(
    config: type[TrainingConfig], line: str, named: str, written: Callable[[str], Path]
) -> None:
    with pytest.raises(ValueError, match=rf"^my\.toml: .*{named}"):
        read_toml(config, written(line + "\n"))


@pytest.mark.parametrize("line", ["clip = nan", "[shares]\na = nan", "spectral = nan", "learning_rate = inf"])
def test_nan_and_infinity_are_refused(line: str, written: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=r"^my\.toml: .*(nan|inf)"):
        read_toml(DemucsConfig, written(line + "\n"))


def test_speeds_without_the_original_speed_are_refused(written: Callable[[str], Path]) -> None:
    """Statistics and epoch lengths are computed from recordings at their original speed."""
    with pytest.raises(ValueError, match=r"^my\.toml: .*speeds"):
        read_toml(OpenUnmixConfig, written("speeds = [0.9, 1.1]\n"))


@pytest.mark.parametrize(
    "content",
    [b"batch = ", b"batch = 16\nbatch = 17\n", b"\xff\xfe", b"gain = [0.25 1.25]\n", b"batch = " + b"[" * 100_000],
    ids=lambda content: repr(content[:20]),
)
def test_a_file_that_is_not_toml_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_bytes(content)
    with pytest.raises(ValueError, match=r"^my\.toml is not a readable TOML file: "):
        read_toml(OpenUnmixConfig, tmp_path / "my.toml")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ValueError, match=rf"^{re.escape(path.name)} is not a readable TOML file: "):
            read_toml(OpenUnmixConfig, path)
