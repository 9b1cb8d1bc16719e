"""Fixtures of the tests of the separators: music, tiny models and a short excerpt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from separation.audio.files import read
from separation.separators import METHODS
from separation.sources import SOURCES
from tests.separators.helpers import write_tiny


@pytest.fixture(scope="session")
def song(request: pytest.FixtureRequest) -> Tensor:
    """The real song if available, which is full-rank stereo, or else the sample track."""
    try:
        return request.getfixturevalue("real_song").waveform
    except pytest.skip.Exception:
        return read(request.getfixturevalue("sample") / "mixture.flac").waveform


@pytest.fixture(scope="session")
def lopsided_song(sample: Path) -> Tensor:
    """An excerpt of 3 s that is louder on the left."""
    waveform = read(sample / "mixture.flac", start=4.0, duration=3.0).waveform
    return waveform * torch.tensor([[1.0], [0.4]])


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The folder of a tiny model for every method that has weights."""
    root = tmp_path_factory.mktemp("models")
    return {name: str(write_tiny(root / name, name)) for name, method in METHODS.items() if method.has_model}


@pytest.fixture(scope="session")
def excerpt(sample: Path) -> dict[str, Tensor]:
    """Mixture and sources of 2 s and 3 samples of the sample track, shape (2, 88203) each."""
    paths = {"mixture": sample / "mixture.flac"} | {name: sample / f"{name}.ogg" for name in SOURCES}
    return {name: read(path).waveform[:, 100_000:188_203].clone() for name, path in paths.items()}
