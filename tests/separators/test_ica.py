"""ICA recovers the sources of its mixing model, sums to the mixture and reports failures."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from separation.separators import create
from separation.separators import ica as ica_module
from separation.separators.ica import FastICASeparator, IcaOptions, back_project
from separation.separators.options import parse_options
from tests.conftest import relative_error, snr

FRAMES = 40_000
MIXING = torch.tensor([[1.0, 0.6, -0.3, 0.2], [0.3, 1.0, 0.5, -0.4], [-0.2, 0.4, 1.0, 0.7], [0.5, -0.3, 0.2, 1.0]])


def independent_sources(count: int = 4, frames: int = FRAMES) -> Tensor:
    """Return a sawtooth, uniform noise, Laplacian noise and a square wave, none Gaussian, shape (count, frames)."""
    generator = torch.Generator().manual_seed(1)
    time = torch.arange(frames) / 44100
    even, peaked = torch.rand(2, frames, generator=generator) - 0.5
    sources = torch.stack(
        [
            2 * (time * 113.3 % 1) - 1,
            2 * even,
            -peaked.sign() * torch.log1p(-2 * peaked.abs().clamp(max=0.4999)) / 4,
            torch.sin(2 * math.pi * 71.7 * time).sign() / 2,
        ]
    )
    return 0.2 * sources[:count]


def images_of(sources: Tensor, mixing: Tensor) -> Tensor:
    """Return the image of each source in every channel, shape (sources, channels, time)."""
    return mixing.T[:, :, None] * sources[:, None, :]


def dependent_channels(channels: int = 2) -> Tensor:
    """Return channels with the same signal at different levels and signs."""
    return independent_sources(1) * torch.tensor([1.0, -0.5, 0.25, 2.0])[:channels, None]


def separator(channels: int, **options: object) -> FastICASeparator:
    return FastICASeparator(channels=channels, options=parse_options(IcaOptions, options))


@pytest.mark.parametrize("contrast", ["logcosh", "exp", "cube"])
def test_four_mixtures_of_four_sources_are_recovered(contrast: str) -> None:
    references = images_of(independent_sources(), MIXING)
    estimates = separator(4, contrast=contrast).separate(references.sum(0))
    assert estimates.shape == references.shape
    best = max(
        min(snr(estimates[index], reference) for index, reference in zip(order, references, strict=True))
        for order in itertools.permutations(range(4))
    )
    assert best > 20


def test_two_sources_in_a_stereo_recording_are_recovered() -> None:
    references = images_of(independent_sources(2), MIXING[:2, :2])
    method = FastICASeparator()
    estimates = method.separate(references.sum(0))
    assert max(snr(estimates, references), snr(estimates.flip(0), references)) > 20
    assert method.sources == ("component 1", "component 2")
    assert method.notes == []


def test_long_signals_are_sampled_over_their_whole_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The beginning alone is not enough, since one of the sources is silent there."""
    monkeypatch.setattr(ica_module, "FIT_FRAMES", 8000)
    sources = independent_sources(2)
    sources[1, :10_000] = 0
    references = images_of(sources, MIXING[:2, :2])
    estimates = FastICASeparator().separate(references.sum(0))
    assert max(snr(estimates, references), snr(estimates.flip(0), references)) > 20


@pytest.mark.parametrize("level", [1e-6, 1.0, 100.0])
@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_components_sum_to_the_mixture(channels: int, offset: float, level: float) -> None:
    sources = independent_sources(channels)
    mixture = level * (MIXING[:channels, :channels] @ sources + offset * torch.arange(1, channels + 1)[:, None])
    before = mixture.clone()
    estimates = separator(channels).separate(mixture)
    assert torch.equal(mixture, before)
    assert estimates.dtype == torch.float32
    assert estimates.shape == (channels, channels, FRAMES)
    assert relative_error(estimates.sum(0), mixture) < 1e-6


def test_fewer_components_than_channels_leave_a_residual() -> None:
    mixture = MIXING @ independent_sources()
    method = separator(4, components=3)
    estimates = method.separate(mixture)
    assert estimates.shape == (3, 4, FRAMES)
    assert method.sources == ("component 1", "component 2", "component 3")
    assert 0 < snr(estimates.sum(0), mixture) < 40


def test_the_number_of_components_is_checked_against_the_channels_of_the_mixture() -> None:
    method = create("ica", options={"components": "3"})
    assert len(method.at(sample_rate=44100, channels=4).sources) == 3
    with pytest.raises(ValueError, match="3 components need at least 3 channels, but the audio has 2"):
        method.at(sample_rate=44100, channels=2)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="2 channels"):
        FastICASeparator(channels=2).separate(torch.zeros(3, 100))


def test_results_are_reproducible() -> None:
    mixture = MIXING @ independent_sources()
    first = separator(4, seed=5).separate(mixture)
    torch.rand(3)  # the global generator must not matter
    assert torch.equal(separator(4, seed=5).separate(mixture), first)
    again = separator(4, seed=5)
    again.separate(independent_sources())
    assert torch.equal(again.separate(mixture), first)


def test_the_seed_sets_the_initial_matrix() -> None:
    """After a single iteration, two initial matrices must still give different results."""
    mixture = MIXING @ independent_sources()
    with pytest.warns(RuntimeWarning):
        results = [separator(4, seed=seed, max_iterations=1).separate(mixture) for seed in (0, 1)]
    assert relative_error(results[0], results[1]) > 1e-3


def test_non_convergence_gives_a_warning_and_a_note() -> None:
    method = separator(4, max_iterations=1)
    with pytest.warns(RuntimeWarning, match="ICA did not converge within 1 iterations"):
        estimates = method.separate(MIXING @ independent_sources())
    (note,) = method.notes
    assert "did not converge within 1 iterations" in note
    assert "0.0001" in note
    assert relative_error(estimates.sum(0), MIXING @ independent_sources()) < 1e-6  # they still sum to the mixture


def test_notes_are_about_the_last_separation_only() -> None:
    method = FastICASeparator()
    method.separate(dependent_channels())
    assert len(method.notes) == 1
    method.separate(MIXING[:2, :2] @ independent_sources(2))
    assert method.notes == []


@pytest.mark.parametrize("channels", [2, 4])
def test_identical_channels_give_one_component(channels: int) -> None:
    mixture = dependent_channels(channels)
    method = separator(channels)
    estimates = method.separate(mixture)
    assert method.notes == [f"The {channels} channels hold only one signal, which limits the number of components."]
    assert estimates.shape == (channels, channels, FRAMES)
    assert relative_error(estimates[0], mixture) < 1e-6
    assert not estimates[1:].any()


def test_a_channel_that_is_the_sum_of_others_adds_no_component() -> None:
    sources = independent_sources(2)
    mixture = torch.stack([sources[0] + 0.2 * sources[1], sources[1], sources[0] + 1.2 * sources[1]])
    method = separator(3)
    estimates = method.separate(mixture)
    assert method.notes == ["The 3 channels hold only 2 different signals, which limits the number of components."]
    assert not estimates[2].any()
    assert relative_error(estimates.sum(0), mixture) < 1e-6


def test_a_silent_channel_stays_silent() -> None:
    mixture = torch.cat([independent_sources(1), torch.zeros(1, FRAMES)])
    estimates = FastICASeparator().separate(mixture)
    assert torch.isfinite(estimates).all()
    assert not estimates[:, 1].any()
    assert relative_error(estimates.sum(0), mixture) < 1e-6


def test_mono_gives_one_component() -> None:
    mixture = independent_sources(1) + 0.1
    method = separator(1)
    estimates = method.separate(mixture)
    assert method.notes == ["One channel has only one component: there is nothing to separate."]
    assert estimates.shape == (1, 1, FRAMES)
    assert relative_error(estimates[0], mixture) < 1e-6


@pytest.mark.parametrize("value", [0.0, 0.25])
@pytest.mark.parametrize("channels", [1, 2])
def test_constant_channels_give_a_note(channels: int, value: float) -> None:
    mixture = torch.full((channels, 1000), value)
    method = separator(channels)
    estimates = method.separate(mixture)
    assert method.notes == ["Every channel is constant: there is nothing to separate."]
    assert torch.allclose(estimates.sum(0), mixture)


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_very_short_signals_are_separated(frames: int) -> None:
    mixture = independent_sources(2, frames)
    estimates = FastICASeparator().separate(mixture)
    assert torch.isfinite(estimates).all()
    assert torch.allclose(estimates.sum(0), mixture, atol=1e-6)


def test_options_may_be_strings() -> None:
    given = {"components": "3", "contrast": "cube", "seed": "7", "tolerance": "1e-3", "max_iterations": "50"}
    expected = IcaOptions(components=3, contrast="cube", seed=7, tolerance=1e-3, max_iterations=50)
    assert parse_options(IcaOptions, given) == expected
    assert parse_options(IcaOptions, {"components": "none"}) == IcaOptions()
    assert parse_options(IcaOptions, {"components": None, "tolerance": 1}) == IcaOptions(tolerance=1.0)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("components", "two", "int or none"),
        ("components", "1.5", "int or none"),
        ("components", 1.5, "int or none"),
        ("components", True, "int or none"),
        ("seed", "none", "int"),
        ("seed", None, "int"),
        ("tolerance", "small", "float"),
        ("contrast", 3, "str"),
    ],
)
def test_options_of_the_wrong_type_are_refused(name: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=f"option {name} must be {expected}, got {value!r}"):
        parse_options(IcaOptions, {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("components", "0"),
        ("contrast", "tanh"),
        ("seed", "-1"),
        ("tolerance", "0"),
        ("tolerance", "nan"),
        ("tolerance", "inf"),
        ("max_iterations", "0"),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        parse_options(IcaOptions, {name: value})


def test_an_unknown_option_lists_the_known_ones() -> None:
    known = "components, contrast, seed, tolerance, max_iterations"
    with pytest.raises(ValueError, match=f"unknown option 'iterations'; the options of this method are: {known}"):
        parse_options(IcaOptions, {"iterations": 5})


def test_back_projection_determines_scale_and_sign() -> None:
    sources = independent_sources().double()
    sources -= sources.mean(1, keepdim=True)
    mixture = MIXING.double() @ sources
    scales = torch.tensor([3.0, -0.1, 1e-3, -40.0], dtype=torch.float64)
    unmixing = scales[:, None] * torch.linalg.inv(MIXING.double())
    mixing = back_project(unmixing, mixture @ mixture.T / FRAMES)
    images = mixing[:, :, None] * (unmixing @ mixture)[:, None]
    assert torch.allclose(images, images_of(sources, MIXING.double()), atol=1e-12)


def test_back_projection_refuses_dependent_components() -> None:
    with pytest.raises(ValueError, match="linearly dependent"):
        back_project(torch.tensor([[1.0, 0.0], [2.0, 0.0]]).double(), torch.eye(2).double())


def test_a_long_signal_is_unmixed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = MIXING[:2, :2] @ independent_sources(2) + 0.1
    whole = FastICASeparator().separate(mixture)
    monkeypatch.setattr(ica_module, "BLOCK_SECONDS", 0.1)
    monkeypatch.setattr(ica_module, "_READ_SIZE", 999)
    method = FastICASeparator()
    blocks = list(method.stream(mixture))
    assert len(blocks) == method.segments(FRAMES) == -(-FRAMES // 4410)
    assert snr(torch.cat(blocks, dim=-1), whole) > 120
