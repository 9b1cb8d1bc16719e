"""What the studio's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from separation.studio import session, songs, storage
from separation.studio.request import SeparationRequest
from tests.studio.server import Server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One studio for all tests that go through HTTP: starting it takes as long as several of them."""
    with running(tmp_path_factory.mktemp("temporary")) as server:
        yield server


@pytest.fixture
def own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results go, for this test alone."""
    monkeypatch.setattr(storage, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(storage, "UPLOADS", tmp_path / "uploads")
    songs.musdb_tracks.cache_clear()
    return tmp_path / "results"


def short_song(seconds: float = 2.0, start: float = 2.0) -> songs.Song:
    return songs.open_song("sample", next(iter(songs.samples())), start=start, duration=seconds)


def work(song: songs.Song, *methods: str, **order: object) -> session.SessionUpdate:
    """Everything, to the end."""
    *_, last = session.separate_song(song, SeparationRequest(methods=methods, **order))  # type: ignore[arg-type]
    return last
