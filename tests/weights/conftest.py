"""Fixtures shared by the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from separation.weights import download
from separation.weights.model import Model, ModelFile
from tests.weights.helpers import (
    SHA256,
    Server,
    make_model,
    serving,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    with serving() as server:
        yield server


@pytest.fixture
def tiny(server: Server, tmp_path: Path) -> Model:
    """A model of one file, whose first eight digits of the hash are known."""
    file = ModelFile(source="all", name="tiny.pth", url=f"{server.url}/tiny.pth", sha256=SHA256[:8])
    return make_model(tmp_path / "cache" / "tiny", file)
