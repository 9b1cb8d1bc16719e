"""The Demucs recipe: inputs of the network, loss, and evaluation of whole tracks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor, nn

from separation.datasets.store import StemStore
from separation.models.demucs import Demucs
from separation.training.demucs import DemucsConfig, DemucsRecipe
from tests.conftest import relative_error, snr
from tests.training.conftest import SOURCES, tiny_demucs, tiny_recipe


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Cropping(nn.Module):
    """A stand-in for the network: every source is a fixed fraction of the mixture, cropped as the network crops."""

    def __init__(self, network: Demucs, shares: Tensor | None = None) -> None:
        super().__init__()
        self.network = network
        self.shares = torch.tensor([0.4, 0.3, 0.2, 0.1]) if shares is None else shares
        self.lengths: list[int] = []

    def forward(self, mixture: Tensor) -> Tensor:
        self.lengths.append(mixture.shape[-1])
        given = mixture.shape[-1]
        length = given
        while self.network.valid_length(length) > given:
            length -= 1
        start = (given - length) // 2
        return self.shares[:, None, None] * mixture[:, None, :, start : start + length]


def test_every_mixture_is_standardised_with_its_own_statistics() -> None:
    recipe = tiny_recipe("demucs")
    scale = torch.tensor([1e-2, 1.0, 30.0])[:, None, None, None]
    sources = scale * noise(3, 4, 2, 5000) + 0.5 * scale
    before = sources.clone()
    ((mixture, targets),) = recipe.inputs(sources).values()
    assert torch.equal(sources, before)
    assert (mixture.shape, targets.shape) == ((3, 2, 5000), (3, 4, 2, 5000))
    for item in range(3):
        mono = sources[item].double().sum(0).mean(0)
        deviation = mono.std() + 1e-3
        assert relative_error(mixture[item].double(), (sources[item].double().sum(0) - mono.mean()) / deviation) <= 1e-5
        assert relative_error(targets[item].double(), sources[item].double() / deviation) <= 1e-6
    assert mixture.mean((1, 2)).abs().max() <= 1e-4
    assert mixture[1:].mean(1).std(-1).sub(1).abs().max() <= 2e-3
    alone = recipe.inputs(sources[1:2])["all"]
    assert torch.equal(alone[0], mixture[1:2])
    assert torch.equal(alone[1], targets[1:2])


def test_silence_stays_silence() -> None:
    mixture, targets = tiny_recipe("demucs").inputs(torch.zeros(1, 4, 2, 1000))["all"]
    assert torch.equal(mixture, torch.zeros(1, 2, 1000))
    assert torch.equal(targets, torch.zeros(1, 4, 2, 1000))


@pytest.mark.parametrize(("resample", "depth"), [(False, 2), (True, 2), (False, 3)])
def test_excerpts_have_a_valid_length_for_the_network(store: StemStore, resample: bool, depth: int) -> None:
    recipe = tiny_recipe("demucs", resample=resample, depth=depth)
    sampler = recipe.sampler(store)
    length = sampler.length
    assert length == recipe.network.valid_length(4410)
    with torch.inference_mode():
        given = recipe.network(torch.zeros(1, 2, length)).shape[-1]
    assert given >= 4410, "of the 0.1 s asked for, every sample is judged"
    assert sampler.batch(sampler.draw(4, torch.Generator().manual_seed(0))).shape == (4, 4, 2, length)


@pytest.mark.parametrize("resample", [False, True])
def test_the_loss_is_the_mean_absolute_error_of_the_middle(store: StemStore, resample: bool) -> None:
    recipe = tiny_recipe("demucs", resample=resample)
    sampler = recipe.sampler(store)
    batch = sampler.batch(sampler.draw(4, torch.Generator().manual_seed(0)))
    mixture, sources = recipe.inputs(batch)["all"]
    objective = recipe.objectives["all"]
    loss = objective(mixture, sources)
    estimate = recipe.network(mixture).detach().double().numpy()
    front = (sources.shape[-1] - estimate.shape[-1]) // 2
    assert front > 0
    middle = sources.double().numpy()[..., front : front + estimate.shape[-1]]
    assert float(loss.detach()) == pytest.approx(np.abs(estimate - middle).mean(), rel=1e-5)
    loss.backward()
    assert all(parameter.grad is not None for parameter in recipe.network.parameters())


def perfect(spectral: float) -> tuple[Any, Tensor, Tensor]:
    """Return an objective with a perfect network, a mixture and its sources."""
    recipe = tiny_recipe("demucs", spectral=spectral)
    objective = recipe.objectives["all"]
    objective.network = Cropping(recipe.network)
    mixture = noise(2, 2, recipe.network.valid_length(9000))
    return objective, mixture, torch.tensor([0.4, 0.3, 0.2, 0.1])[:, None, None] * mixture[:, None]


@pytest.mark.parametrize("spectral", [0.0, 0.5])
def test_a_perfect_estimate_has_no_loss(spectral: float) -> None:
    objective, mixture, sources = perfect(spectral)
    assert float(objective(mixture, sources)) == 0
    assert float(objective(mixture, sources.flip(0))) > 0.1


def spectral_error(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Compute the spectral loss with scipy: centred frames, mirrored ends."""
    errors = []
    for size in (512, 1024, 2048):
        window = scipy.signal.get_window("hann", size)
        window /= np.sqrt((window**2).sum())
        magnitudes = []
        for sound in (estimate, reference):
            padded = np.pad(sound, [(0, 0)] * (sound.ndim - 1) + [(size // 2, size // 2)], mode="reflect")
            frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)[..., :: size // 4, :]
            magnitudes.append(np.sqrt(np.abs(np.fft.rfft(frames * window)) ** 2 + 1e-8))
        errors.append(np.abs(magnitudes[0] - magnitudes[1]).mean())
    return float(np.mean(errors))


def test_the_spectral_loss_is_added_with_its_weight() -> None:
    losses = {}
    for weight in (0.0, 0.5, 2.0):
        objective, mixture, sources = perfect(weight)
        losses[weight] = float(objective(mixture, sources + 0.1 * noise(*sources.shape, seed=1)))
    estimate = objective.network(mixture).double().numpy()
    wrong = (sources + 0.1 * noise(*sources.shape, seed=1)).double().numpy()
    front = (wrong.shape[-1] - estimate.shape[-1]) // 2
    expected = spectral_error(estimate, wrong[..., front : front + estimate.shape[-1]])
    assert expected > 0.01
    assert losses[0.5] - losses[0.0] == pytest.approx(0.5 * expected, rel=1e-3)
    assert losses[2.0] - losses[0.0] == pytest.approx(2 * expected, rel=1e-3)


def test_the_spectral_loss_ignores_polarity_and_the_waveform_loss_does_not() -> None:
    objective, mixture, sources = perfect(1.0)
    both = float(objective(mixture, -sources))
    objective.spectral = 0.0
    assert float(objective(mixture, -sources)) == pytest.approx(both, rel=1e-6)
    assert both > 0.1


@pytest.mark.parametrize("frames", [2, 4409, 4410, 4411, 12345])
@pytest.mark.parametrize(("resample", "depth"), [(False, 2), (True, 3)])
def test_chunks_are_joined_at_their_positions(frames: int, resample: bool, depth: int) -> None:
    recipe = tiny_recipe("demucs", resample=resample, depth=depth)
    network = Cropping(recipe.network)
    sources = network.shares[:, None, None] * (noise(2, frames) + 0.3)
    losses, estimates = recipe.evaluate({"all": network}, sources)
    assert estimates.shape == sources.shape
    assert set(network.lengths) == {recipe.network.valid_length(4410)}, "as long as what it was trained on"
    assert len(network.lengths) == -(-sources.shape[-1] // 4410)
    total = sources.sum(0)
    mean, deviation = total.mean(0).mean(), total.mean(0).std()
    expected = network.shares[:, None, None] * (total - mean) + mean
    assert snr(estimates, expected) >= 90
    errors = (network.shares[:, None, None] * (total - mean) - sources).abs().mean((1, 2)) / deviation
    torch.testing.assert_close(losses, errors, rtol=1e-4, atol=1e-6)


@torch.inference_mode()
def test_chunks_have_their_true_context(validation: list[Tensor]) -> None:
    """Without the LSTM, which sees one chunk at a time, all chunks together equal the whole track at once.

    But for the very ends of a piece, where frames of the decoder overlap with none that follow. Both lengths
    are multiples of the 64 samples after which the network's strides repeat.
    """
    pieces, whole = (tiny_recipe("demucs", seconds=64 * n / 44100, depth=3) for n in (69, 1379))
    for recipe in (pieces, whole):
        recipe.network.lstm = nn.Identity()
        recipe.network.eval()
    track = validation[0]
    assert 3 * 64 * 69 < track.shape[-1] < 64 * 1379
    one = pieces.evaluate({"all": pieces.network}, track)
    other = whole.evaluate({"all": whole.network}, track)
    place = torch.arange(track.shape[-1]) % (64 * 69)
    inside = (place >= 64) & (place < 64 * 68)
    assert snr(one[1][..., inside], other[1][..., inside]) >= 100
    assert snr(one[1], other[1]) >= 60
    torch.testing.assert_close(one[0], other[0], rtol=1e-3, atol=1e-6)


@torch.inference_mode()
def test_the_loss_of_a_track_is_that_of_its_standardised_sources(validation: list[Tensor]) -> None:
    recipe = tiny_recipe("demucs")
    track = validation[1]
    losses, estimates = recipe.evaluate({"all": recipe.network.eval()}, track)
    mono = track.double().sum(0).mean(0)
    errors = (estimates.double() - mono.mean() - track.double()).abs().mean((1, 2)) / mono.std()
    torch.testing.assert_close(losses.double(), errors, rtol=1e-4, atol=1e-6)
    assert losses.shape == (4,)


@torch.inference_mode()
def test_evaluation_is_independent_of_the_level(validation: list[Tensor]) -> None:
    recipe = tiny_recipe("demucs")
    losses, estimates = recipe.evaluate({"all": recipe.network.eval()}, validation[0])
    quiet, softly = recipe.evaluate({"all": recipe.network}, 0.1 * validation[0])
    torch.testing.assert_close(quiet, losses, rtol=1e-4, atol=1e-6)
    assert snr(10 * softly, estimates) >= 80


def test_published_sizes_are_built() -> None:
    with torch.device("meta"):
        recipe = DemucsRecipe(DemucsConfig(), sources=SOURCES)
    (objective,) = recipe.objectives.values()
    assert sum(parameter.numel() for parameter in objective.network.parameters()) == 265_679_496
    assert recipe.description() == {"architecture": {"channels": 64, "depth": 6, "resample": True}}
    assert recipe.targets == recipe.sources == SOURCES


def test_the_description_builds_the_same_network() -> None:
    recipe = tiny_recipe("demucs", channels=6, depth=3, resample=True)
    built = Demucs(SOURCES, **recipe.description()["architecture"])
    built.load_state_dict(recipe.network.state_dict())
    assert built.resample == recipe.network.resample


def test_a_single_target_is_refused() -> None:
    with pytest.raises(ValueError, match="Demucs is trained on all sources at once: omit --target, got 'vocals'"):
        DemucsRecipe(tiny_demucs(), sources=SOURCES, target="vocals")
