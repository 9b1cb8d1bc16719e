"""A short song and a folder for its stems."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.helpers import write_song


@pytest.fixture
def song(tmp_path: Path) -> Path:
    write_song(tmp_path / "in" / "My Song.wav")
    return tmp_path / "in" / "My Song.wav"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
