"""The network of Demucs v2 against golden vectors and the layers of upstream's v3.

The installed package no longer contains v2. Without normalisation, residual branches and padding,
its `Demucs` consists of the same layers.
"""

from __future__ import annotations

import json
from typing import Any

import demucs.demucs
import demucs.utils
import julius
import numpy as np
import pytest
import torch
from torch import Tensor

from separation.models.demucs import Demucs, center_trim
from tests.conftest import GOLDEN, relative_error
from tests.models.helpers import randomise

SHAPES = json.loads((GOLDEN / "demucs_v2_state_shapes.json").read_text())


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "demucs_v2_channels4.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def network(golden: dict[str, np.ndarray]) -> Demucs:
    network = Demucs(channels=4)
    state = {key.removeprefix("state/"): value for key, value in golden.items() if key.startswith("state/")}
    network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return network.eval()


@torch.inference_mode()
def test_the_output_equals_upstreams(network: Demucs, golden: dict[str, np.ndarray]) -> None:
    mixture = torch.from_numpy(golden["input"])
    before = mixture.clone()
    estimates = network(mixture)
    expected = torch.from_numpy(golden["output"])
    assert estimates.shape == expected.shape
    assert relative_error(estimates, expected) <= 1e-5
    # Most of the output is constant with these weights; a hundredth of it depends on the input.
    moving = [output - output.mean(-1, keepdim=True) for output in (estimates, expected)]
    assert relative_error(*moving) <= 1e-4
    assert torch.equal(mixture, before)


def upstreams_layers(network: Demucs, channels: int) -> Any:
    """Return upstream's v3 reduced to the layers of v2, with the weights of `network`."""
    theirs = demucs.demucs.Demucs(
        list(network.sources),
        audio_channels=network.n_channels,
        channels=channels,
        depth=network.depth,
        lstm_layers=2,
        gelu=False,
        norm_starts=99,
        dconv_mode=0,
        normalize=False,
    )
    for layer in theirs.decoder:
        layer[0].padding = (0,)
    theirs.load_state_dict(dict(network.state_dict()))
    return theirs.eval()


def forward(layers: Any, x: Tensor, *, resample: bool) -> Tensor:
    x = julius.resample_frac(x, 1, 2) if resample else x
    skips = []
    for encode in layers.encoder:
        x = encode(x)
        skips.append(x)
    x = layers.lstm(x)
    for decode in layers.decoder:
        x = decode(x + demucs.utils.center_trim(skips.pop(), x))
    x = julius.resample_frac(x, 2, 1) if resample else x
    return x.view(x.shape[0], len(layers.sources), layers.audio_channels, -1)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("channels", "depth", "resample", "n_channels", "sources"),
    [(6, 6, True, 2, 4), (8, 5, False, 2, 4), (8, 4, True, 1, 3)],
)
def test_the_output_on_music_equals_upstreams_layers(
    music: Tensor, channels: int, depth: int, resample: bool, n_channels: int, sources: int
) -> None:
    names = ("drums", "bass", "other", "vocals")[:sources]
    ours = Demucs(names, n_channels=n_channels, channels=channels, depth=depth, resample=resample)
    randomise(ours)
    mixture = music[:n_channels, 44100 : 44100 + ours.valid_length(44100)]
    mixture = torch.stack([mixture, mixture.flip(-1)]) / mixture.std()
    expected = forward(upstreams_layers(ours, channels), mixture, resample=resample)
    estimates = ours(mixture)
    assert estimates.shape == expected.shape == (2, sources, n_channels, expected.shape[-1])
    moving = [output - output.mean(-1, keepdim=True) for output in (estimates, expected)]
    assert float(moving[1].std() / expected.std()) > 0.1, "the output hardly depends on the input"
    assert relative_error(*moving) <= 1e-5


def test_valid_lengths_equal_upstreams(network: Demucs, golden: dict[str, np.ndarray]) -> None:
    for requested, valid in golden["valid_lengths"].tolist():
        assert network.valid_length(requested) == valid


@torch.inference_mode()
@pytest.mark.parametrize("resample", [True, False])
def test_valid_lengths_are_sufficient_and_minimal(resample: bool) -> None:
    network = Demucs(("a", "b"), n_channels=1, channels=2, depth=3, resample=resample).eval()
    for requested in (1, 2, 999, 1000, 1001, 4321):
        valid = network.valid_length(requested)
        estimates = network(torch.zeros(1, 1, valid))
        assert estimates.shape[:3] == (1, 2, 1)
        assert requested <= estimates.shape[-1]
        if not resample:  # every sample of the input is used, and no shorter input is enough
            assert network.valid_length(estimates.shape[-1]) == valid
            if valid > network.valid_length(1):
                assert network(torch.zeros(1, 1, valid - 4**3)).shape[-1] < requested


@pytest.mark.parametrize(("released", "channels"), [("64", 64), ("48", 48)])
def test_keys_and_shapes_are_those_of_the_released_files(released: str, channels: int) -> None:
    expected = SHAPES[f"demucs v2, {released} channels"]
    with torch.device("meta"):
        network = Demucs(expected["source_order"], channels=channels)
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == expected["state"]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == {64: 265_679_496, 48: 149_462_504}[channels] == expected["parameters"]


@torch.inference_mode()
def test_the_initial_output_is_not_much_quieter_than_the_input() -> None:
    torch.manual_seed(0)
    network = Demucs(channels=8).eval()
    mixture = torch.randn(1, 2, network.valid_length(10000), generator=torch.Generator().manual_seed(0))
    level = float(network(mixture).std())
    assert 1e-3 < level < 10  # 1e-5 without rescaling
    for name, parameter in network.named_parameters():
        if name.endswith(".0.weight") and name.startswith("encoder"):
            assert float(parameter.std()) > 0.03, name


@pytest.mark.parametrize(
    ("length", "kept"),
    [(5, [1, 2, 3, 4, 5]), (6, [1, 2, 3, 4, 5, 6]), (7, [0, 1, 2, 3, 4, 5, 6]), (8, [0, 1, 2, 3, 4, 5, 6, 7])],
)
def test_trimming_an_odd_excess_removes_one_more_sample_at_the_end(length: int, kept: list[int]) -> None:
    assert center_trim(torch.arange(8)[None], length)[0].tolist() == kept


def test_trimming_cannot_lengthen() -> None:
    with pytest.raises(ValueError, match="cannot trim 8 samples to 9"):
        center_trim(torch.zeros(8), 9)
