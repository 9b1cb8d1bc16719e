"""A studio started as a user starts it, for tests that go through HTTP."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
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
        chosen = port or probe.getsockname()[1]
    everything = {name: value for name, value in os.environ.items() if name != "MUSDB_ROOT"}
    everything |= {"GRADIO_SERVER_PORT": str(chosen), "TMPDIR": str(folder), "SEPARATION_HOME": str(folder / "home")}
    everything |= dict.fromkeys(("SEPARATION_MODELS_URL", "STEMSCOPE_SAMPLE_SET_URL"), "http://127.0.0.1:9/")
    log = folder / "server.log"
    app = ["-m", "tests.studio.quick_studio"] if quick else ["app.py"]
    with log.open("w") as output:
        command, environment = [sys.executable, *app], everything | environment
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            url = _address(server, log)
            assert not port or url.endswith(f":{port}"), url
            yield Server(url, folder, server.pid)
        finally:
            server.terminate()
            server.wait(timeout=60)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until a studio says where it is: at one of the next ports, if somebody else has taken its own meanwhile."""
    for _ in range(9000):
        if found := re.search(r"^Stemscope is at (\S+?)/?\n", log.read_text(), re.MULTILINE):
            return found[1]
        assert server.poll() is None, log.read_text()
        time.sleep(0.02)
    raise AssertionError(f"the studio does not start: {log.read_text()}")


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
