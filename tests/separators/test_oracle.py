"""The oracles: their scores on the sample tracks, and invalid references."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from separation.audio.files import read
from separation.separators import create
from separation.separators.oracle import KINDS, Oracle, OracleOptions
from separation.sources import SOURCES
from tests.conftest import snr

Track = tuple[Tensor, dict[str, Tensor]]  # the mixture and its sources


@pytest.fixture(scope="module", params=["night-drive", "paper-boats"])
def track(request: pytest.FixtureRequest) -> Track:
    """A sample track."""
    folder: Path = request.getfixturevalue("sample").parent / request.param
    return read(folder / "mixture.flac").waveform, {name: read(folder / f"{name}.ogg").waveform for name in SOURCES}


@pytest.fixture
def excerpt(track: Track) -> Track:
    """An excerpt of 2 s, which a test may change."""
    part = slice(44100, 132300)
    return track[0][:, part].clone(), {name: source[:, part].clone() for name, source in track[1].items()}


def sdr(stems: Tensor, references: dict[str, Tensor]) -> list[float]:
    """Return the SDR of each source over the whole track."""
    return [snr(stem, reference) for stem, reference in zip(stems, references.values(), strict=True)]


def test_oracles_beat_the_mixture_and_the_filter_beats_the_masks(track: Track) -> None:
    mixture, references = track
    floor = sdr(create("mix").separate(mixture), references)
    reached = {kind: sdr(Oracle(kind, references).separate(mixture), references) for kind in KINDS}
    for kind, values in reached.items():
        for value, low in zip(values, floor, strict=True):
            assert value > low + 5, kind  # 0.2 to 1.7 dB against 7 to 13
    for filtered, masked in zip(reached["mwf"], reached["irm"], strict=True):
        assert filtered >= masked
    assert sum(reached["mwf"]) > sum(reached["ibm"])


def test_stems_of_masks_and_filter_sum_to_the_mixture(excerpt: Track) -> None:
    mixture, references = excerpt
    for kind, least in (("irm", 80), ("ibm", 100), ("mwf", 40)):
        assert snr(Oracle(kind, references).separate(mixture).sum(0), mixture) > least, kind


def test_the_power_changes_the_ratio_mask(excerpt: Track) -> None:
    mixture, references = excerpt
    first, second = (
        Oracle("irm", references, options=OracleOptions(power=power)).separate(mixture) for power in (1.0, 2.0)
    )
    assert 5 < snr(first, second) < 40
    assert min(sdr(second, references)) > 5


@pytest.mark.parametrize("power", [0.1, 20.0])
def test_any_power_gives_finite_stems(excerpt: Track, power: float) -> None:
    mixture, references = excerpt
    stems = Oracle("irm", references, options=OracleOptions(power=power)).separate(mixture)
    assert stems.isfinite().all()
    assert snr(stems.sum(0), mixture) > 20


def test_the_frame_length_can_be_set(excerpt: Track) -> None:
    mixture, references = excerpt
    short = Oracle("ibm", references, options=OracleOptions(n_fft=512, hop_length=128))
    assert short.min_frames == 512
    stems = short.separate(mixture)
    assert stems.isfinite().all()
    assert snr(stems, Oracle("ibm", references).separate(mixture)) < 30


def test_the_references_name_and_order_the_stems(excerpt: Track) -> None:
    mixture, references = excerpt
    subset = {"bass": references["bass"], "rest": mixture - references["bass"]}
    oracle = Oracle("mwf", subset)
    assert oracle.sources == ("bass", "rest")
    stems = oracle.separate(mixture)
    assert snr(stems[0], references["bass"]) > snr(stems[1], references["bass"]) + 5


def test_the_filter_separates_by_position_where_masks_cannot(excerpt: Track) -> None:
    """One source is in phase in both channels, one out of phase, so that they are the sum and the difference."""
    _, references = excerpt
    placed = {
        "middle": references["bass"][:1].repeat(2, 1),
        "sides": references["vocals"][:1] * torch.tensor([[1], [-1]]),
    }
    mixture = placed["middle"] + placed["sides"]
    assert min(sdr(Oracle("mwf", placed).separate(mixture), placed)) > 35
    assert max(sdr(Oracle("irm", placed).separate(mixture), placed)) < 30


@pytest.mark.parametrize("channels", [1, 3])
def test_any_number_of_channels_is_separated(excerpt: Track, channels: int) -> None:
    references = {name: source[:1, :22050].repeat(channels, 1) for name, source in excerpt[1].items()}
    for number, source in enumerate(references.values()):
        source[-1] *= 1 / (1 + number)
    mixture = sum(references.values(), torch.zeros(()))
    for kind in KINDS:
        oracle = Oracle(kind, references)
        assert oracle.channels == channels
        stems = oracle.separate(mixture)
        assert stems.shape == (4, *mixture.shape)
        assert snr(stems, torch.stack(list(references.values()))) > 5


def test_the_references_are_not_changed(excerpt: Track) -> None:
    mixture, references = excerpt
    before = {name: source.clone() for name, source in references.items()}
    for kind in KINDS:
        Oracle(kind, references).separate(mixture).mul_(0)
    for name in SOURCES:
        assert torch.equal(references[name], before[name])


def test_invalid_references_are_refused(excerpt: Track) -> None:
    mixture, references = excerpt
    with pytest.raises(ValueError, match=r"needs the true sources \(references\) of the mixture, at least two"):
        Oracle("irm", {"vocals": references["vocals"]})
    with pytest.raises(ValueError, match=r"needs the true sources \(references\)"):
        create("mwf", references={})
    with pytest.raises(ValueError, match="the oracles are irm, ibm, mwf, not 'wiener'"):
        Oracle("wiener", references)
    with pytest.raises(ValueError, match=r"same shape, got \(2, 88200\) and \(2, 88199\)"):
        Oracle("irm", references).separate(mixture[:, 1:])
    uneven = references | {"bass": references["bass"][:, 1:]}
    with pytest.raises(ValueError, match=r"references must .* got .*\(2, 88199\)"):
        Oracle("irm", uneven)
    with pytest.raises(ValueError, match=r"references must .* got .*\(1, 88200\)"):
        Oracle("irm", references | {"bass": references["bass"][:1]})
    with pytest.raises(ValueError, match=r"references must .* got .*\(88200,\)"):
        Oracle("irm", {name: source[0] for name, source in references.items()})


@pytest.mark.parametrize("kind", ["irm", "ibm", "mwf"])
def test_stems_scale_with_the_recording(excerpt: Track, kind: str) -> None:
    """The filter's epsilon is absolute, and 80 dB below full scale it would be most of the result."""
    mixture, references = excerpt
    stems = Oracle(kind, references).separate(mixture)
    quiet = Oracle(kind, {name: 1e-4 * reference for name, reference in references.items()}).separate(1e-4 * mixture)
    assert snr(quiet / 1e-4, stems) > 90
