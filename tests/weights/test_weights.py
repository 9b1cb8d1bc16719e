"""Weights: the table, downloads from a real (local) server that misbehaves, files that are not what they should be."""

from __future__ import annotations

import hashlib
import http.server
import io
import itertools
import json
import os
import pickle
import random
import re
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from separation.__main__ import app
from separation.separators import METHODS
from separation.weights import catalogue, download, state_dict
from separation.weights.catalogue import cache_dir, find_model, list_models
from separation.weights.download import download_model, verify_model
from separation.weights.model import Model, ModelFile
from separation.weights.state_dict import CheckpointError
from tests.conftest import GOLDEN, ROOT

FACTS = ROOT.parent / "shared" / "facts" / "weights_table.json"
CONTENT = random.Random(0).randbytes(700_001)  # three reads
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def torch_file(state: object = None) -> bytes:
    """What `torch.save` writes: a zip archive."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(64.0).reshape(8, 8), "bias": torch.ones(8)} if state is None else state, buffer)
    return buffer.getvalue()


def a_model(folder: Path, *files: ModelFile, **more: Any) -> Model:
    fields: dict[str, Any] = {
        "name": "tiny",
        "method": "demucs",
        "sources": ("vocals",),
        "sample_rate": 44100,
        "channels": 2,
    }
    return Model(files=files, folder=folder, **(fields | more))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# -- a server ----------------------------------------------------------------------------------------


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


def send_all(handler: Handler, content: bytes, first: int, partial: bool) -> None:
    handler.head(content, first, partial)
    handler.wfile.write(content[first:])


def send_only(count: int) -> Callable[[Handler, bytes, int, bool], None]:
    """Announce all, send so many bytes, and hang up."""

    def behave(handler: Handler, content: bytes, first: int, partial: bool) -> None:
        handler.head(content, first, partial)
        handler.wfile.write(content[first : first + count])

    return behave


def send_and_die(count: int) -> Callable[[Handler, bytes, int, bool], None]:
    """The same, with the connection reset instead of closed."""

    def behave(handler: Handler, content: bytes, first: int, partial: bool) -> None:
        handler.head(content, first, partial)
        handler.wfile.write(content[first : first + count])
        handler.wfile.flush()
        handler.server.arrived.wait(20)  # a reset overtakes what is still on its way
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return behave


def send_and_wait(count: int | None) -> Callable[[Handler, bytes, int, bool], None]:
    """Send so many bytes (None: not even an answer) and the rest when the server's `release` is set."""

    def behave(handler: Handler, content: bytes, first: int, partial: bool) -> None:
        if count is not None:
            handler.head(content, first, partial)
            handler.wfile.write(content[first : first + count])
            handler.wfile.flush()
        handler.server.release.wait(20)
        if count is None:
            handler.head(content, first, partial)
        handler.wfile.write(content[first + (count or 0) :])

    return behave


def fail_with(code: int) -> Callable[[Handler, bytes, int, bool], None]:
    return lambda handler, content, first, partial: handler.send_error(code)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def tiny(server: Server, tmp_path: Path) -> Model:
    """A model of one file, whose first eight digits of the hash are known."""
    file = ModelFile(source="all", name="tiny.pth", url=f"{server.url}/tiny.pth", sha256=SHA256[:8])
    return a_model(tmp_path / "cache" / "tiny", file)


def unhashed(model: Model) -> Model:
    """The same without a published hash."""
    file = model.files[0]
    return a_model(model.folder, ModelFile(source="all", name=file.name, url=file.url))


def part_of(model: Model) -> Path:
    return model.folder / "tiny.pth.part"


# -- downloads that work -----------------------------------------------------------------------------


def test_a_download_arrives_whole_and_tells_how_far_it_is(tiny: Model, server: Server) -> None:
    heard: list[tuple[str, int, int | None]] = []
    assert not tiny.installed
    assert tiny.size is None
    assert download_model(tiny, lambda *news: heard.append(news)) == ["tiny.pth"]
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT
    assert names_in(tiny.folder) == ["tiny.pth"], "something was left behind"
    assert tiny.installed
    assert tiny.size == len(CONTENT)
    assert verify_model(tiny) == []
    assert {(name, total) for name, _, total in heard} == {("tiny.pth", len(CONTENT))}
    counts = [done for _, done, _ in heard]
    assert counts == sorted(set(counts))
    assert len(counts) >= 3
    assert counts[-1] == len(CONTENT)
    assert server.requests == [("/tiny.pth", None)]


def test_what_is_here_is_not_fetched_again(tiny: Model, server: Server) -> None:
    download_model(tiny)
    server.requests.clear()
    assert download_model(tiny) == []
    assert server.requests == []


def test_the_files_of_a_model_arrive_one_by_one_and_what_is_whole_stays(server: Server, tmp_path: Path) -> None:
    contents = {f"{name}.pth": CONTENT[: 1000 + number] for number, name in enumerate(("vocals", "drums", "bass"))}
    server.files = {f"/{name}": content for name, content in contents.items() if name != "drums.pth"}
    files = [
        ModelFile(
            source=name.removesuffix(".pth"),
            name=name,
            url=f"{server.url}/{name}",
            sha256=hashlib.sha256(content).hexdigest(),
        )
        for name, content in contents.items()
    ]
    model = a_model(tmp_path, *files)
    with pytest.raises(CheckpointError, match=r"drums\.pth: the server answers 404"):
        download_model(model)
    assert names_in(tmp_path) == ["vocals.pth"]
    assert not model.installed
    server.files["/drums.pth"] = contents["drums.pth"]
    server.requests.clear()
    assert download_model(model) == ["drums.pth", "bass.pth"]
    assert [path for path, _ in server.requests] == ["/drums.pth", "/bass.pth"]
    assert all((tmp_path / name).read_bytes() == content for name, content in contents.items())


def test_a_server_that_does_not_tell_the_length(tiny: Model, server: Server) -> None:
    server.tells_length = False
    heard: list[tuple[str, int, int | None]] = []
    assert download_model(tiny, lambda *news: heard.append(news)) == ["tiny.pth"]
    assert heard[-1] == ("tiny.pth", len(CONTENT), None)
    (tiny.folder / "tiny.pth").unlink()
    server.behave = send_only(1000)  # nothing but the hash can tell
    with pytest.raises(CheckpointError, match="thrown away"):
        download_model(tiny)
    assert names_in(tiny.folder) == []


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_a_mirror_has_all_files_side_by_side(
    tiny: Model, server: Server, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    server.files = {"/some/mirror/tiny.pth": CONTENT}
    monkeypatch.setenv("SEPARATION_MODELS_URL", f"{server.url}/some/mirror{slash}")
    model = a_model(tiny.folder, ModelFile(source="all", name="tiny.pth", url="http://127.0.0.1:1/x", sha256=SHA256))
    assert download_model(model) == ["tiny.pth"]
    assert server.requests == [("/some/mirror/tiny.pth", None)]


def test_an_installed_but_damaged_file_is_fetched_again(tiny: Model) -> None:
    tiny.folder.mkdir(parents=True)
    path = tiny.folder / "tiny.pth"
    for wrong in (b"", CONTENT[:-1], b"x" + CONTENT[1:], CONTENT + b"x"):
        path.write_bytes(wrong)
        assert len(verify_model(tiny)) == 1
        assert download_model(tiny) == ["tiny.pth"]
        assert path.read_bytes() == CONTENT


def test_without_a_published_hash_the_sums_within_the_archive_decide(tiny: Model, server: Server) -> None:
    model = unhashed(tiny)
    server.files["/tiny.pth"] = b"<html>not found</html>"
    with pytest.raises(CheckpointError, match=r"thrown away \(tiny\.pth is not a complete file of weights\)"):
        download_model(model)
    assert names_in(model.folder) == []
    server.files["/tiny.pth"] = torch_file()
    assert download_model(model) == ["tiny.pth"]
    path = model.folder / "tiny.pth"
    whole = path.read_bytes()
    where = whole.index(struct.pack("<f", 33.0))
    path.write_bytes(whole[:where] + b"\xff" + whole[where + 1 :])
    assert download_model(model) == ["tiny.pth"]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("kind", ["bundled", "own"])
def test_what_is_no_released_model_is_not_downloaded(tmp_path: Path, kind: str) -> None:
    model = a_model(tmp_path, ModelFile(source="all", name="x.pth"), **{kind: True})
    with pytest.raises(CheckpointError, match="tiny is not downloaded: it is already here"):
        download_model(model)


# -- downloads that break off ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (send_only(300_000), rf"tiny\.pth broke off after 300000 of {len(CONTENT)} bytes; run the same command again"),
        (send_and_die(300_000), r"cannot download tiny\.pth: the connection broke after 300000 bytes .*it will go on"),
        (send_and_wait(300_000), r"cannot download tiny\.pth: the connection broke after 300000 bytes \(.*timed out\)"),
    ],
    ids=["closed", "reset", "stalled"],
)
@pytest.mark.parametrize("published", [True, False], ids=["hash", "no hash"])
def test_what_broke_off_goes_on_where_it_was(
    tiny: Model,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    behave: Callable[[Handler, bytes, int, bool], None],
    message: str,
    published: bool,
) -> None:
    model = tiny if published else unhashed(tiny)
    if not published:
        large = torch_file({"weight": torch.rand(len(CONTENT) // 4, generator=torch.Generator().manual_seed(0))})
        server.files["/tiny.pth"] = large
        message = message.replace(str(len(CONTENT)), str(len(large)))
    content = server.files["/tiny.pth"]
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    server.behave = behave
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=message):
        download_model(model, lambda name, done, total: server.arrived.set() if done == 300_000 else None)
    assert time.monotonic() - began < 25
    assert not model.installed
    assert part_of(model).read_bytes() == content[:300_000], "what had come is not lost"
    assert names_in(model.folder) == ["tiny.pth.part"]

    server.release.set()
    server.behave = send_all
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    heard: list[tuple[str, int, int | None]] = []
    assert download_model(model, lambda *news: heard.append(news)) == ["tiny.pth"]
    assert server.requests == [("/tiny.pth", None), ("/tiny.pth", "bytes=300000-")]
    assert (model.folder / "tiny.pth").read_bytes() == content
    assert names_in(model.folder) == ["tiny.pth"]
    assert heard[0][1] > 300_000
    assert heard[-1] == ("tiny.pth", len(content), len(content))


def test_it_may_break_off_more_than_once(tiny: Model, server: Server) -> None:
    server.behave = send_only(200_000)
    for came in (200_000, 400_000, 600_000):
        with pytest.raises(CheckpointError, match=f"broke off after {came} of {len(CONTENT)} bytes"):
            download_model(tiny)
    assert download_model(tiny) == ["tiny.pth"]
    assert [asked for _, asked in server.requests] == [None, "bytes=200000-", "bytes=400000-", "bytes=600000-"]
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT


def test_a_server_that_cannot_resume_starts_over(tiny: Model, server: Server) -> None:
    server.ranges = False
    tiny.folder.mkdir(parents=True)
    part_of(tiny).write_bytes(CONTENT[:300_000])
    heard: list[tuple[str, int, int | None]] = []
    assert download_model(tiny, lambda *news: heard.append(news)) == ["tiny.pth"]
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT
    assert heard[0][1] < 300_000
    assert heard[-1] == ("tiny.pth", len(CONTENT), len(CONTENT))


def test_a_download_that_is_stopped_goes_on_later(tiny: Model, server: Server) -> None:
    def stop(name: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_model(tiny, stop)
    came = part_of(tiny).stat().st_size
    assert 0 < came < len(CONTENT)
    assert download_model(tiny) == ["tiny.pth"]
    assert server.requests[1] == ("/tiny.pth", f"bytes={came}-")
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT


def test_a_server_that_never_answers_is_given_up(tiny: Model, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.behave = send_and_wait(None)
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: .*timed out; check the network"):
        download_model(tiny)
    assert time.monotonic() - began < 25
    assert names_in(tiny.folder) == []


@pytest.mark.parametrize("code", [401, 403, 404, 410, 429, 500, 503])
def test_the_servers_refusal_is_told(tiny: Model, server: Server, code: int) -> None:
    server.behave = fail_with(code)
    with pytest.raises(CheckpointError, match=rf"cannot download tiny\.pth: the server answers {code} \(\w"):
        download_model(tiny)
    assert names_in(tiny.folder) == []


def test_a_refusal_does_not_cost_what_had_come(tiny: Model, server: Server) -> None:
    tiny.folder.mkdir(parents=True)
    part_of(tiny).write_bytes(CONTENT[:1000])
    server.behave = fail_with(503)
    with pytest.raises(CheckpointError, match="503"):
        download_model(tiny)
    assert part_of(tiny).read_bytes() == CONTENT[:1000]


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/tiny.pth"
    model = a_model(tmp_path, ModelFile(source="all", name="tiny.pth", url=url, sha256=SHA256))
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: .*refused; check the network"):
        download_model(model)
    assert names_in(tmp_path) == []


def test_what_does_not_speak_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    for greeting in (b"SSH-2.0-OpenSSH_9.6\r\n", b""):
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def greet(listening: socket.socket = listening, greeting: bytes = greeting) -> None:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(greeting)

            thread = threading.Thread(target=greet)
            thread.start()
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/tiny.pth"
            with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: .*check the network"):
                download_model(a_model(tmp_path, ModelFile(source="all", name="tiny.pth", url=url)))
            thread.join()


def test_a_failure_of_the_connection_is_not_blamed_on_the_disk(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the answer, urllib passes the socket's errors on as they are."""

    def fail(*arguments: Any, **more: Any) -> None:
        raise OSError(113, "No route to host")

    monkeypatch.setattr("http.client.HTTPConnection.getresponse", fail)
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: .*No route to host.*check the network"):
        download_model(tiny)


# -- downloads that bring the wrong thing ------------------------------------------------------------


def test_what_has_another_hash_is_thrown_away(tiny: Model, server: Server) -> None:
    server.files["/tiny.pth"] = b"x" + CONTENT[1:]
    with pytest.raises(CheckpointError, match=rf"thrown away \(tiny\.pth has the hash \w{{8}}, not {SHA256[:8]}"):
        download_model(tiny)
    assert names_in(tiny.folder) == [], "nothing of it may stay"
    server.files["/tiny.pth"] = CONTENT
    assert download_model(tiny) == ["tiny.pth"]


def test_a_damaged_beginning_is_thrown_away_with_the_end(tiny: Model, server: Server) -> None:
    tiny.folder.mkdir(parents=True)
    part_of(tiny).write_bytes(b"x" * 1000)
    with pytest.raises(CheckpointError, match="thrown away"):
        download_model(tiny)
    assert names_in(tiny.folder) == []
    assert download_model(tiny) == ["tiny.pth"]
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_part_that_is_already_whole_is_taken_as_it_is(tiny: Model, server: Server, tells_length: bool) -> None:
    server.tells_length = tells_length
    tiny.folder.mkdir(parents=True)
    part_of(tiny).write_bytes(CONTENT)
    assert download_model(tiny) == ["tiny.pth"]
    assert names_in(tiny.folder) == ["tiny.pth"]
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("published", [True, False], ids=["hash", "no hash"])
def test_a_part_that_is_too_long_is_thrown_away(tiny: Model, server: Server, published: bool) -> None:
    model = tiny if published else unhashed(tiny)
    whole = server.files["/tiny.pth"] = CONTENT if published else torch_file()
    model.folder.mkdir(parents=True)
    part_of(model).write_bytes(whole + b"and more")  # which a zip archive would bear
    with pytest.raises(CheckpointError, match=r"what came for tiny\.pth was thrown away"):
        download_model(model)
    assert names_in(model.folder) == []
    assert download_model(model) == ["tiny.pth"]
    assert (model.folder / "tiny.pth").read_bytes() == whole


@pytest.mark.parametrize("mirror", ["not an address", "mirror/models", "http://[::1", "no-such-scheme://x"])
def test_a_mirror_that_is_not_an_address(tiny: Model, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("SEPARATION_MODELS_URL", mirror)
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: .*(SEPARATION_MODELS_URL|unknown url type)"):
        download_model(tiny)
    assert names_in(tiny.folder) == []


@pytest.mark.parametrize("mirror", ["http://", "https:///x", "http://a b/", "http://127.0.0.1:99999", "http://x:y/"])
def test_a_mirror_that_is_half_an_address(tiny: Model, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("SEPARATION_MODELS_URL", mirror)
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: "):
        download_model(tiny)
    assert names_in(tiny.folder) == []


# -- downloads and their place -----------------------------------------------------------------------


def test_of_two_at_once_one_is_told_to_wait(tiny: Model, server: Server) -> None:
    server.behave = send_and_wait(300_000)
    results: list[object] = []
    started = threading.Event()
    first = threading.Thread(target=lambda: results.append(download_model(tiny, lambda *news: started.set())))
    first.start()
    assert started.wait(10)
    with pytest.raises(CheckpointError, match=r"tiny\.pth is being downloaded by another process; wait for it"):
        download_model(tiny)
    server.release.set()
    first.join()
    assert results == [["tiny.pth"]]
    assert names_in(tiny.folder) == ["tiny.pth"]
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_of_two_processes_too_and_a_killed_one_leaves_no_lock(tiny: Model, server: Server) -> None:
    server.behave = send_and_wait(300_000)
    file = tiny.files[0]
    code = (
        "import sys; from pathlib import Path; from separation.weights.model import Model, ModelFile;"
        "from separation.weights.download import download_model;"
        "folder, url, sha256 = sys.argv[1:];"
        "file = ModelFile(source='all', name='tiny.pth', url=url, sha256=sha256);"
        "download_model(Model(name='tiny', method='demucs', sources=('a',), sample_rate=1, channels=1, files=(file,),"
        " folder=Path(folder)), lambda *news: print('started', flush=True))"
    )
    arguments = [sys.executable, "-c", code, str(tiny.folder), file.url, file.sha256]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"no_proxy": "*"}) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"started\n"
        with pytest.raises(CheckpointError, match="is being downloaded by another process"):
            download_model(tiny)
        other.kill()
    server.behave = send_all
    assert download_model(tiny) == ["tiny.pth"]
    assert server.requests[-1][1] is not None, "it went on where the other was killed"
    assert names_in(tiny.folder) == ["tiny.pth"]
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT


def test_what_another_process_has_just_finished_is_not_fetched_again(
    tiny: Model, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(download.FileLock):
        def acquire(self, *arguments: Any, **more: Any) -> Any:
            (tiny.folder / "tiny.pth").write_bytes(CONTENT)
            return super().acquire(*arguments, **more)

    monkeypatch.setattr(download, "FileLock", Late)
    assert download_model(tiny) == []
    assert server.requests == []


def test_a_cache_folder_that_cannot_be_written(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match=r"cannot store tiny\.pth in the cache folder: (Not a directory|File ex)"):
        download_model(tiny)
    (tmp_path / "cache").unlink()

    def refuse(*arguments: Any, **more: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(download.FileLock, "acquire", refuse)
        with pytest.raises(CheckpointError, match=r"cannot store tiny\.pth in the cache folder: Permission denied"):
            download_model(tiny)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CheckpointError, match=r"cannot store tiny\.pth in the cache folder: Permission denied"):
        download_model(a_model(tmp_path / "other", *tiny.files))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk(tiny: Model) -> None:
    tiny.folder.mkdir(parents=True)
    part_of(tiny).symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"cannot store tiny\.pth in the cache folder: No space left on device"):
        download_model(tiny)
    assert not tiny.installed


# -- verifying ---------------------------------------------------------------------------------------


def test_a_flipped_byte_is_found_by_the_hash_anywhere(tmp_path: Path) -> None:
    content = bytearray(CONTENT[:1000])
    path = tmp_path / "x.safetensors"
    model = a_model(tmp_path, ModelFile(source="all", name=path.name, sha256=hashlib.sha256(content).hexdigest()[:8]))
    assert verify_model(model) == ["x.safetensors is missing"]
    path.write_bytes(content)
    assert verify_model(model) == []
    for position in range(0, 1000, 37):
        content[position] ^= 1
        path.write_bytes(content)
        (problem,) = verify_model(model)
        assert re.fullmatch(r"x\.safetensors has the hash \w{8}, not \w{8}: it is damaged or another file", problem)
        content[position] ^= 1


def test_without_a_hash_a_flipped_byte_of_the_weights_is_found(tmp_path: Path) -> None:
    content = bytearray(torch_file())
    path = tmp_path / "x.pt"
    model = a_model(tmp_path, ModelFile(source="all", name="x.pt"))
    path.write_bytes(content)
    assert verify_model(model) == []
    begin = content.index(struct.pack("<2f", 0.0, 1.0))
    for position in range(begin, begin + 64 * 4):  # every byte of the first tensor
        content[position] ^= 0x10
        path.write_bytes(content)
        assert verify_model(model) == ["x.pt is damaged"]
        content[position] ^= 0x10


def test_without_a_hash_no_damage_stops_the_check(tmp_path: Path) -> None:
    """Headers of the archive tell of compression, encryption, lengths: all may be wrong."""
    content = bytearray(torch_file())
    path = tmp_path / "x.pt"
    model = a_model(tmp_path, ModelFile(source="all", name="x.pt"))
    found = 0
    for position, bit in itertools.product(range(0, len(content), 7), (0x01, 0x80)):
        content[position] ^= bit
        path.write_bytes(content)
        found += len(verify_model(model))
        content[position] ^= bit
    assert found > 50
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        assert len(verify_model(model)) == 1


# -- loading -----------------------------------------------------------------------------------------


def network() -> nn.Module:
    made = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    return made.requires_grad_(False)


def load(path: Path, into: nn.Module | None = None, ignore: tuple[str, ...] = ()) -> None:
    file = ModelFile(source="all", name=path.name)
    a_model(path.parent, file).load_into(into or network(), file, ignore=ignore)


def write(path: Path, state: Any) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.fixture(params=["x.pth", "x.th", "x.pt", "x.safetensors"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_weights_come_back_as_they_were_saved(place: Path) -> None:
    saved, loaded = network(), network()
    write(place, saved.state_dict())
    load(place, loaded)
    for key, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_come_back_in_float32(place: Path, dtype: torch.dtype) -> None:
    write(place, {"weight": torch.full((2, 2), 0.5, dtype=dtype), "count": torch.tensor(3)})
    state = state_dict.read_state_dict(place)
    assert state["weight"].dtype == torch.float32
    assert (state["weight"] == 0.5).all()
    assert state["count"].dtype == torch.int64


def test_a_missing_file_is_told(place: Path) -> None:
    with pytest.raises(CheckpointError, match=f"{place.name} is missing"):
        load(place)


def test_a_truncated_file_is_told(place: Path) -> None:
    content = write(place, network().state_dict()).read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 100, len(content) - 1):
        place.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=f"{place.name} is damaged, or holds more than tensors"):
            load(place)


def test_junk_is_told(place: Path) -> None:
    for content in (b"<html>", CONTENT[:1000], b"\x80\x02", b"PK\x03\x04" + bytes(100), b"\xff" * 100, b"{}" * 9):
        place.write_bytes(content)
        with pytest.raises(CheckpointError, match=place.name):
            load(place)


@pytest.mark.parametrize(
    "content",
    [
        [torch.ones(3)],
        torch.ones(3),
        None,
        {"state_dict": {"0.weight": torch.ones(8, 8)}},
        {"0.weight": 3.0},
        {"0.weight": torch.ones(8, 8), "epoch": 3},
        {1: torch.ones(3)},
        {"0.weight": torch.ones(8, 8), 1: torch.ones(3)},
        {("0", "weight"): torch.ones(3)},
    ],
    ids=["a list", "a tensor", "nothing", "a checkpoint", "a number", "a number beside", "3 keys", "2 keys", "a pair"],
)
def test_anything_but_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    path = write(tmp_path / "x.pth", content)
    with pytest.raises(CheckpointError, match=r"x\.pth does not hold a dictionary of tensors"):
        load(path)


def test_weights_of_another_network_name_the_first_key_that_does_not_fit(place: Path) -> None:
    state = network().state_dict()
    wrong = {
        "lacks '0.bias'": {key: value for key, value in state.items() if key != "0.bias"},
        "has an unknown '0.extra'": state | {"0.extra": torch.ones(1)},
        "'0.weight' is (8, 7), not (8, 8)": state | {"0.weight": torch.ones(8, 7)},
        "'1.bias' is (), not (8,)": state | {"1.bias": torch.tensor(1.0)},
        "lacks '0.weight'; has an unknown 'module.0.weight'": {
            key.replace("0.weight", "module.0.weight"): value for key, value in state.items()
        },
    }
    for message, content in wrong.items():
        write(place, content)
        into = network()
        before = {key: value.clone() for key, value in into.state_dict().items()}
        with pytest.raises(CheckpointError, match=rf"^{place.name} does not fit demucs .*{re.escape(message)}"):
            load(place, into)
        assert all(torch.equal(value, before[key]) for key, value in into.state_dict().items()), "half loaded"


def test_exactly_the_legacy_keys_are_dropped(place: Path) -> None:
    ignore = ("sample_rate", "stft.window", "transform.0.window")
    legacy = {key: torch.ones(4) for key in ignore}
    write(place, network().state_dict() | legacy)
    load(place, ignore=ignore)
    with pytest.raises(CheckpointError, match="has an unknown 'sample_rate'"):
        load(place)
    for other in ("stft.window2", "xstft.window", "stft", "transform.1.window", "Sample_rate"):
        write(place, network().state_dict() | legacy | {other: torch.ones(4)})
        with pytest.raises(CheckpointError, match=f"has an unknown '{other}'"):
            load(place, ignore=ignore)


def test_files_from_before_batches_were_counted_load(place: Path) -> None:
    state = network().state_dict()
    del state["1.num_batches_tracked"]
    write(place, state)
    into = network()
    load(place, into)
    assert all(torch.equal(into.state_dict()[key], value) for key, value in state.items())


def test_the_hash_of_a_model_is_that_of_its_files(tmp_path: Path) -> None:
    files = [ModelFile(source=name, name=f"{name}.pth") for name in ("a", "b")]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.pth").write_bytes(b"first")
        (tmp_path / folder / "b.pth").write_bytes(b"second")
    first, second = (a_model(tmp_path / folder, *files) for folder in ("one", "two"))
    total = hashlib.sha256(hashlib.sha256(b"first").digest() + hashlib.sha256(b"second").digest())
    assert first.hash() == first.hash() == second.hash() == total.hexdigest()[:16]
    (tmp_path / "two" / "b.pth").write_bytes(b"Second")
    assert second.hash() != first.hash()


# -- planted pickles ---------------------------------------------------------------------------------


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def legacy_tar(bomb: Bomb) -> bytes:
    """The container of PyTorch before 0.1.10."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            content = pickle.dumps(bomb)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def torch_bytes(content: object, *, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


PLANTS: dict[str, Callable[[Bomb], bytes]] = {
    "a bare pickle": lambda bomb: pickle.dumps(bomb),
    "a pickle of protocol 2": lambda bomb: pickle.dumps({"0.weight": bomb}, protocol=2),
    "torch's zip": lambda bomb: torch_bytes({"0.weight": bomb}, zipped=True),
    "torch's zip beside weights": lambda bomb: torch_bytes(network().state_dict() | {"sample_rate": bomb}, zipped=True),
    "torch's older file": lambda bomb: torch_bytes({"0.weight": bomb}, zipped=False),
    "torch's oldest, a tar": legacy_tar,
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("suffix", [".pth", ".th", ".pt", ".safetensors", ""])
def test_a_planted_pickle_is_never_executed(tmp_path: Path, plant: str, suffix: str) -> None:
    marker = tmp_path / "executed"
    path = tmp_path / f"x{suffix}"
    path.write_bytes(PLANTS[plant](Bomb(marker)))
    with pytest.raises(CheckpointError, match="is damaged, or holds more than tensors, and was not loaded"):
        load(path, ignore=("sample_rate",))
    assert verify_model(a_model(tmp_path, ModelFile(source="all", name=path.name))) is not None
    assert not marker.exists()


def test_those_pickles_are_live(tmp_path: Path) -> None:
    """Else the test above shows nothing."""
    for number, plant in enumerate(PLANTS.values()):
        marker = tmp_path / str(number)
        (tmp_path / "x").write_bytes(plant(Bomb(marker)))
        try:
            torch.load(tmp_path / "x", weights_only=False)
        except Exception as error:  # most are not what torch expects, after the fact
            assert marker.exists(), error
        assert marker.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("plant", PLANTS)
def test_nor_from_a_folder_of_upstreams_trainer(tmp_path: Path, plant: str) -> None:
    marker = tmp_path / "executed"
    common = {"nfft": 4096, "nhop": 1024, "sample_rate": 44100, "nb_channels": 2}
    (tmp_path / "separator.json").write_text(json.dumps(common))
    (tmp_path / "vocals.json").write_text(json.dumps({"args": {"hidden_size": 16}}))
    (tmp_path / "vocals.pth").write_bytes(PLANTS[plant](Bomb(marker)))
    with pytest.raises(CheckpointError, match=r"vocals\.pth is damaged, or holds more than tensors"):
        find_model(str(tmp_path), method="open-unmix")
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:.*TorchScript", "ignore:.*torch.jit.script")
def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt is damaged, or holds more than tensors"):
        load(tmp_path / "x.pt")


# -- what there is -----------------------------------------------------------------------------------


def released() -> list[Model]:
    return [model for model in list_models() if not model.bundled]


@pytest.mark.parametrize("name", [entry["name"] for entry in tomllib.loads(catalogue.RELEASED.read_text())["model"]])
def test_every_released_model_says_what_it_is_and_where(name: str) -> None:
    (model,) = (model for model in released() if model.name == name)
    assert model.method in METHODS
    assert METHODS[model.method].has_model
    assert model.licence not in ("", "unknown")
    assert model.trained_on not in ("", "unknown")
    assert model.page.startswith("https://")
    assert model.parameters is not None
    assert model.parameters > 1e6
    assert model.sample_rate in (16000, 44100)
    assert model.channels in (1, 2)
    assert not model.installed
    sources = [file.source for file in model.files]
    assert sources == (list(model.sources) if model.method == "open-unmix" else ["all"])
    for file in model.files:
        assert file.url.startswith("https://")
        assert file.url.rpartition("/")[2] == file.name
        if model.method == "hybrid-demucs":
            assert file.sha256 == ""  # torchaudio publishes none
        else:
            assert re.fullmatch("[0-9a-f]{8}", file.sha256)
            assert file.sha256 in file.name


def test_names_of_models_are_unique() -> None:
    names = [model.name for model in list_models()]
    assert len(set(names)) == len(names)
    urls = [file.url for model in released() for file in model.files]
    assert len(set(urls)) == len(urls)


def test_the_table_agrees_with_what_was_gathered_from_upstream() -> None:
    if not FACTS.is_file():
        pytest.skip("the facts are not part of the project")
    facts = json.loads(FACTS.read_text())
    known = {model.name: model for model in released()}
    for name, entry in facts["open-unmix"].items():
        if name == "common":
            continue
        model = known[name]
        found = {
            file.source: {"url": file.url, "file": file.name, "sha256_prefix": file.sha256} for file in model.files
        }
        assert found == entry["files"]
        assert model.architecture == {
            "n_fft": entry["n_fft"],
            "hop_length": entry["n_hop"],
            "max_bin": entry["max_bin"],
            "hidden_size": entry["hidden_size"],
        }
        assert (model.sample_rate, model.channels) == (entry["sample_rate"], entry["nb_channels"])
        assert model.parameters == entry["params_per_target"] * len(entry["files"])
        assert str(entry["zenodo_record"]) in model.page
    v2 = facts["demucs"]["v2"]
    for name in ("demucs", "demucs48_hq", "demucs_extra"):
        (file,) = known[name].files
        assert file.sha256 == v2["sha256_prefix"][name]
        assert file.url == v2["root"] + v2["file_pattern"].format(name=name, sha256_prefix=file.sha256)
        assert list(known[name].sources) == facts["demucs"]["sources_order"]


def test_the_released_sizes_are_those_of_the_released_files() -> None:
    from torchaudio.models import hdemucs_high
    from torchaudio.pipelines import HDEMUCS_HIGH_MUSDB, HDEMUCS_HIGH_MUSDB_PLUS

    shapes = json.loads((GOLDEN / "demucs_v2_state_shapes.json").read_text())
    known = {model.name: model for model in released()}
    with torch.device("meta"):
        hybrid = hdemucs_high(["drums", "bass", "other", "vocals"])
    for model in known.values():
        if model.method == "demucs":
            entry = shapes[f"demucs v2, {model.architecture['channels']} channels"]
            assert model.parameters == entry["parameters"]
            assert list(model.sources) == entry["source_order"]
        if model.method == "hybrid-demucs":
            assert model.parameters == sum(parameter.numel() for parameter in hybrid.parameters())
            assert list(model.sources) == hybrid.sources
    for name, bundle in (("", HDEMUCS_HIGH_MUSDB), ("_plus", HDEMUCS_HIGH_MUSDB_PLUS)):
        model = known[f"hdemucs_high_musdb{name}"]
        assert model.files[0].url.endswith(f"/{bundle._model_path}")
        assert model.sample_rate == bundle.sample_rate


def test_the_bundled_models_come_first() -> None:
    bundled = [model.bundled for model in list_models()]
    assert bundled == sorted(bundled, reverse=True)
    for model in list_models()[: sum(bundled)]:
        assert model.installed
        assert verify_model(model) == []
        assert all(len(file.sha256) == 64 for file in model.files)
        assert model.licence not in ("", "unknown")
        assert model.trained_on not in ("", "unknown")
        assert all(model.path(file).stat().st_size < 10_000_000 for file in model.files), "a Space refuses it"
    assert {model.name for model in list_models() if model.bundled} == {"open-unmix-compact", "demucs-compact"}


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    assert {model.folder for model in released()} == {tmp_path / "mine" / "models" / m.name for m in released()}
    assert not (tmp_path / "mine").exists(), "looking makes nothing"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEPARATION_HOME", "~/somewhere")
    assert cache_dir() == tmp_path / "somewhere"
    for nothing in ("", None):
        if nothing is None:
            monkeypatch.delenv("SEPARATION_HOME")
        else:
            monkeypatch.setenv("SEPARATION_HOME", nothing)
        assert cache_dir() == tmp_path / ".cache" / "separation"
    monkeypatch.setenv("SEPARATION_HOME", "~no-such-user-here/x")
    with pytest.raises(CheckpointError, match=r"SEPARATION_HOME names .*'~no-such-user-here/x'"):
        list_models()


def test_a_model_that_cannot_be_had_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model or folder 'x'; the models for demucs are: demucs-compact, "):
        find_model("x", method="demucs")
    with pytest.raises(CheckpointError, match="umxl is a model for open-unmix, not for demucs"):
        find_model("umxl", method="demucs")
    with pytest.raises(CheckpointError, match=r"umxl is not installed; .*python -m separation models download umxl$"):
        find_model("umxl", method="open-unmix")
    with pytest.raises(CheckpointError, match=r"the folder 'empty' holds neither model\.json nor .* separator\.json"):
        (tmp_path / "empty").mkdir()
        find_model(str(tmp_path / "empty"), method="open-unmix")


@pytest.mark.parametrize("name", ["~no-such-user-here/model", "x" * 5000, "a\0b", "", "/dev/null", "."])
def test_a_name_that_can_be_no_folder_is_just_unknown(name: str) -> None:
    with pytest.raises(CheckpointError):
        find_model(name, method="open-unmix")


def test_an_incomplete_folder_names_what_is_missing(tmp_path: Path) -> None:
    description = {"name": "mine", "method": "demucs", "sources": ["vocals"], "sample_rate": 44100, "channels": 2}
    files = [{"source": "all", "name": "weights.safetensors"}]
    (tmp_path / "model.json").write_text(json.dumps(description | {"files": files}))
    with pytest.raises(CheckpointError, match=r"mine is incomplete: weights\.safetensors missing from its folder"):
        find_model(str(tmp_path), method="demucs")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    model = find_model(str(tmp_path), method="demucs")
    assert model.own
    assert not model.bundled
    assert model.folder == tmp_path
    assert model.files == (ModelFile(source="all", name="weights.safetensors"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": None}, "not usable"),
        ({"files": [{"name": "x"}]}, "not usable: .*source"),
        ({"files": [{"source": "all", "name": "x", "colour": "red"}]}, "not usable: .*colour"),
        ({"files": [{"source": "all", "name": 5}]}, "not usable"),
        ({"sources": 5}, "not usable"),
        ({"sources": [5]}, "not usable"),
        ({"name": None}, "not usable"),
        ({"sample_rate": "44100"}, "not usable"),
        ({"sample_rate": 0}, "not usable"),
        ({"channels": 1.5}, "not usable"),
        ({"colour": "red"}, "not usable: .*colour"),
        ({"method": "open-unmix"}, "mine is a model for open-unmix, not for demucs"),
    ],
)
def test_a_description_that_is_not_one_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    description = {"name": "mine", "method": "demucs", "sources": ["vocals"], "sample_rate": 44100, "channels": 2}
    files = [{"source": "all", "name": "weights.safetensors"}]
    (tmp_path / "model.json").write_text(json.dumps(description | {"files": files} | change))
    with pytest.raises(CheckpointError, match=message):
        find_model(str(tmp_path), method="demucs")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"name": "x"}', b"[" * 100_000])
def test_a_description_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(CheckpointError):
        find_model(str(tmp_path), method="demucs")


# -- the command line --------------------------------------------------------------------------------


@pytest.fixture
def table(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """A project with one released model, served here, and one bundled; returns the released one's folder."""
    (tmp_path / "released.toml").write_text(
        "[[model]]\n"
        'name = "tiny"\nmethod = "demucs"\nsources = ["vocals"]\nsample_rate = 44100\nchannels = 2\n'
        'licence = "for tests only"\ntrained_on = "noise"\npage = "https://example.org"\nparameters = 10\n'
        f'files = [{{ source = "all", name = "tiny.pth", url = "{server.url}/tiny.pth", sha256 = "{SHA256[:8]}" }}]\n'
    )
    folder = tmp_path / "bundled" / "compact"
    folder.mkdir(parents=True)
    (folder / "x.safetensors").write_bytes(b"weights")
    description = {"name": "compact", "method": "open-unmix", "sources": ["vocals"], "sample_rate": 8000, "channels": 1}
    files = [{"source": "vocals", "name": "x.safetensors", "sha256": hashlib.sha256(b"weights").hexdigest()}]
    (folder / "model.json").write_text(json.dumps(description | {"files": files, "licence": "CC0"}))
    monkeypatch.setattr(catalogue, "RELEASED", tmp_path / "released.toml")
    monkeypatch.setattr(catalogue, "BUNDLED", tmp_path / "bundled")
    return own_cache / "models" / "tiny"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


FIELDS = {"name", "method", "sources", "sample_rate", "installed", "bundled", "bytes", "licence", "trained_on", "files"}


@pytest.mark.parametrize("arguments", [("list", "--json"), ("--json",)])
def test_the_list_as_a_document(table: Path, server: Server, arguments: tuple[str, ...]) -> None:
    code, output, _ = run(*arguments)
    document = json.loads(output)
    assert code == 0
    assert set(document) == {"models"}
    bundled, released = document["models"]
    assert set(bundled) >= FIELDS
    assert set(released) >= FIELDS
    assert {key: bundled[key] for key in FIELDS} == {
        "name": "compact",
        "method": "open-unmix",
        "sources": ["vocals"],
        "sample_rate": 8000,
        "installed": True,
        "bundled": True,
        "bytes": 7,
        "licence": "CC0",
        "trained_on": "unknown",
        "files": [{"name": "x.safetensors", "url": "", "sha256": hashlib.sha256(b"weights").hexdigest()}],
    }
    assert {key: released[key] for key in FIELDS} == {
        "name": "tiny",
        "method": "demucs",
        "sources": ["vocals"],
        "sample_rate": 44100,
        "installed": False,
        "bundled": False,
        "bytes": None,
        "licence": "for tests only",
        "trained_on": "noise",
        "files": [{"name": "tiny.pth", "url": f"{server.url}/tiny.pth", "sha256": SHA256[:8]}],
    }


def test_the_real_list_as_a_document() -> None:
    code, output, _ = run("list", "--json")
    assert code == 0
    documents = json.loads(output)["models"]
    assert [document["name"] for document in documents] == [model.name for model in list_models()]
    for document in documents:
        assert set(document) >= FIELDS
        assert all(set(file) == {"name", "url", "sha256"} for file in document["files"])


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_the_list_for_people_tells_the_terms(table: Path, arguments: tuple[str, ...]) -> None:
    code, output, _ = run(*arguments)
    assert code == 0
    bundled, released = output.splitlines()
    assert re.match(r"compact +open-unmix +bundled .*licence: CC0", bundled)
    assert re.match(r"tiny +demucs +to be had .*trained on noise; licence: for tests only", released)


def test_downloading_by_command(table: Path, server: Server) -> None:
    code, output, said = run("download", "tiny", "--json")
    assert code == 0
    document = json.loads(output)
    (model,) = document["models"]
    assert model["installed"] is True
    assert model["bytes"] == len(CONTENT)
    assert document["downloaded"] == ["tiny.pth"]
    assert "licence: for tests only; trained on noise" in said
    assert "tiny is installed" in said
    assert (table / "tiny.pth").read_bytes() == CONTENT
    server.requests.clear()
    code, output, said = run("download", "tiny")
    assert (code, output) == (0, "")
    assert "tiny is already installed" in said
    assert server.requests == []


def test_a_download_that_fails_is_one_line_and_exit_code_2(table: Path, server: Server) -> None:
    for arguments, message in (
        (("download", "nothing"), "error: no model 'nothing'; there are compact, tiny\n"),
        (("download", "compact"), "error: compact is not downloaded: it is already here\n"),
    ):
        code, output, said = run(*arguments)
        assert (code, output) == (2, "")
        assert said.endswith(message)
        assert said.count("error:") == 1
    server.files.clear()
    code, output, said = run("download", "tiny", "--json")
    assert (code, output) == (2, "")
    assert said.splitlines()[-1] == "error: cannot download tiny.pth: the server answers 404 (Not Found)"
    assert "Traceback" not in said
    assert run("download")[0] == 2
    assert run("conjure", "tiny")[0] == 2


def test_verifying_by_command(table: Path) -> None:
    code, output, said = run("verify", "--json")
    assert code == 0
    assert json.loads(output) == {"models": [{"name": "compact", "problems": []}]}
    assert run("download", "tiny")[0] == 0
    code, output, said = run("verify")
    assert (code, said) == (0, "")
    assert output.splitlines() == ["compact: whole", "tiny: whole"]
    path = table / "tiny.pth"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    code, output, said = run("verify", "--json")
    assert code == 1
    fine, damaged = json.loads(output)["models"]
    assert fine == {"name": "compact", "problems": []}
    assert damaged["name"] == "tiny"
    assert len(damaged["problems"]) == 1
    assert "tiny.pth has the hash" in damaged["problems"][0]
    assert run("download", "tiny")[0] == 0
    assert run("verify")[0] == 0


def test_a_broken_bundled_model_is_an_error_for_its_user(table: Path) -> None:
    (catalogue.BUNDLED / "compact" / "model.json").write_text("{")
    for arguments in (("list",), ("verify",), ("download", "tiny")):
        code, output, said = run(*arguments)
        assert (code, output) == (2, "")
        assert "error: model.json in 'compact' cannot be read" in said


def test_the_archives_of_torch_carry_sums() -> None:
    """What a file without a published hash is checked by."""
    with zipfile.ZipFile(io.BytesIO(torch_file())) as archive:
        assert all(entry.CRC for entry in archive.infolist() if entry.file_size)
