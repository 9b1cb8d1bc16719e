"""Harmonic-percussive separation, on synthetic signals and against librosa's masks."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from separation.audio.files import read
from separation.separators.hpss import HarmonicPercussive, HarmonicPercussiveOptions
from separation.separators.options import parse_options
from separation.spectral.stft import stft
from tests.conftest import relative_error, snr

RATE = 44100
VOCALS, DRUMS, BASS, OTHER = range(4)


def tone(frequency: float, seconds: float = 1.5, rate: int = RATE) -> Tensor:
    """Return a steady tone in two channels, louder on the left."""
    time = torch.arange(int(seconds * rate), dtype=torch.float64) / rate
    return (torch.sin(2 * math.pi * frequency * time) * torch.tensor([[0.5], [0.2]])).float()


def clicks(seconds: float = 1.5, rate: int = RATE) -> Tensor:
    waveform = torch.zeros(2, int(seconds * rate))
    waveform[:, rate // 5 :: rate // 5] = 0.8
    return waveform


def shares(stems: Tensor) -> list[float]:
    """Return the share of each stem in the energy of all, without the ends, where frames are mirrored."""
    energy = stems[..., RATE // 10 : -RATE // 10].double().square().sum(dim=(1, 2))
    return [float(part) for part in energy / energy.sum()]


@pytest.fixture(scope="module")
def split(lopsided_song: Tensor) -> Tensor:
    return HarmonicPercussive().separate(lopsided_song)


def test_the_stems_sum_to_the_mixture(lopsided_song: Tensor, split: Tensor) -> None:
    assert split.shape == (4, *lopsided_song.shape)
    assert relative_error(split.sum(0), lopsided_song) < 1e-6
    assert all(part > 0.001 for part in shares(split))  # no stem is empty


def test_the_masks_equal_librosas(lopsided_song: Tensor) -> None:
    magnitude = stft(lopsided_song[:, :RATE], HarmonicPercussive().stft).abs().mean(0)
    expected = np.stack(librosa.decompose.hpss(magnitude.numpy(), kernel_size=31, mask=True))
    assert np.abs(HarmonicPercussive()._masks(magnitude).numpy() - expected).max() < 1e-6


@pytest.mark.parametrize(("frames", "kernel"), [(1, 3), (5, 31), (40, 31), (64, 15)])
def test_the_masks_of_few_frames_equal_librosas(frames: int, kernel: int) -> None:
    """Where the filter is longer than the spectrogram, the mirrored ends are mirrored again."""
    magnitude = torch.rand(33, frames, generator=torch.Generator().manual_seed(frames))
    expected = np.stack(librosa.decompose.hpss(magnitude.numpy(), kernel_size=kernel, mask=True))
    masks = HarmonicPercussive(options=HarmonicPercussiveOptions(kernel=kernel))._masks(magnitude)
    assert np.abs(masks.numpy() - expected).max() < 1e-6


def test_no_compiler_is_loaded() -> None:
    """numba, which librosa uses, would compile for many seconds on a new machine."""
    code = "import sys, torch; from separation.separators.hpss import HarmonicPercussive as H; "
    code += "H().separate(torch.rand(1, 5000)); print({'numba', 'librosa'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_mixture_is_not_changed(lopsided_song: Tensor) -> None:
    before = lopsided_song.clone()
    HarmonicPercussive().separate(lopsided_song[:, :RATE])
    assert torch.equal(lopsided_song, before)


@pytest.mark.parametrize("rate", [16000, 44100, 96000])
def test_a_steady_low_tone_is_bass_at_any_rate(rate: int) -> None:
    method = HarmonicPercussive().at(sample_rate=rate, channels=2)
    assert shares(method.separate(tone(60.0, rate=rate)))[BASS] > 0.999


@pytest.mark.parametrize("rate", [16000, 44100])
def test_clicks_are_drums_at_any_rate(rate: int) -> None:
    method = HarmonicPercussive().at(sample_rate=rate, channels=2)
    assert shares(method.separate(clicks(rate=rate)))[DRUMS] > 0.99


def test_a_steady_high_tone_is_shared_by_vocals_and_other() -> None:
    stems = HarmonicPercussive().separate(tone(1000.0))
    assert torch.equal(stems[VOCALS], stems[OTHER])
    assert sum(shares(stems)[index] for index in (VOCALS, OTHER)) > 0.999


def test_bass_vocals_and_drums_of_a_mixture_are_separated() -> None:
    low, high, short = tone(60.0), 0.5 * tone(1000.0), clicks()
    stems = HarmonicPercussive().separate(low + high + short)
    inside = slice(RATE // 4, -RATE // 4)  # where the tones neither begin nor end
    assert snr(stems[BASS][:, inside], low[:, inside]) > 40
    assert snr(stems[VOCALS][:, inside], high[:, inside] / 2) > 40
    assert snr(stems[DRUMS][:, inside], short[:, inside]) > 15


@pytest.mark.parametrize(("crossover", "stem"), [(900.0, VOCALS), (1100.0, BASS), (1e300, BASS)])
def test_the_crossover_separates_bass_from_the_rest(crossover: float, stem: int) -> None:
    options = HarmonicPercussiveOptions(crossover=crossover)
    stems = HarmonicPercussive(options=options).at(sample_rate=RATE, channels=2).separate(tone(1000.0))
    assert shares(stems)[stem] > 0.45


def test_the_stereo_image_is_preserved() -> None:
    """All channels share their masks, so that a panned source keeps its panning."""
    mixture = (tone(60.0)[:1] + clicks()[:1]) * torch.tensor([[1.0], [0.25]])
    for stem in HarmonicPercussive().separate(mixture):
        assert torch.allclose(stem[1], stem[0] / 4, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 6])
def test_any_number_of_channels(channels: int) -> None:
    mixture = torch.randn(channels, 9000, generator=torch.Generator().manual_seed(0))
    stems = HarmonicPercussive().separate(mixture)
    assert stems.shape == (4, channels, 9000)
    assert relative_error(stems.sum(0), mixture) < 1e-6


class ShortSegments(HarmonicPercussive):
    segment_seconds = 1.7
    fade_seconds = 0.2


def test_segments_give_the_same_stems_as_one_pass(sample: Path) -> None:
    mixture = read(sample / "mixture.flac", start=3.0, duration=6.0).waveform
    whole, cut = HarmonicPercussive(), ShortSegments()
    assert whole.segments(mixture.shape[1]) == 1
    blocks = list(cut.stream(mixture))
    assert len(blocks) == cut.segments(mixture.shape[1]) == 4
    result = torch.cat(blocks, dim=-1)
    assert result.shape == (4, *mixture.shape)
    reference = whole.separate(mixture)
    for stem, expected in zip(result, reference, strict=True):
        assert snr(stem, expected) > 40


@pytest.mark.parametrize("frames", [4096, 66_150, 74_969, 74_970, 74_971, 74_972, 141_120])
def test_the_number_of_blocks_is_as_announced(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Includes lengths at which one more sample needs one more segment."""
    method = ShortSegments()
    monkeypatch.setattr(method, "_split", lambda mixture: mixture.expand(4, -1, -1))
    mixture = torch.rand(1, frames)
    blocks = list(method.stream(mixture))
    assert len(blocks) == method.segments(frames)
    assert torch.allclose(torch.cat(blocks, dim=-1), mixture.expand(4, -1, -1), atol=1e-6)


def test_the_first_block_is_yielded_before_the_last_is_computed() -> None:
    method = ShortSegments()
    blocks: Iterator[Tensor] = method.stream(tone(200.0, seconds=8.0))
    assert next(blocks).shape[-1] == round(1.5 * RATE)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_shorter_mixtures_than_min_frames_are_refused(rate: int) -> None:
    method = HarmonicPercussive().at(sample_rate=rate, channels=1)
    shortest = method.min_frames
    assert shortest / rate == pytest.approx(4096 / 44100, rel=0.42)  # to the nearest power of two
    assert method.separate(torch.rand(1, shortest)).shape == (4, 1, shortest)
    with pytest.raises(ValueError, match=rf"too short: hpss needs at least .* s \({shortest} samples"):
        method.separate(torch.rand(1, shortest - 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [("crossover", "0"), ("crossover", "nan"), ("crossover", "inf"), ("kernel", "4"), ("kernel", "1")],
)
def test_options_out_of_range_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        parse_options(HarmonicPercussiveOptions, {name: value})
