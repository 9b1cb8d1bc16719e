"""Checkpoints of RoFormers and their YAML configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from separation.weights.catalogue import find_model
from separation.weights.model import Model
from separation.weights.roformer import read_roformer
from separation.weights.state_dict import CheckpointError, read_state_dict

# The shape of the published configurations, with their tags and the keys that matter for training only.
VOCALS = """
audio:
  chunk_size: 352800
  hop_length: 512  # not the one that the network uses
  num_channels: 2
  sample_rate: 44100
model:
  dim: 384
  depth: 6
  stereo: true
  num_stems: 1
  time_transformer_depth: 1
  freq_transformer_depth: 1
  num_bands: 60
  attn_dropout: 0.1
  flash_attn: True
  dim_freqs_in: 1025
  sample_rate: 44100
  stft_n_fft: 2048
  stft_hop_length: 441
  stft_win_length: 2048
  stft_normalized: False
  mask_estimator_depth: 2
  multi_stft_resolutions_window_sizes: !!python/tuple
  - 4096
  - 2048
  linear_transformer_depth: 0
  skip_connection: false
training:
  instruments: [vocals, other]
  target_instrument: vocals
  lr: 1.0e-05
inference:
  batch_size: 4
  num_overlap: 4
"""


def describe(folder: Path, text: str) -> Model:
    (folder / "config.yaml").write_text(text)
    return read_roformer(folder / "vocals.ckpt", folder / "config.yaml")


def changed(section: str, **values: Any) -> str:
    content = yaml.safe_load(VOCALS.replace("!!python/tuple", ""))
    content[section] = {key: value for key, value in (content[section] | values).items() if value is not ...}
    return yaml.safe_dump(content)


def test_a_mel_band_configuration_is_read(tmp_path: Path) -> None:
    model = describe(tmp_path, VOCALS)
    assert model.name == "vocals"
    assert model.method == "roformer"
    assert model.sources == ("vocals", "accompaniment")
    assert (model.sample_rate, model.channels) == (44100, 2)
    assert model.options == {"segment": 8.0, "overlap": 0.75}
    assert model.architecture == {
        **{"dim": 384, "depth": 6, "heads": 8, "dim_head": 64, "time_depth": 1, "band_depth": 1},
        **{"mask_expansion": 4, "n_stems": 1, "n_fft": 2048, "hop_length": 441, "mask_layers": 2, "mel_bands": 60},
    }


def test_a_band_split_configuration_is_read(tmp_path: Path) -> None:
    split = {"num_bands": ..., "sample_rate": ..., "stereo": ..., "freqs_per_bands": [500, 525]}
    model = describe(tmp_path, changed("model", **split, mlp_expansion_factor=2))
    assert model.architecture["band_widths"] == [500, 525]
    assert model.architecture["mask_layers"] == 1
    assert model.architecture["mask_expansion"] == 2
    assert "mel_bands" not in model.architecture
    assert model.channels == 1
    tuples = changed("model", **split).replace("freqs_per_bands:", "freqs_per_bands: !!python/tuple")
    assert "!!python/tuple" in tuples
    assert describe(tmp_path, tuples).architecture["band_widths"] == [500, 525]


def test_missing_keys_have_upstreams_defaults(tmp_path: Path) -> None:
    text = "model: {dim: 8, depth: 1, freqs_per_bands: [500, 525]}\ntraining: {instruments: [bass]}"
    model = describe(tmp_path, text)
    shape = {"heads": 8, "dim_head": 64, "time_depth": 2, "band_depth": 2, "mask_expansion": 4, "n_stems": 1}
    assert model.architecture.items() >= (shape | {"n_fft": 2048, "hop_length": 512, "mask_layers": 1}).items()
    assert model.sources == ("bass", "accompaniment")
    assert (model.sample_rate, model.channels) == (44100, 1)
    assert model.options == {"overlap": 0.5}


def test_the_chunk_size_of_the_inference_section_takes_precedence(tmp_path: Path) -> None:
    assert describe(tmp_path, changed("inference", chunk_size=441000)).options["segment"] == 10


@pytest.mark.parametrize(
    ("training", "n_stems", "sources"),
    [
        ({"target_instrument": None, "instruments": ["Drums", "Bass"]}, 2, ("drums", "bass")),
        ({"target_instrument": None, "instruments": ["vocals", "Instrumental"]}, 2, ("vocals", "accompaniment")),
        ({"target_instrument": "other"}, 1, ("other", "accompaniment")),
        ({"target_instrument": "Instrumental"}, 1, ("accompaniment", "vocals")),
    ],
)
def test_stems_are_renamed_to_the_names_of_references(
    tmp_path: Path, training: dict[str, Any], n_stems: int, sources: tuple[str, ...]
) -> None:
    content = yaml.safe_load(changed("training", **training))
    content["model"]["num_stems"] = n_stems
    assert describe(tmp_path, yaml.safe_dump(content)).sources == sources


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("model", {"linear_transformer_depth": 1}, "asks for linear_transformer_depth, which is not implemented"),
        ("model", {"skip_connection": True}, "asks for skip_connection, which is not implemented"),
        ("model", {"stft_normalized": True}, "asks for stft_normalized, which is not implemented"),
        ("model", {"use_pope": True}, "asks for use_pope, which is not implemented"),
        ("model", {"stft_win_length": 1024}, "asks for an stft_win_length other than stft_n_fft"),
        ("model", {"num_residual_streams": 4}, "asks for num_residual_streams, which is not supported"),
        ("model", {"sample_rate": 48000}, "has different sample rates for the mel bands and the audio"),
        ("model", {"num_bands": ...}, "must have either num_bands .* or freqs_per_bands"),
        ("model", {"freqs_per_bands": [1025]}, "must have either num_bands .* or freqs_per_bands"),
        ("model", {"num_bands": ..., "freqs_per_bands": [2, "x"]}, "must list whole numbers as freqs_per_bands"),
        ("model", {"num_bands": ..., "freqs_per_bands": 5}, "must list whole numbers as freqs_per_bands, got 5"),
        ("model", {"dim": ...}, "must have a whole number of at least 1 as dim, got None"),
        ("model", {"depth": 1.5}, r"must have a whole number of at least 1 as depth, got 1\.5"),
        ("model", {"heads": True}, "must have a whole number of at least 1 as heads, got True"),
        ("model", {"num_stems": 2}, r"names 1 stems \(vocals\) for a network of 2"),
        ("model", {"stereo": "yes"}, "must set stereo to true or false, got 'yes'"),
        ("audio", {"sample_rate": 0}, "must have a whole number of at least 1 as sample_rate, got 0"),
        ("inference", {"num_overlap": "two"}, "must have a whole number of at least 1 as num_overlap, got 'two'"),
        ("training", {"target_instrument": "../x"}, r"must name its stems in training\.instruments, got \['\.\./x'\]"),
        ("training", {"target_instrument": None}, r"names 2 stems \(vocals, other\) for a network of 1"),
        ("training", {"target_instrument": None, "instruments": ...}, "must name its stems in training"),
        ("training", {"target_instrument": None, "instruments": "vocals"}, "must name its stems in training"),
    ],
)
def test_unsupported_configurations_are_refused(
    tmp_path: Path, section: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=rf"^config\.yaml {message}") as caught:
        describe(tmp_path, changed(section, **values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "model: [1, 2",
        "\x00\x01\x02",
        "a: b: c",
        "x: 2024-99-99",
        "model: !!python/object/apply:os.system ['touch {folder}/run']",
        "model: !!python/name:os.system",
        "model: !!python/tuple 5",
        "model: !local [1]",
        "[" * 5000,
        "x: &x {a: 1}\nmodel: {<<: *x}",
    ],
)
def test_yaml_with_tags_is_refused_and_not_executed(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match=r"^config\.yaml is not a configuration: it is not YAML, or holds more"):
        describe(tmp_path, text.replace("{folder}", str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("text", ["", "5", "- a", "null"])
def test_yaml_without_sections_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match=r"^config\.yaml is not a configuration: it has no sections"):
        describe(tmp_path, text)


def test_sections_of_another_kind_are_refused(tmp_path: Path) -> None:
    for text in ("model: 5", "model: {5: 5}", "training: [vocals]"):
        with pytest.raises(CheckpointError, match=r"^config\.yaml must have a section (model|training) of names and"):
            describe(tmp_path, text)


def test_very_long_values_are_shortened_in_messages(tmp_path: Path) -> None:
    levels = ["x0: &x0 [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]"]
    levels += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 20)]
    with pytest.raises(CheckpointError, match="must list whole numbers as freqs_per_bands") as caught:
        describe(tmp_path, "\n".join([*levels, "model: {dim: 8, depth: 1, freqs_per_bands: *x19}"]))
    assert len(str(caught.value)) < 500


def test_a_missing_configuration_is_reported(tmp_path: Path) -> None:
    checkpoint = tmp_path / "vocals.ckpt"
    checkpoint.write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"^vocals\.ckpt needs its configuration: add --option config=FILE\.yaml$"
    ):
        find_model(str(checkpoint), method="roformer")
    with pytest.raises(CheckpointError, match=r"^gone\.yaml is missing$"):
        find_model(str(checkpoint), method="roformer", config=str(tmp_path / "gone.yaml"))
    with pytest.raises(CheckpointError, match=rf"^{tmp_path.name} cannot be read: Is a directory$"):
        find_model(str(checkpoint), method="roformer", config=str(tmp_path))
    (tmp_path / "long.yaml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(CheckpointError, match=r"^long\.yaml is too long for a configuration$"):
        find_model(str(checkpoint), method="roformer", config=str(tmp_path / "long.yaml"))


def test_only_a_checkpoint_file_takes_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(VOCALS)
    for name in ("roformer-4stems", str(tmp_path), "gone.ckpt"):
        with pytest.raises(CheckpointError, match=r"config describes a checkpoint file, and '.*' is not one"):
            find_model(name, method="roformer", config=str(tmp_path / "config.yaml"))


def test_the_hash_covers_checkpoint_and_configuration(tmp_path: Path) -> None:
    (tmp_path / "vocals.ckpt").write_bytes(b"1")
    (tmp_path / "elsewhere").mkdir()
    hashes = set()
    for folder in (tmp_path, tmp_path / "elsewhere"):
        for text in (VOCALS, VOCALS + "\n"):
            (folder / "config.yaml").write_text(text)
            model = find_model(str(tmp_path / "vocals.ckpt"), method="roformer", config=str(folder / "config.yaml"))
            assert model.installed
            assert model.own
            hashes.add(model.hash())
    assert len(hashes) == 2
    with pytest.raises(CheckpointError, match="vocals is a model for roformer, not for demucs"):
        find_model(str(tmp_path / "vocals.ckpt"), method="demucs", config=str(tmp_path / "config.yaml"))


@pytest.mark.parametrize("key", ["state", "state_dict", "model_state_dict"])
def test_the_state_dict_of_a_training_checkpoint_is_read(tmp_path: Path, key: str) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"epoch": 3, key: {"weight": torch.ones(2)}, "optimizer": {"lr": [0.1]}}, path)
    assert read_state_dict(path).keys() == {"weight"}
