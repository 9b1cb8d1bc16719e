"""HT-Demucs on whole songs, against upstream's `apply_model`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import demucs.apply
import demucs.htdemucs
import pytest
import torch
from torch import Tensor, nn

from separation.separators import create
from separation.weights.state_dict import CheckpointError
from tests.conftest import snr
from tests.models.helpers import with_active_branches
from tests.separators.helpers import write_tiny
from tests.separators.upstream import RATE, SOURCES, apply_upstream, publish

TINY: dict[str, Any] = {
    "channels": 8,
    "nfft": 1024,
    "depth": 3,
    "dconv_mode": 3,
    "t_layers": 3,
    "t_heads": 2,
    "bottom_channels": 24,
    "segment": Fraction(1, 2),
}


def upstream(seed: int = 0, **shape: Any) -> nn.Module:
    torch.manual_seed(seed)
    arguments = {"sources": list(SOURCES), "audio_channels": 2, "samplerate": RATE}
    return with_active_branches(demucs.htdemucs.HTDemucs(**(arguments | shape)))


@pytest.fixture(scope="module")
def networks() -> list[nn.Module]:
    return [upstream(seed, **TINY) for seed in range(4)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, networks: list[nn.Module]) -> str:
    return publish(tmp_path_factory.mktemp("together"), "htdemucs", {"all": networks[0]})


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory, networks: list[nn.Module]) -> str:
    return publish(tmp_path_factory.mktemp("bag"), "htdemucs", dict(zip(SOURCES, networks, strict=True)))


def separate(folder: str, mixture: Tensor, **options: object) -> Tensor:
    return create("htdemucs", model=folder, options={"level": "upstream", "segment": 0.5} | options).separate(mixture)


@pytest.mark.parametrize(
    "options",
    [{}, {"overlap": 0.6}, {"shifts": 1, "seed": 1}, {"shifts": 3, "seed": 2}, {"segment": 0.5, "overlap": 0.0}],
    ids=str,
)
def test_stems_equal_upstreams(folder: str, networks: list[nn.Module], song: Tensor, options: dict[str, Any]) -> None:
    separator = create("htdemucs", model=folder, options={"level": "upstream", "segment": 0.5} | options)
    for length in (RATE + 1, 22050, 1000):
        mixture = song[:, RATE : RATE + length]
        expected = apply_upstream(networks[0], mixture, **options)
        stems = separator.separate(mixture)
        assert stems.shape == (4, *mixture.shape)
        for stem, theirs in zip(stems, expected, strict=True):
            assert snr(stem, theirs) >= 100
    assert snr(stems[0], stems[1]) < 20


def test_shorter_segments_equal_upstreams(tmp_path: Path, song: Tensor) -> None:
    """They are padded to the training length on the right, the last one with the song on its left first."""
    network = upstream(**TINY | {"segment": 1})
    folder = publish(tmp_path, "htdemucs", {"all": network})
    mixture = song[:, RATE : 3 * RATE + 4321]
    expected = apply_upstream(network, mixture, segment=0.6)
    assert snr(separate(folder, mixture, segment=0.6), expected) >= 100
    assert snr(separate(folder, mixture, segment=1), expected) < 60, "the segment makes no difference"


@pytest.mark.parametrize("shifts", [0, 2])
def test_one_network_per_source_equals_upstreams_bag(
    bag: str, networks: list[nn.Module], song: Tensor, shifts: int
) -> None:
    mixture = song[:, RATE : 2 * RATE + 77]
    expected = apply_upstream(
        demucs.apply.BagOfModels(networks, torch.eye(4).tolist()),  # type: ignore[arg-type]
        mixture,
        shifts=shifts,
        seed=4,
    )
    stems = separate(bag, mixture, shifts=shifts, seed=4)
    for stem, theirs in zip(stems, expected, strict=True):
        assert snr(stem, theirs) >= 100
    assert len({float(stem.std()) for stem in stems}) == 4


def test_each_stem_of_a_bag_equals_that_of_its_full_network(
    bag: str, networks: list[nn.Module], song: Tensor, tmp_path: Path
) -> None:
    mixture = song[:, RATE : 2 * RATE]
    stems = separate(bag, mixture)
    for index, network in enumerate(networks):
        whole = separate(publish(tmp_path / str(index), "htdemucs", {"all": network}), mixture)
        assert snr(stems[index], whole[index]) >= 100


@pytest.mark.slow  # 42 million parameters, upstream's and ours; tiny networks above
def test_the_released_size_equals_upstreams(tmp_path: Path, song: Tensor) -> None:
    network = upstream(bottom_channels=512, dconv_mode=3, segment=Fraction(39, 5))
    folder = publish(tmp_path, "htdemucs", {"all": network})
    mixture = song[:, RATE : 10 * RATE]
    expected = apply_upstream(network, mixture, shifts=1, seed=9)
    stems = separate(folder, mixture, segment=7.8, shifts=1, seed=9)
    for stem, theirs in zip(stems, expected, strict=True):
        assert snr(stem, theirs) >= 100


def test_stems_have_the_length_of_the_mixture(folder: str, bag: str, song: Tensor) -> None:
    separators = [create("htdemucs", model=model, options={"segment": 0.5, "shifts": 1}) for model in (folder, bag)]
    for length in (1, 129, 22051):
        mixture = song[:, RATE : RATE + length]
        before = mixture.clone()
        for separator in separators:
            stems = separator.separate(mixture)
            assert stems.shape == (4, 2, length)
            assert stems.isfinite().all()
        assert torch.equal(mixture, before)


def test_silence_and_mono_input(folder: str, song: Tensor) -> None:
    separator = create("htdemucs", model=folder, options={"segment": 0.5})
    assert separator.separate(torch.zeros(2, RATE)).abs().max() == 0
    mono = song[:1, RATE : 2 * RATE].repeat(2, 1)
    stems = separator.separate(mono)
    assert stems.isfinite().all()
    assert snr(separator.separate(0.01 * mono), 0.01 * stems) > 60, "the level makes a difference"


def test_shifts_are_reproducible(folder: str, song: Tensor) -> None:
    mixture = song[:, RATE : 2 * RATE]
    first = separate(folder, mixture, shifts=2)
    assert torch.equal(separate(folder, mixture, shifts=2, seed=0), first)
    assert not torch.equal(separate(folder, mixture, shifts=2, seed=1), first)


def test_the_number_of_blocks_is_as_announced(folder: str, bag: str, song: Tensor) -> None:
    for shifts, overlap, length in ((0, 0.25, 30000), (2, 0.25, 30000), (1, 0.7, 20000), (1, 0.25, 1000)):
        options = {"segment": 0.5, "shifts": shifts, "overlap": overlap}
        separator = create("htdemucs", model=bag if shifts == 0 else folder, options=options)
        assert len(list(separator.stream(song[:, :length]))) == separator.segments(length)


def test_segments_longer_than_in_training_are_refused(folder: str) -> None:
    with pytest.raises(ValueError, match=r"segment must be at most the 0\.5 s of published, got 7\.8"):
        create("htdemucs", model=folder)


def test_a_file_for_other_sources_is_refused(tmp_path: Path, networks: list[nn.Module]) -> None:
    folder = publish(tmp_path, "htdemucs", {"all": networks[0]}, sources=["vocals", "drums", "bass", "other"])
    message = r"all\.safetensors is for drums, bass, other, vocals, not for vocals, drums, bass, other"
    with pytest.raises(CheckpointError, match=message):
        create("htdemucs", model=folder)


def test_a_missing_network_of_a_source_is_refused(tmp_path: Path, networks: list[nn.Module]) -> None:
    folder = publish(tmp_path, "htdemucs", {"drums": networks[0]})
    with pytest.raises(CheckpointError, match="the model published has no file for 'bass'"):
        create("htdemucs", model=folder)


def test_the_description_is_read_from_the_folder_if_the_file_has_none(tmp_path: Path, song: Tensor) -> None:
    separator = create("htdemucs", model=str(write_tiny(tmp_path / "tiny", "htdemucs")))
    assert separator.options.segment == 0.5
    assert separator.separate(song[:, :RATE]).shape == (4, 2, RATE)
