"""Demucs over whole songs, against upstream's `apply_model` and against what the paper says, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import demucs.apply
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from separation.audio.files import read
from separation.models.demucs import Demucs, center_trim
from separation.separators import create
from separation.separators.demucs import DemucsSeparator
from tests.conftest import snr
from tests.models.test_open_unmix import randomise
from tests.separators.test_registry import write_model

RATE = 44100
SOURCES = ("drums", "bass", "other", "vocals")
SHAPE: dict[str, Any] = {"channels": 6, "depth": 4, "resample": False}
RESAMPLED: dict[str, Any] = {"channels": 4, "depth": 5, "resample": True}


@pytest.fixture(scope="module")
def song(request: pytest.FixtureRequest) -> Tensor:
    """The real song, or the sample track where there is none."""
    try:
        return request.getfixturevalue("real_song").waveform
    except pytest.skip.Exception:
        return read(request.getfixturevalue("sample") / "mixture.flac").waveform


class Adapter(nn.Module):
    """A network as `apply_model` wants it."""

    samplerate = RATE
    audio_channels = 2

    def __init__(self, network: nn.Module, segment: float, sources: Sequence[str] = SOURCES) -> None:
        super().__init__()
        self.network = network
        self.segment = segment
        self.sources = list(sources)
        if isinstance(network, Demucs):
            self.valid_length = network.valid_length

    def forward(self, mixture: Tensor) -> Tensor:
        return self.network(mixture)


def upstream(network: nn.Module, mixture: Tensor, *, segment: float, overlap: float = 0.25) -> Tensor:
    """`apply_model` with the normalisation that upstream's `separate` puts around it."""
    mono = mixture.mean(0)
    standard = (mixture - mono.mean()) / (mono.std() + 1e-8)
    adapter: Any = Adapter(network, segment)
    estimates = demucs.apply.apply_model(adapter, standard[None], shifts=0, split=True, overlap=overlap)[0]
    return estimates * (mono.std() + 1e-8) + mono.mean()


def by_hand(network: Demucs, mixture: Tensor, *, early: int = 0, late: int = 0) -> Tensor:
    """One estimate over everything, of the mixture as it is, with so much silence before and after."""
    longer = F.pad(mixture, (early, late))
    length = longer.shape[-1]
    extra = network.valid_length(length) - length
    with torch.inference_mode():
        estimates = network(F.pad(longer, (extra // 2, extra - extra // 2))[None])[0]
    return center_trim(estimates, length)[..., early : early + mixture.shape[-1]]


@pytest.fixture(scope="module")
def network() -> Demucs:
    made = Demucs(SOURCES, **SHAPE)
    randomise(made)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, network: Demucs) -> str:
    return str(write_model(tmp_path_factory.mktemp("demucs"), "demucs", {"all": network}, SHAPE, sources=SOURCES))


def separate(folder: str, mixture: Tensor, **options: object) -> Tensor:
    return create("demucs", model=folder, options=options).separate(mixture)


# -- against upstream's apply_model ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segment", "overlap"),
    [(2.0, 0.25), (44101.2 / RATE, 0.25), (2.0, 0.6), (1.5, 0.0), (30.0, 0.25)],
    ids=["even segment", "odd segment", "three at a time", "no overlap", "one segment"],
)
def test_stems_are_upstreams(folder: str, network: Demucs, song: Tensor, segment: float, overlap: float) -> None:
    mixture = song[:, RATE : 6 * RATE + 1]
    expected = upstream(network, mixture, segment=segment, overlap=overlap)
    stems = separate(folder, mixture, segment=segment, overlap=overlap)
    assert stems.shape == (4, *mixture.shape)
    for stem, theirs in zip(stems, expected, strict=True):
        assert snr(stem - stem.mean(), theirs - theirs.mean()) >= 80
        assert float((theirs - theirs.mean()).std() / theirs.std()) > 0.1, "the weights do not listen"


def test_with_resampling_inside_stems_are_upstreams(tmp_path: Path, song: Tensor) -> None:
    network = randomise(Demucs(SOURCES, **RESAMPLED))
    folder = write_model(tmp_path, "demucs", {"all": network}, RESAMPLED, sources=SOURCES)
    mixture = song[:, : 4 * RATE]
    expected = upstream(network, mixture, segment=1.5)
    stems = separate(str(folder), mixture, segment=1.5)
    for stem, theirs in zip(stems, expected, strict=True):
        assert snr(stem - stem.mean(), theirs - theirs.mean()) >= 80


def test_a_last_segment_of_a_few_samples_is_upstreams(folder: str, network: Demucs, song: Tensor) -> None:
    for length in (RATE, RATE + 1, RATE + 2, 2 * RATE + 37):
        mixture = song[:, RATE : RATE + length]
        stems = separate(folder, mixture, segment=1, overlap=0)
        assert stems.shape == (4, 2, length)
        assert snr(stems, upstream(network, mixture, segment=1, overlap=0)) >= 80


# -- level -------------------------------------------------------------------------------------------


def test_the_level_goes_in_and_out_again(folder: str, song: Tensor) -> None:
    mixture = song[:, RATE : 3 * RATE]
    stems = separate(folder, mixture)
    assert snr(separate(folder, 0.1 * mixture), 0.1 * stems) > 80
    assert snr(separate(folder, mixture + 0.2), stems + 0.2) > 60


def test_the_level_can_be_left_to_the_network(folder: str, network: Demucs, song: Tensor) -> None:
    mixture = song[:, RATE : 3 * RATE]
    stems = separate(folder, mixture, normalise=False, segment=30)
    assert snr(stems, by_hand(network, mixture)) > 80
    assert snr(separate(folder, mixture, segment=30), by_hand(network, mixture)) < 40


def test_the_whole_song_sets_the_level_not_the_segment(folder: str, song: Tensor) -> None:
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


# -- length ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shifts", [0, 1])
def test_whatever_the_length_the_stems_have_it(folder: str, song: Tensor, shifts: int) -> None:
    for length in (1, 2, 3, 101, 4095, 22050, 22051):
        mixture = song[:, RATE : RATE + length]
        before = mixture.clone()
        stems = separate(folder, mixture, segment=0.5, shifts=shifts)
        assert stems.shape == (4, 2, length)
        assert stems.isfinite().all()
        assert torch.equal(mixture, before)


# -- soft masks --------------------------------------------------------------------------------------


def test_softmask_shares_the_mixture_out_by_the_estimates_magnitudes(folder: str, song: Tensor) -> None:
    mixture = song[:, RATE : 4 * RATE]
    window = torch.hann_window(8192)

    def spectra(sound: Tensor) -> Tensor:
        return torch.stft(sound, 8192, 2048, window=window, return_complex=True)

    sizes = torch.stack([spectra(stem).abs() for stem in separate(folder, mixture, segment=30)])
    expected = [
        torch.istft(share * spectra(mixture), 8192, 2048, window=window, length=3 * RATE)
        for share in sizes / sizes.sum(0)
    ]
    for stem, by_definition in zip(separate(folder, mixture, segment=30, softmask=True), expected, strict=True):
        assert snr(stem, by_definition) > 80


def test_with_softmask_nothing_of_the_mixture_is_left_out(folder: str, song: Tensor) -> None:
    for length in (1, 4097, 8191, 30000, 4 * RATE):
        mixture = song[:, RATE : RATE + length]
        stems = separate(folder, mixture, segment=1, softmask=True)
        assert stems.shape == (4, 2, length)
        assert snr(stems.sum(0), mixture) > 60
        assert snr(separate(folder, mixture, segment=1).sum(0), mixture) < 20, "they leave nothing out anyway"


# -- shifts ------------------------------------------------------------------------------------------


def test_shifts_are_the_mean_of_estimates_with_random_silence_before(
    folder: str, network: Demucs, song: Tensor
) -> None:
    """As in 5.4 of the paper: half a second of silence on both sides, a random start in it, averaged."""
    mixture = song[:, RATE : 2 * RATE + 4321]
    generator = torch.Generator().manual_seed(5)
    half = RATE // 2
    offsets = [int(torch.randint(0, half + 1, (), generator=generator)) for _ in range(3)]
    mean = torch.stack([by_hand(network, mixture, early=early, late=half - early) for early in offsets]).mean(0)
    stems = separate(folder, mixture, shifts=3, seed=5, segment=30, normalise=False)
    assert snr(stems, mean) >= 80
    single = separate(folder, mixture, segment=30, normalise=False)
    assert 0 < snr(single, mean) < 79, "shifting makes no difference: this shows nothing"


def test_shifts_follow_from_the_seed(folder: str, song: Tensor) -> None:
    mixture = song[:, RATE : 2 * RATE]
    first = separate(folder, mixture, shifts=2, segment=0.7)
    assert torch.equal(separate(folder, mixture, shifts=2, segment=0.7), first)
    assert torch.equal(separate(folder, mixture, shifts=2, segment=0.7, seed=0), first)
    assert not torch.equal(separate(folder, mixture, shifts=2, segment=0.7, seed=1), first)
    separator = create("demucs", model=folder, options={"shifts": 2, "segment": 0.7})
    assert torch.equal(separator.separate(mixture), separator.separate(mixture))


def test_a_shift_within_a_song_sees_what_is_around(folder: str, network: Demucs, song: Tensor) -> None:
    """Only beyond the ends is there silence."""
    mixture = song[:, RATE : 4 * RATE]
    stems = separate(folder, mixture, segment=1, overlap=0, shifts=1, seed=11, normalise=False)
    generator = torch.Generator().manual_seed(11)
    room = network.valid_length(3 * RATE)
    padded = F.pad(mixture, (room, room))
    for start in range(0, 3 * RATE, RATE):
        early = int(torch.randint(0, RATE // 2 + 1, (), generator=generator))
        length = RATE + RATE // 2
        extra = network.valid_length(length) - length
        first = room + start - early - extra // 2
        with torch.inference_mode():
            estimates = network(padded[None, :, first : first + length + extra])[0]
        expected = center_trim(estimates, length)[..., early : early + RATE]
        assert snr(stems[..., start : start + RATE], expected) >= 80


def test_the_global_generator_has_no_part_in_it(folder: str, song: Tensor) -> None:
    separator = create("demucs", model=folder, options={"shifts": 2})
    before = torch.get_rng_state()
    separator.separate(song[:, :RATE])
    assert torch.equal(torch.get_rng_state(), before)


# -- the separator -----------------------------------------------------------------------------------


def test_it_tells_how_many_segments_there_will_be(folder: str, song: Tensor) -> None:
    separator = create("demucs", model=folder, options={"segment": 1.0, "overlap": 0.5})
    assert isinstance(separator, DemucsSeparator)
    assert separator.segments(4 * RATE) == 8
    assert len(list(separator.stream(song[:, : 4 * RATE]))) == 8
    assert separator.input_length(1000) == Demucs(SOURCES, **SHAPE).valid_length(1000)
