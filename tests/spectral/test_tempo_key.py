"""Tempo and key, against recordings whose tempo and key are known by construction."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from separation.audio.files import read
from separation.spectral.tempo_key import PITCH_CLASSES, estimate_key, estimate_tempo

RATE = 44100


def clicks(tempo: float, seconds: float = 12.0, rate: int = RATE) -> Tensor:
    """Short bursts of noise on every beat, the first of four louder; stereo."""
    generator = torch.Generator().manual_seed(0)
    sound = torch.zeros(2, round(seconds * rate))
    burst = torch.randn(2, rate // 50, generator=generator) * torch.linspace(1, 0, rate // 50) ** 2
    for beat in range(int(seconds * tempo / 60)):
        start = round(beat * 60 / tempo * rate)
        sound[:, start : start + rate // 50] += (0.5 if beat % 4 else 1.0) * burst[:, : sound.shape[1] - start]
    return sound


def chords(roots: list[int], minor: list[bool], rate: int = RATE) -> Tensor:
    """One triad a second, of tones with five partials; roots in semitones from C."""
    time = torch.arange(rate) / rate
    sound = []
    for root, is_minor in zip(roots, minor, strict=True):
        pitches = [root, root + (3 if is_minor else 4), root + 7, root - 12]
        tones = [261.63 * 2 ** (pitch / 12) * partial for pitch in pitches for partial in range(1, 6)]
        sound.append(sum(torch.sin(2 * torch.pi * tone * time) / tone for tone in tones))
    return torch.cat([torch.as_tensor(part) for part in sound])[None]


@pytest.mark.parametrize("tempo", [72, 90, 120, 133, 150])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_the_tempo_of_clicks(tempo: int, rate: int) -> None:
    assert estimate_tempo(clicks(tempo, rate=rate), rate) == pytest.approx(tempo, rel=0.01)


@pytest.mark.parametrize("tonic", range(12))
def test_the_key_of_cadences(tonic: int) -> None:
    roots = [tonic, tonic + 5, tonic + 7, tonic]
    assert estimate_key(chords(roots, 4 * [False]), RATE) == f"{PITCH_CLASSES[tonic]} major"
    assert estimate_key(chords(roots, [True, True, False, True]), RATE) == f"{PITCH_CLASSES[tonic]} minor"


@pytest.mark.parametrize(("name", "tempo", "key"), [("night-drive", 112, "A minor"), ("paper-boats", 90, "D major")])
def test_the_sample_tracks(sample: Path, name: str, tempo: int, key: str) -> None:
    audio = read(sample.parent / name / "mixture.flac")
    assert estimate_tempo(audio.waveform, audio.sample_rate) == pytest.approx(tempo, rel=0.01)
    assert estimate_key(audio.waveform, audio.sample_rate) == key


@pytest.mark.parametrize("quiet", [1e-4, 1.0])
def test_the_level_does_not_matter(quiet: float) -> None:
    assert estimate_tempo(quiet * clicks(120), RATE) == pytest.approx(120, rel=0.01)
    assert estimate_key(quiet * chords([0, 5, 7, 0], 4 * [False]), RATE) == "C major"


def test_sound_without_tempo_or_key_has_none() -> None:
    silence = torch.zeros(2, 10 * RATE)
    noise = torch.randn(2, 10 * RATE, generator=torch.Generator().manual_seed(0))
    assert estimate_tempo(silence, RATE) is None and estimate_key(silence, RATE) is None
    assert estimate_tempo(noise, RATE) is None and estimate_key(noise, RATE) is None
    assert estimate_tempo(clicks(120, seconds=3.0), RATE) is None
    assert estimate_key(noise[:, :100], RATE) is None
