"""Helpers shared by the tests in this folder."""

from __future__ import annotations

import hashlib
import http.server
import io
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from separation.__main__ import app
from separation.weights.catalogue import list_models
from separation.weights.model import Model, ModelFile

CONTENT = random.Random(0).randbytes(700_001)  # three reads


SHA256 = hashlib.sha256(CONTENT).hexdigest()


def torch_file(state: object = None) -> bytes:
    """What `torch.save` writes: a zip archive."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(64.0).reshape(8, 8), "bias": torch.ones(8)} if state is None else state, buffer)
    return buffer.getvalue()


def make_model(folder: Path, *files: ModelFile, **more: Any) -> Model:
    fields: dict[str, Any] = {
        "name": "tiny",
        "method": "demucs",
        "sources": ("vocals",),
        "sample_rate": 44100,
        "channels": 2,
    }
    return Model(files=files, folder=folder, **(fields | more))


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if asked and self.server.ranges and first >= len(content):
            self.send_response(416)
            if self.server.tells_length:
                self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.server.behave(self, content, first, bool(asked) and self.server.ranges)

    def head(self, content: bytes, first: int, partial: bool) -> None:
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if self.server.tells_length:
            self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `behave` says how. Remembers the requests: (path, Range header).

    Tests set `arrived` and `release` for behaviours that wait for one of them.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/tiny.pth": CONTENT}
        self.requests: list[tuple[str, str | None]] = []
        self.behave: Callable[[Handler, bytes, int, bool], None] = send_all
        self.ranges = True
        self.tells_length = True
        self.arrived = threading.Event()
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hung up


@contextmanager
def serving() -> Iterator[Server]:
    """A running server."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def send_all(handler: Handler, content: bytes, first: int, partial: bool) -> None:
    handler.head(content, first, partial)
    handler.wfile.write(content[first:])


def fail_with(code: int) -> Callable[[Handler, bytes, int, bool], None]:
    return lambda handler, content, first, partial: handler.send_error(code)


def network() -> nn.Module:
    made = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    return made.requires_grad_(False)


def write(path: Path, state: Any) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def released() -> list[Model]:
    return [model for model in list_models() if not model.bundled]


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr
