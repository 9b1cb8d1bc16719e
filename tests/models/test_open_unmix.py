"""Open-Unmix's network against upstream's own."""

from __future__ import annotations

import json

import openunmix.model
import openunmix.utils
import pytest
import torch
from torch import Tensor, nn

from separation.models.open_unmix import OpenUnmix, bins_below
from separation.spectral.stft import StftConfig, stft
from tests.conftest import GOLDEN, relative_error
from tests.models.helpers import randomise

SHAPES = json.loads((GOLDEN / "open_unmix_state_shapes.json").read_text())


def magnitudes(waveform: Tensor, config: StftConfig) -> Tensor:
    """Return the magnitudes of two excerpts of 2 s, shape (2, channels, bins, frames)."""
    return stft(waveform[..., : 4 * 44100].unflatten(-1, (2, -1)).transpose(0, 1), config).abs()


SIZES = {
    "umxhq": {"n_bins": 2049, "max_bin": 1487, "n_channels": 2, "hidden_size": 512},
    "small": {"n_bins": 2049, "max_bin": 1487, "n_channels": 2, "hidden_size": 32},
    "umxse": {"n_bins": 513, "max_bin": 513, "n_channels": 1, "hidden_size": 64},
    "all bins, two layers": {"n_bins": 257, "hidden_size": 16, "n_layers": 2},
    "one layer": {"n_bins": 257, "max_bin": 100, "hidden_size": 16, "n_layers": 1},
}
UPSTREAM_NAMES = {"n_bins": "nb_bins", "n_channels": "nb_channels", "n_layers": "nb_layers"}


def both(size: str) -> tuple[OpenUnmix, nn.Module]:
    """Return our network and upstream's with the same random weights."""
    ours = OpenUnmix(**SIZES[size])
    theirs = openunmix.model.OpenUnmix(**{UPSTREAM_NAMES.get(key, key): value for key, value in SIZES[size].items()})
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict())
    return ours.eval(), theirs


@torch.inference_mode()
@pytest.mark.parametrize("size", SIZES)
def test_magnitudes_equal_upstreams(music: Tensor, size: str) -> None:
    ours, theirs = both(size)
    mixture = magnitudes(music[: ours.n_channels], StftConfig(n_fft=2 * (ours.n_bins - 1), hop_length=ours.n_bins // 2))
    expected = theirs(mixture.clone())
    estimate = ours(mixture)
    assert estimate.shape == mixture.shape
    assert relative_error(estimate, expected) <= 1e-5
    share = float(estimate.sum() / mixture.sum())
    assert 0.05 < share < 20, "trivial weights"
    assert 0.01 < float((estimate == 0).float().mean()) < 0.99, "the last ReLU does nothing"


def test_training_mode_equals_upstreams(music: Tensor) -> None:
    ours, theirs = both("small")
    mixture = magnitudes(music, StftConfig())
    results = []
    for network in (ours, theirs):
        torch.manual_seed(0)  # for the dropout
        results.append(network.train()(mixture))
        results[-1].square().mean().backward()
    assert relative_error(results[0].detach(), results[1].detach()) <= 1e-5
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        gradient, theirs_gradient = parameter.grad, expected[name].grad
        assert gradient is not None
        assert theirs_gradient is not None
        assert relative_error(gradient, theirs_gradient) <= 1e-3, name
    for name, buffer in theirs.named_buffers():  # running statistics
        torch.testing.assert_close(ours.get_buffer(name), buffer, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_mixture_is_not_changed(music: Tensor) -> None:
    ours, _ = both("small")
    mixture = magnitudes(music, StftConfig())
    before = mixture.clone()
    ours(mixture).mul_(0)
    assert torch.equal(mixture, before)


@torch.inference_mode()
def test_excerpts_of_a_batch_are_independent(music: Tensor) -> None:
    ours, _ = both("small")
    mixture = magnitudes(music, StftConfig())
    alone = torch.cat([ours(mixture[:1]), ours(mixture[1:])])
    assert relative_error(ours(mixture), alone) <= 1e-5


@pytest.mark.parametrize(
    ("released", "size"),
    [
        ("umx/umxhq", {"n_bins": 2049, "max_bin": 1487, "hidden_size": 512}),
        ("umxl", {"n_bins": 2049, "max_bin": 1487, "hidden_size": 1024}),
        ("umxse", {"n_bins": 513, "max_bin": 513, "n_channels": 1, "hidden_size": 256}),
    ],
)
def test_keys_and_shapes_are_those_of_the_released_files(released: str, size: dict[str, int]) -> None:
    with torch.device("meta"):
        network = OpenUnmix(**size)
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == SHAPES[released]["state"]
    assert sum(parameter.numel() for parameter in network.parameters()) == SHAPES[released]["params_per_target"]


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("n_fft", [1024, 2048, 4096])
def test_bins_below_a_frequency_equal_upstreams(rate: int, n_fft: int) -> None:
    for frequency in (1000, 4000, 7999, 8000, 16000, 16001, 20000, 50000):
        expected = openunmix.utils.bandwidth_to_max_bin(rate, n_fft, frequency)
        assert bins_below(frequency, n_fft=n_fft, sample_rate=rate) == expected, frequency


def test_a_bandwidth_of_16_khz_gives_1487_bins() -> None:
    assert bins_below(16000, n_fft=4096, sample_rate=44100) == 1487


def test_invalid_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden_size must be even .* got 7"):
        OpenUnmix(n_bins=9, hidden_size=7)
    for wrong in (0, 10):
        with pytest.raises(ValueError, match=rf"max_bin must be in 1\.\.9, got {wrong}"):
            OpenUnmix(n_bins=9, max_bin=wrong, hidden_size=8)
