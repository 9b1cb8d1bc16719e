"""Hybrid Demucs on whole songs, against upstream's `apply_model`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import demucs.hdemucs
import pytest
import torch
from torch import Tensor
from torchaudio.models import HDemucs

from separation.separators import create
from separation.weights.state_dict import CheckpointError
from tests.conftest import snr
from tests.models.helpers import with_active_branches
from tests.separators.helpers import write_model
from tests.separators.upstream import RATE, SOURCES, apply_upstream, publish

SHAPES: dict[str, dict[str, Any]] = {
    "low": {"channels": 8, "nfft": 1024, "depth": 5},
    "high": {"channels": 8, "nfft": 4096, "depth": 6},
}


def random_network(shape: str) -> HDemucs:
    torch.manual_seed(0)
    return HDemucs(list(SOURCES), **SHAPES[shape]).eval()


@pytest.fixture(scope="module", params=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(shape: str) -> HDemucs:
    return random_network(shape)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shape: str, network: HDemucs) -> str:
    path = tmp_path_factory.mktemp("hybrid")
    return str(write_model(path, "hybrid-demucs", {"all": network}, SHAPES[shape], sources=SOURCES))


def separate(folder: str, mixture: Tensor, **options: object) -> Tensor:
    return create("hybrid-demucs", model=folder, options={"level": "upstream"} | options).separate(mixture)


@pytest.mark.parametrize(("overlap", "frames"), [(0.25, 4 * RATE + 1), (0.0, 3 * RATE + 4321)])
def test_stems_equal_upstreams(folder: str, network: HDemucs, song: Tensor, overlap: float, frames: int) -> None:
    mixture = song[:, RATE : RATE + frames]
    expected = apply_upstream(network, mixture, segment=1.5, overlap=overlap)
    stems = separate(folder, mixture, segment=1.5, overlap=overlap)
    assert stems.shape == (4, *mixture.shape)
    for stem, theirs in zip(stems, expected, strict=True):
        assert snr(stem, theirs) >= 80
    assert snr(stems[0], stems[1]) < 20


def test_the_last_segment_may_be_a_few_samples(folder: str, song: Tensor) -> None:
    """torchaudio's network fails below 769 samples, as the last segment of one song in three hundred would."""
    separator = create("hybrid-demucs", model=folder, options={"segment": 0.5, "overlap": 0})
    for rest in (1, 2, 129, 300, 768, 1025, 2559):
        mixture = song[:, RATE : RATE + 22050 + rest]  # the last segment has `rest` samples
        stems = separator.separate(mixture)
        assert stems.shape == (4, *mixture.shape)
        assert stems.isfinite().all()


@pytest.mark.parametrize("shifts", [0, 1])
def test_stems_have_the_length_of_the_mixture(folder: str, song: Tensor, shifts: int) -> None:
    options = {"level": "upstream", "segment": 0.5, "shifts": shifts}
    separator = create("hybrid-demucs", model=folder, options=options)
    for length in (1, 2, 129, 1025, 4097):
        mixture = song[:, RATE : RATE + length]
        before = mixture.clone()
        stems = separator.separate(mixture)
        assert stems.shape == (4, 2, length)
        assert stems.isfinite().all()
        assert torch.equal(mixture, before)


def test_shifts_are_reproducible(folder: str, song: Tensor) -> None:
    mixture = song[:, RATE : RATE + 22050]
    first = separate(folder, mixture, shifts=2)
    assert torch.equal(separate(folder, mixture, shifts=2), first)
    assert not torch.equal(separate(folder, mixture, shifts=2, seed=1), first)


def test_shifts_equal_upstreams(tmp_path: Path, song: Tensor) -> None:
    """As in ``hdemucs_mmi``: upstream's names of the weights, and no norms that torchaudio's network never uses."""
    torch.manual_seed(0)
    published = with_active_branches(demucs.hdemucs.HDemucs(sources=list(SOURCES), channels=8, segment=1))
    folder = publish(tmp_path, "hybrid-demucs", {"all": published})
    mixture = song[:, RATE : 3 * RATE + 100]
    expected = apply_upstream(published, mixture, segment=1, shifts=2, seed=3)
    assert snr(separate(folder, mixture, segment=1, shifts=2, seed=3), expected) >= 100


def test_without_normalisation_the_network_sees_the_mixture(folder: str, network: HDemucs, song: Tensor) -> None:
    mixture = song[:, RATE : 2 * RATE]
    with torch.inference_mode():
        expected = network(mixture[None])[0]
    assert snr(separate(folder, mixture, normalise=False), expected) >= 80


def test_without_an_architecture_the_network_has_the_released_size(tmp_path: Path) -> None:
    """Its weights are 335 MB, so that the error for missing keys has to show which network was built."""
    network = random_network("low")
    folder = write_model(tmp_path, "hybrid-demucs", {"all": network}, {}, sources=SOURCES)
    with pytest.raises(CheckpointError, match=r"all\.safetensors does not fit hybrid-demucs .* lacks 'freq_"):
        create("hybrid-demucs", model=str(folder))
