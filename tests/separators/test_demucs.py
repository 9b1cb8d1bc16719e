"""Demucs on whole songs, against upstream's `apply_model` and a direct implementation of the paper."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from separation.models.demucs import Demucs, center_trim
from separation.separators import create
from separation.separators.demucs import DemucsSeparator
from tests.conftest import snr
from tests.models.helpers import randomise
from tests.separators.helpers import write_model
from tests.separators.upstream import RATE, SOURCES, apply_upstream

SHAPE: dict[str, Any] = {"channels": 6, "depth": 4, "resample": False}
RESAMPLED: dict[str, Any] = {"channels": 4, "depth": 5, "resample": True}


def single_pass(network: Demucs, mixture: Tensor) -> Tensor:
    """Return one estimate of the whole mixture."""
    length = mixture.shape[-1]
    extra = network.valid_length(length) - length
    with torch.inference_mode():
        estimates = network(F.pad(mixture, (extra // 2, extra - extra // 2))[None])[0]
    return center_trim(estimates, length)


@pytest.fixture(scope="module")
def network() -> Demucs:
    network = Demucs(SOURCES, **SHAPE)
    randomise(network)
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, network: Demucs) -> str:
    return str(write_model(tmp_path_factory.mktemp("demucs"), "demucs", {"all": network}, SHAPE, sources=SOURCES))


def separate(folder: str, mixture: Tensor, **options: object) -> Tensor:
    return create("demucs", model=folder, options={"level": "upstream"} | options).separate(mixture)


@pytest.mark.parametrize(
    ("segment", "overlap"),
    [(2.0, 0.25), (44101.2 / RATE, 0.25), (2.0, 0.6), (1.5, 0.0), (30.0, 0.25)],
    ids=["even segment", "odd segment", "three at a time", "no overlap", "one segment"],
)
def test_stems_equal_upstreams(folder: str, network: Demucs, song: Tensor, segment: float, overlap: float) -> None:
    mixture = song[:, RATE : 6 * RATE + 1]
    expected = apply_upstream(network, mixture, segment=segment, overlap=overlap)
    stems = separate(folder, mixture, segment=segment, overlap=overlap)
    assert stems.shape == (4, *mixture.shape)
    for stem, theirs in zip(stems, expected, strict=True):
        assert snr(stem - stem.mean(), theirs - theirs.mean()) >= 80
        assert float((theirs - theirs.mean()).std() / theirs.std()) > 0.1, "the output hardly depends on the input"


def test_stems_with_resampling_equal_upstreams(tmp_path: Path, song: Tensor) -> None:
    network = randomise(Demucs(SOURCES, **RESAMPLED))
    folder = write_model(tmp_path, "demucs", {"all": network}, RESAMPLED, sources=SOURCES)
    mixture = song[:, : 4 * RATE]
    expected = apply_upstream(network, mixture, segment=1.5)
    stems = separate(str(folder), mixture, segment=1.5)
    for stem, theirs in zip(stems, expected, strict=True):
        assert snr(stem - stem.mean(), theirs - theirs.mean()) >= 80


def test_a_very_short_last_segment_equals_upstreams(folder: str, network: Demucs, song: Tensor) -> None:
    for length in (RATE, RATE + 1, RATE + 2, 2 * RATE + 37):
        mixture = song[:, RATE : RATE + length]
        stems = separate(folder, mixture, segment=1, overlap=0)
        assert stems.shape == (4, 2, length)
        assert snr(stems, apply_upstream(network, mixture, segment=1, overlap=0)) >= 80


def test_level_and_offset_of_the_mixture_are_preserved(folder: str, song: Tensor) -> None:
    mixture = song[:, RATE : 3 * RATE]
    stems = separate(folder, mixture)
    assert snr(separate(folder, 0.1 * mixture), 0.1 * stems) > 80
    assert snr(separate(folder, mixture + 0.2), stems + 0.2) > 60


def test_without_normalisation_the_network_sees_the_mixture(folder: str, network: Demucs, song: Tensor) -> None:
    mixture = song[:, RATE : 3 * RATE]
    stems = separate(folder, mixture, normalise=False, segment=30)
    assert snr(stems, single_pass(network, mixture)) > 80
    assert snr(separate(folder, mixture, segment=30), single_pass(network, mixture)) < 40


def test_the_level_is_measured_over_the_whole_song(folder: str, song: Tensor) -> None:
    mixture = torch.cat([0.01 * song[:, RATE : 3 * RATE], song[:, RATE : 3 * RATE]], dim=1)
    stems = separate(folder, mixture, segment=1)
    mono = mixture.mean(0)
    standard = (mixture - mono.mean()) / (mono.std() + 1e-8)
    assert snr(stems, separate(folder, standard, segment=1, normalise=False) * mono.std() + mono.mean()) > 80


@pytest.mark.parametrize("normalise", [True, False])
def test_silence_and_a_constant_are_finite(folder: str, normalise: bool) -> None:
    for level in (0.0, 0.5):
        stems = separate(folder, torch.full((2, RATE), level), normalise=normalise)
        assert stems.isfinite().all()
        if normalise:
            assert (stems - level).abs().max() < 1e-3


@pytest.mark.parametrize("shifts", [0, 1])
def test_stems_have_the_length_of_the_mixture(folder: str, song: Tensor, shifts: int) -> None:
    separator = create("demucs", model=folder, options={"level": "upstream", "segment": 0.5, "shifts": shifts})
    for length in (1, 2, 3, 101, 4095, 22050, 22051):
        mixture = song[:, RATE : RATE + length]
        before = mixture.clone()
        stems = separator.separate(mixture)
        assert stems.shape == (4, 2, length)
        assert stems.isfinite().all()
        assert torch.equal(mixture, before)


def test_softmask_is_the_ratio_mask_of_the_estimates(folder: str, song: Tensor) -> None:
    mixture = song[:, RATE : 4 * RATE]
    window = torch.hann_window(8192)

    def spectrum(waveform: Tensor) -> Tensor:
        return torch.stft(waveform, 8192, 2048, window=window, return_complex=True)

    magnitudes = torch.stack([spectrum(stem).abs() for stem in separate(folder, mixture, segment=30)])
    expected = [
        torch.istft(mask * spectrum(mixture), 8192, 2048, window=window, length=3 * RATE)
        for mask in magnitudes / magnitudes.sum(0)
    ]
    for stem, by_definition in zip(separate(folder, mixture, segment=30, softmask=True), expected, strict=True):
        assert snr(stem, by_definition) > 80


def test_with_softmask_stems_sum_to_the_mixture(folder: str, song: Tensor) -> None:
    for length in (1, 4097, 8191, 30000, 4 * RATE):
        mixture = song[:, RATE : RATE + length]
        stems = separate(folder, mixture, segment=1, softmask=True)
        assert stems.shape == (4, 2, length)
        assert snr(stems.sum(0), mixture) > 60
        assert snr(separate(folder, mixture, segment=1).sum(0), mixture) < 20, "they sum to the mixture anyway"


def test_shifts_equal_upstreams(folder: str, network: Demucs, song: Tensor) -> None:
    mixture = song[:, RATE : 4 * RATE + 4321]
    expected = apply_upstream(network, mixture, segment=1, shifts=3, seed=5)
    stems = separate(folder, mixture, segment=1, shifts=3, seed=5)
    assert snr(stems - stems.mean(), expected - expected.mean()) >= 80
    other = separate(folder, mixture, segment=1, shifts=3, seed=6)
    assert snr(other - other.mean(), expected - expected.mean()) < 79, "the offsets make no difference"


def test_shifts_are_reproducible(folder: str, song: Tensor) -> None:
    mixture = song[:, RATE : 2 * RATE]
    first = separate(folder, mixture, shifts=2, segment=0.7)
    assert torch.equal(separate(folder, mixture, shifts=2, segment=0.7), first)
    assert torch.equal(separate(folder, mixture, shifts=2, segment=0.7, seed=0), first)
    assert not torch.equal(separate(folder, mixture, shifts=2, segment=0.7, seed=1), first)
    separator = create("demucs", model=folder, options={"shifts": 2, "segment": 0.7})
    assert torch.equal(separator.separate(mixture), separator.separate(mixture))


def test_global_random_generators_are_not_used(folder: str, song: Tensor) -> None:
    separator = create("demucs", model=folder, options={"shifts": 2})
    before, python = torch.get_rng_state(), random.getstate()
    separator.separate(song[:, :RATE])
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == python


def test_the_number_of_segments_is_as_announced(folder: str, song: Tensor) -> None:
    separator = create("demucs", model=folder, options={"segment": 1.0, "overlap": 0.5})
    assert isinstance(separator, DemucsSeparator)
    assert separator.segments(4 * RATE) == 8
    assert len(list(separator.stream(song[:, : 4 * RATE]))) == 8
    shifted = create("demucs", model=folder, options={"segment": 0.5, "overlap": 0.9, "shifts": 3})
    assert len(list(shifted.stream(song[:, : 2 * RATE]))) == shifted.segments(2 * RATE)
    assert separator.input_length(1000) == Demucs(SOURCES, **SHAPE).valid_length(1000)
