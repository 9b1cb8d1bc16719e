"""RoFormers: segments, the accompaniment, levels, and checkpoints of the community."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import bs_roformer
import pytest
import torch
import yaml
from torch import Tensor, nn
from typer.testing import CliRunner

from separation.__main__ import app
from separation.models.roformer import BANDS
from separation.separators import create
from separation.separators.base import Separator
from separation.weights import catalogue
from separation.weights.state_dict import CheckpointError
from tests.conftest import snr
from tests.models.helpers import NO_BFLOAT16, randomise
from tests.separators.helpers import write_tiny

SMALL = {"dim": 16, "depth": 1, "heads": 2, "dim_head": 8, "time_transformer_depth": 1, "freq_transformer_depth": 1}
SPLIT = SMALL | {"freqs_per_bands": list(BANDS)}
MEL = SMALL | {"num_bands": 60}


def upstream(shape: dict[str, Any]) -> nn.Module:
    kind = bs_roformer.MelBandRoformer if "num_bands" in shape else bs_roformer.BSRoformer
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in shape.items()}
    return randomise(kind(**arguments))


def write_config(folder: Path, shape: dict[str, Any], instruments: list[str], target: str | None = None) -> Path:
    content = {
        "audio": {"sample_rate": 44100, "chunk_size": 44100},
        "model": shape,
        "training": {"instruments": instruments, "target_instrument": target},
        "inference": {"num_overlap": 2},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def write_checkpoint(folder: Path, shape: dict[str, Any], instruments: list[str], target: str | None = None) -> Path:
    """Write the random weights of upstream's network as the community does."""
    write_config(folder, shape, instruments, target)
    torch.save(upstream(shape).state_dict(), folder / "model.ckpt")
    return folder / "model.ckpt"


def open_checkpoint(path: Path, **options: object) -> Separator:
    config = str(path.parent / "config.yaml")
    return create("roformer", model=str(path), device="cpu", options={"config": config, **options})


@pytest.fixture(scope="module")
def vocals(tmp_path_factory: pytest.TempPathFactory) -> Separator:
    folder = tmp_path_factory.mktemp("vocals")
    return open_checkpoint(write_checkpoint(folder, MEL | {"stereo": True}, ["vocals", "other"], "vocals"))


@pytest.mark.parametrize("shape", [SPLIT | {"stereo": True, "num_stems": 2}, MEL | {"num_stems": 2}])
def test_a_segment_equals_upstreams(tmp_path: Path, shape: dict[str, Any], excerpt: dict[str, Tensor]) -> None:
    separator = open_checkpoint(write_checkpoint(tmp_path, shape, ["bass", "drums"]))
    assert separator.sources == ("bass", "drums")
    assert separator.channels == 1 + shape.get("stereo", False)
    mixture = excerpt["mixture"][: separator.channels, : 69 * 512]
    with torch.inference_mode():
        expected = upstream(shape)(mixture[None])[0]
    assert snr(expected, separator.separate(mixture)) > 100


def test_overlap_add_equals_upstreams(tmp_path: Path, excerpt: dict[str, Tensor]) -> None:
    shape = MEL | {"stereo": True, "num_stems": 2, "match_input_audio_length": True}
    separator = open_checkpoint(write_checkpoint(tmp_path, shape, ["bass", "drums"]))
    network, mixture = upstream(shape), excerpt["mixture"]
    length, segment, fade = mixture.shape[-1], 44100, 4410
    window = torch.ones(segment)
    window[:fade] = torch.linspace(1 / fade, 1, fade)
    window[-fade:] = torch.linspace(1, 1 / fade, fade)
    total, weight = torch.zeros(2, *mixture.shape), torch.zeros(length)
    for start in (0, 22050, 44100, 66150):
        first = min(start, length - segment)
        with torch.inference_mode():
            stems = network(mixture[None, :, first : first + segment])[0, ..., start - first :]
        size = stems.shape[-1]
        total[..., start : start + size] += stems * window[:size]
        weight[start : start + size] += window[:size]
    assert separator.segments(length) == 4
    assert snr(total / weight, separator.separate(mixture)) > 100


def test_a_single_stem_network_also_gives_the_accompaniment(vocals: Separator, excerpt: dict[str, Tensor]) -> None:
    assert vocals.sources == ("vocals", "accompaniment")
    stems = vocals.separate(excerpt["mixture"])
    assert snr(excerpt["mixture"], stems.sum(0)) > 120
    assert snr(excerpt["mixture"], stems[0]) < 20


@pytest.mark.parametrize("frames", [1, 2, 440, 1024, 1025, 2047, 44099, 44100, 44101, 66150, 66151, 88203])
def test_any_length_is_separated(vocals: Separator, excerpt: dict[str, Tensor], frames: int) -> None:
    mixture = excerpt["mixture"][:, :frames]
    blocks = list(vocals.stream(mixture))
    assert len(blocks) == vocals.segments(frames)
    stems = torch.cat(blocks, dim=-1)
    assert stems.shape == (2, 2, frames)
    assert stems.isfinite().all()
    assert (stems.sum(0) - mixture).abs().max() < 1e-6


def test_silence_gives_silence(vocals: Separator) -> None:
    assert torch.equal(vocals.separate(torch.zeros(2, 50_000)), torch.zeros(2, 2, 50_000))


def test_the_stems_scale_with_the_mixture(vocals: Separator, excerpt: dict[str, Tensor]) -> None:
    mixture = excerpt["mixture"]
    expected = vocals.separate(mixture)
    for gain in (1e-3, 10.0):
        assert snr(expected, vocals.separate(gain * mixture) / gain) > 80


def test_the_last_segment_has_full_context(vocals: Separator, excerpt: dict[str, Tensor]) -> None:
    mixture = excerpt["mixture"][:, :50_000]
    alone = vocals.separate(mixture[:, -44_100:])
    assert snr(alone[..., -1000:], vocals.separate(mixture)[..., -1000:]) > 100


def test_user_options_override_the_configuration(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, SPLIT | {"stereo": True}, ["vocals"])
    frames = 10 * 44100
    assert open_checkpoint(path).segments(frames) == 19
    assert open_checkpoint(path, segment=2, overlap=0).segments(frames) == 5


def test_the_command_line_takes_a_checkpoint(tmp_path: Path, sample: Path) -> None:
    path = write_checkpoint(tmp_path, MEL | {"stereo": True}, ["vocals", "other"], "vocals")
    words = ["separate", str(sample / "mixture.flac"), "-m", "roformer", "--model", str(path), "--duration", "1"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "error: model.ckpt needs its configuration: add --option config=FILE.yaml" in done.stderr
    words += ["--out", str(tmp_path / "out"), "--option", f"config={tmp_path / 'config.yaml'}"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / "out" / "mixture" / "roformer"
    assert {file.name for file in folder.iterdir()} == {"vocals.wav", "accompaniment.wav", "result.json"}
    assert "finished earlier" in CliRunner().invoke(app, words).stderr


def test_only_roformer_accepts_a_configuration() -> None:
    with pytest.raises(ValueError, match="unknown option 'config'; the options of this method are: segment"):
        create("demucs", options={"config": "x.yaml"})
    with pytest.raises(CheckpointError, match="roformer-4stems is not installed"):
        create("roformer", options={"config": "none"})


def test_bfloat16_is_close_to_float32(tmp_path: Path, excerpt: dict[str, Tensor]) -> None:
    folder = str(write_tiny(tmp_path / "model", "roformer"))
    expected = create("roformer", model=folder, device="cpu").separate(excerpt["mixture"])
    try:
        separator = create("roformer", model=folder, device="cpu", precision="bf16")
    except ValueError as error:
        assert "no bfloat16" in str(error)
        pytest.skip(NO_BFLOAT16)
    assert 20 < snr(expected, separator.separate(excerpt["mixture"])) < 90


def damage(path: Path, kind: str) -> None:
    state = torch.load(path, weights_only=True)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "a pickle":
        path.write_bytes(pickle.dumps(print))
    elif kind == "a key less":
        del state["final_norm.gamma"]
    elif kind == "a key more":
        state["layers.0.2.gamma"] = torch.ones(3)
    else:
        state["final_norm.gamma"] = torch.ones(3)
    if kind not in ("cut", "a pickle"):
        torch.save(state, path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", r"model\.ckpt is damaged, or holds more than tensors, and was not loaded"),
        ("a pickle", r"model\.ckpt is damaged, or holds more than tensors, and was not loaded"),
        ("a key less", r"model\.ckpt does not fit roformer as model describes it: lacks 'final_norm\.gamma'"),
        ("a key more", r"model\.ckpt does not fit .*: has an unknown 'layers\.0\.2\.gamma'"),
        ("a shape", r"model\.ckpt does not fit .*: 'final_norm\.gamma' is \(3,\), not \(16,\)"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused_in_one_sentence(tmp_path: Path, kind: str, message: str) -> None:
    path = write_checkpoint(tmp_path, SPLIT | {"stereo": True}, ["vocals"])
    damage(path, kind)
    with pytest.raises(CheckpointError, match=f"^{message}$"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"freqs_per_bands": [2, 3]}, "the bands do not cover the 1025 bins of an n_fft of 2048"),
        ({"stft_hop_length": 2048}, r"hop_length must be in 1\.\.1024, half of n_fft, got 2048"),
        ({"num_bands": 400}, "400 mel bands do not cover an n_fft of 2048 at 44100 Hz"),
    ],
)
def test_a_configuration_without_a_network_is_refused(tmp_path: Path, shape: dict[str, Any], message: str) -> None:
    write_config(tmp_path, (SMALL if "num_bands" in shape else SPLIT) | shape, ["vocals"])
    (tmp_path / "model.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"^model does not describe a model for roformer: {message}$"):
        open_checkpoint(tmp_path / "model.ckpt")


def test_sources_that_do_not_fit_the_network_are_refused(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model", "roformer", sources=("vocals", "drums", "bass"))
    with pytest.raises(CheckpointError, match="it names 3 sources for a network of 4 stems"):
        create("roformer", model=str(folder))


@pytest.mark.slow  # networks of 500 and 640 MB; the small shapes above are built in make test
def test_the_released_models_have_the_published_shape() -> None:
    from separation.separators.roformer import _network

    tensors = {"roformer-4stems": 1355, "roformer-vocals": 699}
    for model in catalogue.list_models():
        if model.method == "roformer":
            state = model.build(lambda shape, model=model: _network(model, shape)).state_dict()  # type: ignore[misc]
            assert len(state) == tensors[model.name]
            assert sum(value.numel() for value in state.values()) == model.parameters
