"""The Open-Unmix recipe against upstream's package and the definitions in its training script."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import openunmix.model
import openunmix.transforms
import openunmix.utils
import pytest
import soundfile
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from separation.datasets.dataset import Dataset, open_dataset
from separation.datasets.store import StemStore, build_store
from separation.spectral.stft import StftConfig
from separation.training.open_unmix import OpenUnmixRecipe, input_statistics, magnitude
from tests.conftest import relative_error, snr
from tests.models.helpers import randomise
from tests.training.conftest import RATE, SOURCES, tiny_open_unmix, tiny_recipe, write_track
from tests.training.helpers import upstreams_encoder, upstreams_network


@pytest.fixture
def recipe(store: StemStore) -> OpenUnmixRecipe:
    """All targets, with weights as different from each other as trained ones are."""
    recipe = tiny_recipe("open-unmix", hidden_size=16)
    for number, objective in enumerate(recipe.objectives.values()):
        randomise(objective.network, seed=number).train()
    return recipe


@pytest.fixture
def batch(recipe: OpenUnmixRecipe, store: StemStore, generator: torch.Generator) -> Tensor:
    """(batch, sources, channels, time)."""
    sampler = recipe.sampler(store)
    return sampler.batch(sampler.draw(4, generator))


def gradients(network: nn.Module) -> Tensor:
    """Of all parameters, end to end."""
    found = [parameter.grad for parameter in network.parameters()]
    return torch.cat([gradient.flatten() for gradient in found if gradient is not None])


@pytest.mark.parametrize("target", SOURCES)
def test_loss_and_gradients_equal_upstreams(recipe: OpenUnmixRecipe, batch: Tensor, target: str) -> None:
    theirs = upstreams_network(recipe, target).train()
    encoder = upstreams_encoder(512, 256)
    torch.manual_seed(1)  # of the dropout
    expected = nn.functional.mse_loss(
        theirs(encoder(batch.sum(1))), encoder(batch[:, SOURCES.index(target)].contiguous())
    )
    expected.backward()

    objective = recipe.objectives[target]
    torch.manual_seed(1)
    loss = objective(*recipe.inputs(batch)[target])
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert relative_error(gradients(objective.network), gradients(theirs)) <= 1e-5
    whole = gradients(theirs).norm()
    for name, parameter in theirs.named_parameters():  # the input's mean has none but rounding: bn1 takes it out
        ours = objective.network.get_parameter(name).grad
        assert ours is not None, name
        assert parameter.grad is not None, name
        assert (ours - parameter.grad).norm() <= 1e-5 * parameter.grad.norm() + 1e-6 * whole, name
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(objective.network.get_buffer(name), buffer, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop"), [(4096, 1024), (512, 256), (512, 100)])
def test_magnitudes_equal_upstreams(batch: Tensor, n_fft: int, hop: int) -> None:
    expected = upstreams_encoder(n_fft, hop)(batch.sum(1))
    found = magnitude(batch.sum(1), StftConfig(n_fft=n_fft, hop_length=hop))
    assert found.shape == expected.shape
    assert relative_error(found, expected) <= 1e-6
    assert found.shape == (4, 2, n_fft // 2 + 1, (batch.shape[-1] - n_fft) // hop + 1)


@pytest.mark.parametrize("dropout", [True, False])
def test_the_losses_of_all_targets_equal_those_of_single_targets(
    recipe: OpenUnmixRecipe, batch: Tensor, dropout: bool
) -> None:
    inputs = recipe.inputs(batch)
    assert list(inputs) == list(recipe.objectives) == list(recipe.targets) == list(SOURCES)
    for target in SOURCES:
        alone = tiny_recipe("open-unmix", target=target, hidden_size=16)
        assert (alone.targets, list(alone.objectives)) == ((target,), [target])
        alone.objectives[target].load_state_dict(recipe.objectives[target].state_dict())
        losses = []
        for objective, given in (
            (recipe.objectives[target], inputs[target]),
            (alone.objectives[target], alone.inputs(batch)[target]),
        ):
            objective.network.lstm.dropout *= dropout
            torch.manual_seed(2)
            losses.append(objective(*given))
            losses[-1].backward()
        assert torch.equal(*losses)
        assert torch.equal(gradients(recipe.objectives[target]), gradients(alone.objectives[target]))
    values = {float(objective(*inputs[name]).detach()) for name, objective in recipe.objectives.items()}
    assert len(values) == 4, "every target is learned from its own source"


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ValueError, match="the target must be all or one of vocals, drums, bass, other, got 'flute'"):
        tiny_recipe("open-unmix", target="flute")


def upstreams_statistics(mixtures: list[Tensor], n_fft: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """`get_statistics` of upstream's train.py."""
    encoder = upstreams_encoder(n_fft, hop)
    scaler = StandardScaler()
    for mixture in mixtures:
        X = encoder(mixture[None]).mean(1, keepdim=False).permute(0, 2, 1)
        scaler.partial_fit(np.squeeze(X.numpy()))
    return scaler.mean_, np.maximum(scaler.scale_, 1e-4 * np.max(scaler.scale_))


def mixtures(root: Path) -> list[Tensor]:
    return [torch.from_numpy(track.read()[0]) for track in open_dataset(root).train]


@pytest.mark.parametrize("hop", [256, 40])
def test_statistics_equal_upstreams(store: StemStore, data_root: Path, hop: int) -> None:
    """With a hop of 40, tracks are longer than what is looked at in one go."""
    mean, deviation = input_statistics(store, StftConfig(n_fft=512, hop_length=hop))
    expected_mean, expected_deviation = upstreams_statistics(mixtures(data_root), 512, hop)
    assert mean.dtype == deviation.dtype == torch.float64
    np.testing.assert_allclose(mean.numpy(), expected_mean, rtol=1e-6)
    np.testing.assert_allclose(deviation.numpy(), expected_deviation, rtol=1e-6)


def test_deviations_of_silent_bins_are_raised_to_a_floor(tmp_path: Path) -> None:
    time = np.arange(RATE) / RATE
    for number, source in enumerate(SOURCES):  # beats, all below 700 Hz
        sound = 0.2 * np.sin(2 * np.pi * 150 * (number + 1) * time) * np.sin(2 * np.pi * time) ** 2
        (tmp_path / "tones" / "song").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "tones" / "song" / f"{source}.wav", np.stack([sound, 0.5 * sound], 1), RATE)
    root = tmp_path / "tones"
    store = build_store(tmp_path / "store", [open_dataset(root)], sources=SOURCES)
    mean, deviation = input_statistics(store, StftConfig(n_fft=512, hop_length=256))
    expected_mean, expected_deviation = upstreams_statistics(mixtures(root), 512, 256)
    assert relative_error(mean, torch.from_numpy(expected_mean)) <= 1e-6
    np.testing.assert_allclose(deviation.numpy(), expected_deviation, rtol=1e-6)
    floored = deviation == 1e-4 * deviation.max()
    assert 0.2 < floored.double().mean() < 1


def test_statistics_use_original_mixtures_at_original_speed_only(data_root: Path, tmp_path: Path) -> None:
    stems = tmp_path / "stems"
    write_track(stems / "solo", seed=9)
    both = [open_dataset(data_root), open_dataset(stems)]
    store = build_store(tmp_path / "store", both, sources=SOURCES, speeds=(1.0, 0.5))
    config = StftConfig(n_fft=512, hop_length=256)
    expected = upstreams_statistics([*mixtures(data_root), *mixtures(stems)], 512, 256)
    for found, one in zip(input_statistics(store, config), expected, strict=True):
        np.testing.assert_allclose(found.numpy(), one, rtol=1e-6)
    recipe = tiny_recipe("open-unmix", speeds=(1.0, 0.5), whole_mixes=0.5, whole_from=("tiny",))
    recipe.initialise(store)
    mean, deviation = upstreams_statistics(mixtures(data_root), 512, 256)
    for objective in recipe.objectives.values():
        np.testing.assert_allclose(objective.network.input_mean.detach().numpy(), -mean[: recipe.max_bin], rtol=1e-5)
        np.testing.assert_allclose(
            objective.network.input_scale.detach().numpy(), 1 / deviation[: recipe.max_bin], rtol=1e-5
        )


def test_a_recording_shorter_than_a_frame_adds_nothing_to_the_statistics(data_root: Path, tmp_path: Path) -> None:
    write_track(tmp_path / "clicks" / "click", seconds=0.01)
    both: list[Dataset] = [open_dataset(data_root), open_dataset(tmp_path / "clicks")]
    store = build_store(tmp_path / "store", both, sources=SOURCES)
    expected = upstreams_statistics(mixtures(data_root), 512, 256)
    for found, one in zip(input_statistics(store, StftConfig(n_fft=512, hop_length=256)), expected, strict=True):
        np.testing.assert_allclose(found.numpy(), one, rtol=1e-6)


@torch.inference_mode()
def test_evaluation_of_a_track_equals_upstreams_separator(recipe: OpenUnmixRecipe, validation: list[Tensor]) -> None:
    networks = {name: objective.network.eval() for name, objective in recipe.objectives.items()}
    theirs = {name: upstreams_network(recipe, name).eval() for name in SOURCES}
    separator = openunmix.model.Separator(
        copy.deepcopy(theirs), niter=0, sample_rate=RATE, n_fft=512, n_hop=256, nb_channels=2
    ).eval()
    encoder = upstreams_encoder(512, 256, center=True)
    for track in validation:
        mixture = track.sum(0)
        losses, estimates = recipe.evaluate(networks, track)
        expected = separator(mixture[None])[0]
        assert estimates.shape == track.shape
        assert losses.shape == (4,)
        for row, name in enumerate(SOURCES):
            assert snr(estimates[row], expected[row]) >= 80, name
            loss = nn.functional.mse_loss(theirs[name](encoder(mixture[None])), encoder(track[None, row]))
            assert float(losses[row]) == pytest.approx(float(loss), rel=1e-5), name


@torch.inference_mode()
def test_evaluation_of_a_single_target_equals_that_of_all_targets(
    recipe: OpenUnmixRecipe, validation: list[Tensor]
) -> None:
    networks = {name: objective.network.eval() for name, objective in recipe.objectives.items()}
    losses, estimates = recipe.evaluate(networks, validation[0])
    alone = tiny_recipe("open-unmix", target="bass", hidden_size=16)
    loss, estimate = alone.evaluate({"bass": networks["bass"]}, validation[0])
    assert torch.equal(loss, losses[2:3])
    assert torch.equal(estimate, estimates[2:3])


@pytest.mark.parametrize(("bandwidth", "n_fft"), [(16000.0, 4096), (16000.0, 512), (8000.0, 2048), (30000.0, 512)])
def test_the_bandwidth_equals_upstreams(bandwidth: float, n_fft: int) -> None:
    recipe = tiny_recipe("open-unmix", target="bass", bandwidth=bandwidth, n_fft=n_fft)
    expected = openunmix.utils.bandwidth_to_max_bin(rate=RATE, n_fft=n_fft, bandwidth=bandwidth)
    assert recipe.objectives["bass"].network.max_bin == recipe.max_bin == expected


def test_published_sizes_are_built() -> None:
    with torch.device("meta"):
        recipe = OpenUnmixRecipe(tiny_open_unmix(hidden_size=512, n_fft=4096, hop_length=1024), sources=SOURCES)
    sizes = [sum(p.numel() for p in objective.network.parameters()) for objective in recipe.objectives.values()]
    assert sizes == [8_893_348] * 4


def test_the_description_builds_the_same_network() -> None:
    for layers, words in ((3, {"n_fft", "hop_length", "max_bin", "hidden_size"}), (2, {"n_layers"})):
        recipe = tiny_recipe("open-unmix", target="bass", n_layers=layers)
        shape = recipe.description()["architecture"]
        assert shape.keys() >= words
        assert ("n_layers" in shape) == (layers != 3)
        assert (shape["n_fft"], shape["hop_length"]) == (512, 256)
        network = recipe.objectives["bass"].network
        assert (shape["max_bin"], shape["hidden_size"]) == (network.max_bin, network.hidden_size)
