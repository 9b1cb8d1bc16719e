"""Pictures show what is there, on scales that can be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.image import imread, imsave
from PIL import Image

from separation.plots import (
    F_MIN,
    Spectrogram,
    draw_spectrogram,
    save,
    save_difference,
    save_spectrogram,
    spectrogram,
)

RATE = 44100


def tone(frequency: float, seconds: float = 1.0, level: float = 0.5) -> torch.Tensor:
    time = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    return (level * torch.sin(2 * torch.pi * frequency * time)).float()[None]


def row_of(frequency: float, picture: Spectrogram) -> float:
    rows = picture.power.shape[0]
    return float(rows * np.log(frequency / F_MIN) / np.log(RATE / 2 / F_MIN))


@pytest.mark.parametrize("frequency", [60.0, 100.0, 440.0, 1000.0, 5000.0, 15000.0])
def test_a_tone_is_brightest_at_its_frequency(frequency: float) -> None:
    picture = spectrogram(tone(frequency), RATE)
    brightest = int(picture.power[:, picture.power.shape[1] // 2].argmax())
    limit = 8 if frequency < 100 else 1.5  # in rows
    assert abs(brightest + 0.5 - row_of(frequency, picture)) <= limit


def test_the_waveform_shows_the_extremes_of_every_column() -> None:
    waveform = torch.zeros(2, RATE)
    waveform[0, 20000] = 0.9
    waveform[1, 30000] = -0.7
    picture = spectrogram(waveform, RATE, columns=100)
    assert picture.peaks[1].max() == pytest.approx(0.9)
    assert picture.peaks[0].min() == pytest.approx(-0.7)
    assert picture.peaks[1].argmax() == int(20000 / 441)


def test_doubling_the_amplitude_adds_six_decibels() -> None:
    quiet, loud = spectrogram(tone(1000, level=0.25), RATE), spectrogram(tone(1000, level=0.5), RATE)
    assert 10 * np.log10(loud.loudest / quiet.loudest) == pytest.approx(6.02, abs=0.01)


@pytest.mark.parametrize("frames", [1, 2, 100, 5000])
def test_any_length_can_be_drawn(frames: int, tmp_path: Path) -> None:
    picture = spectrogram(torch.randn(2, frames), RATE)
    path = save(draw_spectrogram(picture, name="mixture", loudest=picture.loudest), tmp_path / "picture.png")
    assert path.stat().st_size > 1000


def test_silence_is_drawn_without_warnings(tmp_path: Path) -> None:
    picture = spectrogram(torch.zeros(1, RATE), 8000)
    path = save(draw_spectrogram(picture, name="bass", loudest=picture.loudest, peak=0.0), tmp_path / "picture.svg")
    assert path.read_text().rstrip().endswith("</svg>")


@pytest.mark.parametrize("level", [0.0, 1e-6])
@pytest.mark.parametrize("loudest", [None, 0.0])
def test_silence_is_the_darkest_picture(level: float, loudest: float | None, tmp_path: Path) -> None:
    """Also on its own scale: noise at -120 dB is nothing to see."""
    noise = torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    picture = spectrogram(level * noise, RATE)
    path = save_spectrogram(picture, tmp_path / "a.png", loudest=picture.loudest if loudest is None else loudest)
    darkest = np.array(colormaps["magma"](0)[:3])
    np.testing.assert_allclose(imread(path)[..., :3], np.broadcast_to(darkest, (160, 640, 3)), atol=1 / 255)


def test_a_quiet_song_is_still_seen(tmp_path: Path) -> None:
    picture = spectrogram(tone(1000, level=0.01), RATE)
    path = save_spectrogram(picture, tmp_path / "a.png", loudest=picture.loudest)
    assert imread(path)[..., :3].max() > 0.95


@pytest.mark.parametrize("kind", ["spectrogram", "difference"])
def test_pictures_have_the_colours_of_matplotlib(kind: str, tmp_path: Path) -> None:
    """Below and above the scale too, though the files hold a palette."""
    decibels = np.random.default_rng(0).uniform(-80, 60, (2, 160, 640)).astype(np.float32)
    one, other = (
        Spectrogram(peaks=np.zeros((2, 640)), power=10 ** (rows / 10), duration=1.0, sample_rate=RATE)
        for rows in decibels
    )
    if kind == "spectrogram":
        path = save_spectrogram(one, tmp_path / "a.png", loudest=1e3)
        values, colours, limits = 10 * np.log10(one.power / np.float32(1e3)), "magma", (-80.0, 0.0)
    else:
        path = save_difference(one, other, tmp_path / "a.png", loudest=1e3)
        levels = [np.maximum(10 * np.log10(each.power / np.float32(1e3)), -80) for each in (one, other)]
        values, colours, limits = levels[0] - levels[1], "RdBu_r", (-20.0, 20.0)
    imsave(tmp_path / "b.png", values, vmin=limits[0], vmax=limits[1], cmap=colours, origin="lower")
    ours, theirs = (np.asarray(Image.open(file).convert("RGB")) for file in (path, tmp_path / "b.png"))
    np.testing.assert_array_equal(ours, theirs)
    assert len(np.unique(ours.reshape(-1, 3), axis=0)) == 256
    assert Image.open(path).mode == "P"


def test_the_size_of_a_spectrogram_does_not_depend_on_length() -> None:
    short, long = spectrogram(tone(440, 2), RATE), spectrogram(tone(440, 40), RATE)
    assert short.power.shape == long.power.shape
    assert short.peaks.shape == long.peaks.shape
