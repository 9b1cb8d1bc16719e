"""The bundled models at any level, polarity and offset of the mixture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from separation.audio.files import read
from separation.audio.signal import Audio
from separation.separators import create
from separation.separators.base import Separator
from separation.separators.level import MASTERED_PEAK, levelled, master
from tests.conftest import snr


@pytest.fixture(scope="module")
def mixture(sample: Path) -> Tensor:
    return read(sample / "mixture.flac", start=4.0, duration=2.0).waveform


@pytest.fixture(scope="module", params=["open-unmix", "demucs", "spleeter"])
def separator(request: pytest.FixtureRequest) -> Separator:
    return create(request.param)


@pytest.fixture(scope="module")
def ordinary(separator: Separator, mixture: Tensor) -> Tensor:
    """The stems of the mixture at its own level."""
    return separator.separate(mixture)


#: Very quiet, quiet, ordinary and loud; those between are left to the slow tests.
GAINS = [1e-6, 1e-2, 0.9, 1e2, *(pytest.param(gain, marks=pytest.mark.slow) for gain in (1e-4, 0.3, 4.0))]


@pytest.mark.parametrize("gain", GAINS)
def test_stems_scale_with_the_mixture(separator: Separator, mixture: Tensor, ordinary: Tensor, gain: float) -> None:
    assert snr(separator.separate(gain * mixture) / gain, ordinary) > 60


@pytest.mark.parametrize("side", [3.0, 10.0])
def test_stems_scale_where_the_side_signal_is_strong(separator: Separator, mixture: Tensor, side: float) -> None:
    """As in karaoke versions, whose middle is attenuated, so that the average of the channels is quiet."""
    middle, difference = mixture.mean(0), (mixture[0] - mixture[1]) / 2
    wide = torch.stack([middle / side + difference, middle / side - difference])
    stems = separator.separate(wide)
    assert snr(stems.sum(0), wide) > 10
    for gain in (1e-4, 30.0):
        assert snr(separator.separate(gain * wide) / gain, stems) > 60


def test_opposite_polarity_of_channels_is_corrected(separator: Separator, mixture: Tensor) -> None:
    mono = mixture.mean(0)
    stems, inverted = separator.separate(torch.stack([mono, mono])), separator.separate(torch.stack([mono, -mono]))
    assert snr(inverted * torch.tensor([[1.0], [-1.0]]), stems) > 60


def test_a_silent_channel_does_not_affect_the_other(separator: Separator, mixture: Tensor) -> None:
    mono = mixture.mean(0)
    both = separator.separate(torch.stack([mono, mono]))
    one = separator.separate(torch.stack([mono, 0 * mono]))
    assert snr(one[:, 0], both[:, 0]) > 60
    assert one[:, 1].abs().max() == 0


def test_an_offset_is_shared_equally(separator: Separator, mixture: Tensor, ordinary: Tensor) -> None:
    offset = torch.tensor([[0.3], [-0.1]])
    shifted = separator.separate(mixture + offset)
    assert snr(shifted - offset / len(ordinary), ordinary) > 50
    torch.testing.assert_close(shifted.sum(0).mean(1), (mixture + offset).mean(1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_is_shared_equally(separator: Separator, value: float) -> None:
    stems = separator.separate(torch.full((2, 44100), value))
    torch.testing.assert_close(stems, torch.full_like(stems, value / len(stems)), atol=1e-5, rtol=0)


def test_an_unknown_level_is_refused() -> None:
    for method in ("open-unmix", "demucs", "spleeter"):
        with pytest.raises(ValueError, match="level must be invariant or upstream, got 'loud'"):
            create(method, options={"level": "loud"})


def presented(signal: Tensor) -> Tensor:
    """A signal as a network gets it."""
    audio = Audio(waveform=signal, sample_rate=44100)
    return levelled(audio, master(audio)).read(0, signal.shape[1])


@pytest.mark.parametrize("gain", [1e-5, 1.0, 30.0])
def test_recordings_are_brought_to_the_peaks_of_mastered_music(mixture: Tensor, gain: float) -> None:
    louder = mixture.repeat(1, 5) * torch.linspace(0.2, 1, 5 * mixture.shape[1])
    peaks = torch.stack([part.abs().max() for part in presented(gain * louder).split(22050, dim=1)])
    assert float(peaks.sort().values[17]) == pytest.approx(MASTERED_PEAK, rel=1e-5)  # a tenth of 20 is above


def test_clicks_and_pauses_do_not_change_the_level(mixture: Tensor) -> None:
    song = mixture.repeat(1, 5)
    expected = presented(song)
    paused = presented(torch.cat([song, torch.zeros_like(mixture)], dim=1))[:, : song.shape[1]]
    clicked = song.clone()
    clicked[:, [100_000, 300_000]] = 3.0
    for x in (paused, presented(clicked)):
        usual = (x / expected)[:, expected.abs().amin(0) > 0.01].median()
        assert 0.8 < usual < 1.25


def test_the_level_of_a_nearly_silent_recording_does_not_vanish() -> None:
    x = torch.zeros(2, 60 * 44100)
    x[:, 1000:2000] = 0.01 * torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    assert presented(x).abs().max() == pytest.approx(10 * MASTERED_PEAK, rel=1e-4)
