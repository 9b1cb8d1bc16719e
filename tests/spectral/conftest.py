"""Music as spectrograms, small enough for double precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from separation.audio.files import read
from separation.sources import SOURCES
from separation.spectral.stft import StftConfig, stft


def spectrogram(waveform: Tensor) -> Tensor:
    """Every eighth bin of 2.8 s, in double precision: (..., 257, 120)."""
    return stft(waveform.double(), StftConfig())[..., ::8, :120]


@pytest.fixture(scope="module", params=["real song", "sample track"])
def music(request: pytest.FixtureRequest) -> Tensor:
    """The mixture X, (2, bins, frames), complex128."""
    if request.param == "real song":
        return spectrogram(request.getfixturevalue("real_song").waveform[:, 44100:])
    return spectrogram(read(request.getfixturevalue("sample") / "mixture.flac").waveform[:, 88200:])


@pytest.fixture(scope="module")
def stems(sample: Path) -> Tensor:
    """The true sources of the sample track, (4, 2, bins, frames), complex128."""
    return torch.stack([spectrogram(read(sample / f"{name}.ogg").waveform[:, 88200:]) for name in SOURCES])
