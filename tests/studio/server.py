"""A studio started as a user starts it, for tests that go through HTTP."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import playwright

from separation.weights.catalogue import list_models
from tests.conftest import ROOT

__all__ = ["CHROMIUM", "NODE", "Server", "damaged_weights", "running"]

# The browser without windows opens a page with a third less work than the whole one.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
NODE = Path(playwright.__file__).parent / "driver" / "node"  # comes with playwright, so that it is always there


@dataclass(frozen=True)
class Server:
    """A running studio: its address, the folder of its temporary files, and its process."""

    url: str
    folder: Path
    pid: int


@contextmanager
def running(folder: Path, *, port: Any = 0, quick: bool = False, **environment: str) -> Iterator[Server]:
    """A server without MUSDB18 and downloads, at a free port by default; see :mod:`quick_studio`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = port or int(probe.getsockname()[1])
    everything = {name: value for name, value in os.environ.items() if name != "MUSDB_ROOT"}
    everything |= {"GRADIO_SERVER_PORT": str(port), "TMPDIR": str(folder), "SEPARATION_HOME": str(folder / "home")}
    everything |= dict.fromkeys(("SEPARATION_MODELS_URL", "STEMSCOPE_SAMPLE_SET_URL"), "http://127.0.0.1:9/")
    log = (folder / "server.log").open("w")
    app = ["-m", "tests.studio.quick_studio"] if quick else ["app.py"]
    server = subprocess.Popen([sys.executable, *app], cwd=ROOT, env=everything | environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(9000):
            try:
                urllib.request.urlopen(url, timeout=2).read()
                break
            except OSError:
                assert server.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.02)
        else:
            raise AssertionError("the studio does not answer")
        yield Server(url, folder, server.pid)
    finally:
        server.terminate()
        server.wait(timeout=60)
        log.close()


@contextmanager
def damaged_weights(server: Server, name: str) -> Iterator[None]:
    """Let a model of the server be installed, but with files that cannot be read."""
    (model,) = (one for one in list_models() if one.name == name)
    folder = server.folder / "home" / "models" / name
    folder.mkdir(parents=True)
    for file in model.files:
        (folder / file.name).write_bytes(b"these are no weights")
    try:
        yield
    finally:
        shutil.rmtree(folder)
