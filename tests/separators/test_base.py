"""The contract of `Separator`, for every method; for presets, see test_ensemble.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from separation.separators import create
from separation.separators.base import Separator
from tests.conftest import snr
from tests.separators.helpers import SINGLE_METHODS, create_tiny


class First(NamedTuple):
    """What a separator made when it was used for the first time."""

    separator: Separator
    mixture: Tensor
    stems: Tensor  # for a test to change
    copy: Tensor


@pytest.fixture(scope="module")
def first(tiny_models: dict[str, str], excerpt: dict[str, Tensor]) -> Callable[[str], First]:
    """Separate the excerpt with a method, once for several tests."""

    @cache
    def separate(name: str) -> First:
        separator = create_tiny(name, tiny_models, excerpt).at(sample_rate=44100, channels=2)
        mixture = excerpt["mixture"].clone()
        stems = separator.separate(mixture)
        return First(separator, mixture, stems, stems.clone())

    return separate


@pytest.mark.parametrize("name", SINGLE_METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_every_method_fulfils_the_separator_contract(
    name: str, first: Callable[[str], First], excerpt: dict[str, Tensor]
) -> None:
    _, mixture, stems, _ = first(name)
    count = 2 if name == "ica" else 4
    assert stems.shape == (count, *mixture.shape)
    assert stems.dtype == torch.float32
    assert stems.device == torch.device("cpu")
    assert stems.isfinite().all()
    assert torch.equal(mixture, excerpt["mixture"]), "the mixture was changed"
    assert not stems.is_inference()
    assert not stems.requires_grad
    stems[0] *= 2  # the caller may change them
    stems[1:] += 1
    assert torch.equal(mixture, excerpt["mixture"]), "the stems share the mixture's memory"


@pytest.mark.parametrize("name", SINGLE_METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_separation_is_deterministic(name: str, first: Callable[[str], First], excerpt: dict[str, Tensor]) -> None:
    separator, _, _, stems = first(name)
    assert torch.equal(separator.separate(excerpt["mixture"]), stems)


@pytest.mark.parametrize("name", SINGLE_METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_the_number_of_blocks_is_as_announced(
    name: str, first: Callable[[str], First], tiny_models: dict[str, str], excerpt: dict[str, Tensor]
) -> None:
    options: dict[str, dict[str, float]] = {
        "open-unmix": {"segment": 2.0, "window": 50},
        "demucs": {"segment": 0.5},
        "hybrid-demucs": {"segment": 0.7},
        "roformer": {"segment": 0.5},
    }
    if name in options:
        separator = create_tiny(name, tiny_models, excerpt, options=options[name]).at(sample_rate=44100, channels=2)
        stems = separator.separate(excerpt["mixture"])
    else:
        separator, _, _, stems = first(name)
    blocks = list(separator.stream(excerpt["mixture"]))
    assert len(blocks) == separator.segments(excerpt["mixture"].shape[1])
    assert len(blocks) > 1 or name not in (*options, "htdemucs", "spleeter")
    assert torch.equal(torch.cat(blocks, dim=-1), stems)


@pytest.mark.parametrize("name", SINGLE_METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_the_stems_of_silence_are_finite(name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]) -> None:
    silence = {key: torch.zeros(2, 44100) for key in excerpt}
    stems = create_tiny(name, tiny_models, silence).at(sample_rate=44100, channels=2).separate(silence["mixture"])
    assert stems.isfinite().all()
    assert stems.abs().max() < 1e-4


@pytest.mark.parametrize("name", SINGLE_METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_shorter_mixtures_than_min_frames_are_refused(
    name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]
) -> None:
    least = create_tiny(name, tiny_models, excerpt).at(sample_rate=44100, channels=2).min_frames
    short = {key: waveform[:, :least] for key, waveform in excerpt.items()}
    separator = create_tiny(name, tiny_models, short).at(sample_rate=44100, channels=2)
    stems = separator.separate(short["mixture"])
    assert stems.shape[1:] == (2, least)
    assert stems.isfinite().all()
    message = rf"needs at least {least / 44100:.3f} s \({least} samples at 44100 Hz\), but it has {least - 1}"
    with pytest.raises(ValueError, match=f"the audio is too short: {name} {message}"):
        separator.separate(short["mixture"][:, 1:])


@pytest.mark.parametrize("name", [name for name in SINGLE_METHODS if name not in ("mix", "hpss", "ica")])
def test_a_method_for_stereo_refuses_other_numbers_of_channels(
    name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]
) -> None:
    separator = create_tiny(name, tiny_models, excerpt)
    assert separator.channels == 2
    for channels in (1, 3):
        wrong = excerpt["mixture"][:1].repeat(channels, 1)
        with pytest.raises(
            ValueError, match=rf"{name} takes a mixture of shape \(2 channels, time\), got \({channels}, "
        ):
            separator.separate(wrong)
    with pytest.raises(ValueError, match=r"got \(88203,\)"):
        separator.separate(excerpt["mixture"][0])


@pytest.mark.parametrize("name", ["mix", "hpss", "ica"])
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_other_methods_accept_any_number_of_channels(name: str, excerpt: dict[str, Tensor]) -> None:
    left, right = excerpt["mixture"]
    wide = torch.stack([left, right, excerpt["vocals"][0]])
    for mixture in (wide, wide[:1]):
        separator = create(name).at(sample_rate=22050, channels=mixture.shape[0])
        assert separator.sample_rate == 22050
        stems = separator.separate(mixture)
        assert stems.shape[1:] == mixture.shape
        assert snr(stems.sum(0), mixture) > 60
