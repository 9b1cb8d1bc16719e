"""Downloads resume, are verified, and never leave a broken file."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from separation.weights import download
from separation.weights.download import download_model, verify_model
from separation.weights.model import Model, ModelFile
from separation.weights.state_dict import CheckpointError
from tests.conftest import ROOT
from tests.weights.helpers import (
    CONTENT,
    SHA256,
    Handler,
    Server,
    fail_with,
    make_model,
    send_all,
    torch_file,
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


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


def unhashed(model: Model) -> Model:
    """The same without a published hash."""
    file = model.files[0]
    return make_model(model.folder, ModelFile(source="all", name=file.name, url=file.url))


@pytest.fixture(autouse=True)
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report the first failure, so that each can be tested."""
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    monkeypatch.setattr(download, "PAUSE", 0.0)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """The connections that are made, in turn."""
    made: list[socket.socket] = []
    connect = socket.create_connection

    def record(*arguments: Any, **options: Any) -> socket.socket:
        made.append(connect(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(socket, "create_connection", record)
    return made


def part_of(model: Model) -> Path:
    return model.folder / "tiny.pth.part"


def test_a_download_is_complete_and_reports_progress(tiny: Model, server: Server) -> None:
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


def test_installed_files_are_not_downloaded_again(tiny: Model, server: Server) -> None:
    download_model(tiny)
    server.requests.clear()
    assert download_model(tiny) == []
    assert server.requests == []


def test_complete_files_are_kept_when_a_later_file_fails(server: Server, tmp_path: Path) -> None:
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
    model = make_model(tmp_path, *files)
    with pytest.raises(CheckpointError, match=r"drums\.pth: the server answers 404"):
        download_model(model)
    assert names_in(tmp_path) == ["vocals.pth"]
    assert not model.installed
    server.files["/drums.pth"] = contents["drums.pth"]
    server.requests.clear()
    assert download_model(model) == ["drums.pth", "bass.pth"]
    assert [path for path, _ in server.requests] == ["/drums.pth", "/bass.pth"]
    assert all((tmp_path / name).read_bytes() == content for name, content in contents.items())


def test_a_server_without_content_length(tiny: Model, server: Server) -> None:
    server.tells_length = False
    heard: list[tuple[str, int, int | None]] = []
    assert download_model(tiny, lambda *news: heard.append(news)) == ["tiny.pth"]
    assert heard[-1] == ("tiny.pth", len(CONTENT), None)
    (tiny.folder / "tiny.pth").unlink()
    server.behave = send_only(1000)  # nothing but the hash can tell
    with pytest.raises(CheckpointError, match="discarded the download"):
        download_model(tiny)
    assert names_in(tiny.folder) == []


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_a_mirror_stores_all_files_in_one_folder(
    tiny: Model, server: Server, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    server.files = {"/some/mirror/tiny.pth": CONTENT}
    monkeypatch.setenv("SEPARATION_MODELS_URL", f"{server.url}/some/mirror{slash}")
    model = make_model(tiny.folder, ModelFile(source="all", name="tiny.pth", url="http://127.0.0.1:1/x", sha256=SHA256))
    assert download_model(model) == ["tiny.pth"]
    assert server.requests == [("/some/mirror/tiny.pth", None)]


def test_a_damaged_file_is_downloaded_again(tiny: Model) -> None:
    tiny.folder.mkdir(parents=True)
    path = tiny.folder / "tiny.pth"
    for wrong in (b"", CONTENT[:-1], b"x" + CONTENT[1:], CONTENT + b"x"):
        path.write_bytes(wrong)
        assert len(verify_model(tiny)) == 1
        assert download_model(tiny) == ["tiny.pth"]
        assert path.read_bytes() == CONTENT


def test_without_a_published_hash_the_checksums_of_the_archive_are_verified(tiny: Model, server: Server) -> None:
    model = unhashed(tiny)
    server.files["/tiny.pth"] = b"<html>not found</html>"
    with pytest.raises(
        CheckpointError, match=r"discarded the download of tiny\.pth \(tiny\.pth is not a complete weights file\)"
    ):
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
def test_models_that_are_not_released_are_refused(tmp_path: Path, kind: str) -> None:
    model = make_model(tmp_path, ModelFile(source="all", name="x.pth"), **{kind: True})
    with pytest.raises(CheckpointError, match="tiny needs no download: its files are bundled or your own"):
        download_model(model)


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (
            send_only(300_000),
            rf"the download of tiny\.pth ended after 300000 of {len(CONTENT)} bytes; try again",
        ),
        (send_and_die(300_000), r"cannot download tiny\.pth: the connection broke after 300000 bytes .*it will resume"),
        (send_and_wait(300_000), r"cannot download tiny\.pth: the connection broke after 300000 bytes \(.*timed out\)"),
    ],
    ids=["closed", "reset", "stalled"],
)
@pytest.mark.parametrize("published", [True, False], ids=["hash", "no hash"])
def test_an_interrupted_download_resumes(
    tiny: Model,
    server: Server,
    connections: list[socket.socket],
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
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    server.behave = behave

    def hear(name: str, done: int, total: int | None) -> None:
        if done == 300_000:  # all that comes
            server.arrived.set()
            if "timed out" in message:
                connections[-1].settimeout(0.1)

    began = time.monotonic()
    with pytest.raises(CheckpointError, match=message):
        download_model(model, hear)
    assert time.monotonic() - began < 25
    assert not model.installed
    assert part_of(model).read_bytes() == content[:300_000], "what had come is not lost"
    assert names_in(model.folder) == ["tiny.pth.part"]

    server.release.set()
    server.behave = send_all
    heard: list[tuple[str, int, int | None]] = []
    assert download_model(model, lambda *news: heard.append(news)) == ["tiny.pth"]
    assert server.requests == [("/tiny.pth", None), ("/tiny.pth", "bytes=300000-")]
    assert (model.folder / "tiny.pth").read_bytes() == content
    assert names_in(model.folder) == ["tiny.pth"]
    assert heard[0][1] > 300_000
    assert heard[-1] == ("tiny.pth", len(content), len(content))


def test_a_download_resumes_after_several_interruptions(tiny: Model, server: Server) -> None:
    server.behave = send_only(200_000)
    for came in (200_000, 400_000, 600_000):
        with pytest.raises(CheckpointError, match=f"ended after {came} of {len(CONTENT)} bytes"):
            download_model(tiny)
    assert download_model(tiny) == ["tiny.pth"]
    assert [asked for _, asked in server.requests] == [None, "bytes=200000-", "bytes=400000-", "bytes=600000-"]
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT


def test_a_broken_connection_is_resumed_without_asking(
    tiny: Model, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ATTEMPTS", 4)
    server.behave = send_only(200_000)
    assert download_model(tiny) == ["tiny.pth"]
    assert [asked for _, asked in server.requests] == [None, "bytes=200000-", "bytes=400000-", "bytes=600000-"]


def test_a_server_that_cannot_resume_starts_over(tiny: Model, server: Server) -> None:
    server.ranges = False
    tiny.folder.mkdir(parents=True)
    part_of(tiny).write_bytes(CONTENT[:300_000])
    heard: list[tuple[str, int, int | None]] = []
    assert download_model(tiny, lambda *news: heard.append(news)) == ["tiny.pth"]
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT
    assert heard[0][1] < 300_000
    assert heard[-1] == ("tiny.pth", len(CONTENT), len(CONTENT))


def test_a_cancelled_download_resumes_later(tiny: Model, server: Server) -> None:
    def stop(name: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_model(tiny, stop)
    came = part_of(tiny).stat().st_size
    assert 0 < came < len(CONTENT)
    assert download_model(tiny) == ["tiny.pth"]
    assert server.requests[1] == ("/tiny.pth", f"bytes={came}-")
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT


def test_a_server_that_never_answers_times_out(tiny: Model, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.behave = send_and_wait(None)
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: .*timed out; check the network"):
        download_model(tiny)
    assert time.monotonic() - began < 25
    assert names_in(tiny.folder) == []


@pytest.mark.parametrize("code", [401, 403, 404, 410, 429, 500, 503])
def test_an_http_error_is_reported(tiny: Model, server: Server, code: int) -> None:
    server.behave = fail_with(code)
    with pytest.raises(CheckpointError, match=rf"cannot download tiny\.pth: the server answers {code} \(\w"):
        download_model(tiny)
    assert names_in(tiny.folder) == []


def test_an_http_error_keeps_the_partial_download(tiny: Model, server: Server) -> None:
    tiny.folder.mkdir(parents=True)
    part_of(tiny).write_bytes(CONTENT[:1000])
    server.behave = fail_with(503)
    with pytest.raises(CheckpointError, match="503"):
        download_model(tiny)
    assert part_of(tiny).read_bytes() == CONTENT[:1000]


def test_an_unreachable_server_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/tiny.pth"
    model = make_model(tmp_path, ModelFile(source="all", name="tiny.pth", url=url, sha256=SHA256))
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: .*refused; check the network"):
        download_model(model)
    assert names_in(tmp_path) == []


def test_a_server_that_does_not_speak_http_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
                download_model(make_model(tmp_path, ModelFile(source="all", name="tiny.pth", url=url)))
            thread.join()


def test_a_failure_of_the_connection_is_not_blamed_on_the_disk(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the answer, urllib passes the socket's errors on as they are."""

    def fail(*arguments: Any, **more: Any) -> None:
        raise OSError(113, "No route to host")

    monkeypatch.setattr("http.client.HTTPConnection.getresponse", fail)
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: .*No route to host.*check the network"):
        download_model(tiny)


def test_a_file_with_a_wrong_hash_is_deleted(tiny: Model, server: Server) -> None:
    server.files["/tiny.pth"] = b"x" + CONTENT[1:]
    with pytest.raises(
        CheckpointError,
        match=rf"discarded the download of tiny\.pth \(tiny\.pth has the hash \w{{8}}, not {SHA256[:8]}",
    ):
        download_model(tiny)
    assert names_in(tiny.folder) == [], "nothing of it may stay"
    server.files["/tiny.pth"] = CONTENT
    assert download_model(tiny) == ["tiny.pth"]


def test_a_damaged_partial_download_is_deleted(tiny: Model, server: Server) -> None:
    tiny.folder.mkdir(parents=True)
    part_of(tiny).write_bytes(b"x" * 1000)
    with pytest.raises(CheckpointError, match="discarded the download"):
        download_model(tiny)
    assert names_in(tiny.folder) == []
    assert download_model(tiny) == ["tiny.pth"]
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_complete_partial_download_is_used(tiny: Model, server: Server, tells_length: bool) -> None:
    server.tells_length = tells_length
    tiny.folder.mkdir(parents=True)
    part_of(tiny).write_bytes(CONTENT)
    assert download_model(tiny) == ["tiny.pth"]
    assert names_in(tiny.folder) == ["tiny.pth"]
    assert (tiny.folder / "tiny.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("published", [True, False], ids=["hash", "no hash"])
def test_a_partial_download_that_is_too_long_is_deleted(tiny: Model, server: Server, published: bool) -> None:
    model = tiny if published else unhashed(tiny)
    whole = server.files["/tiny.pth"] = CONTENT if published else torch_file()
    model.folder.mkdir(parents=True)
    part_of(model).write_bytes(whole + b"and more")  # which a zip archive would bear
    with pytest.raises(CheckpointError, match=r"discarded the download of tiny\.pth"):
        download_model(model)
    assert names_in(model.folder) == []
    assert download_model(model) == ["tiny.pth"]
    assert (model.folder / "tiny.pth").read_bytes() == whole


def test_safetensors_without_a_hash_are_checked_by_length(tiny: Model, server: Server) -> None:
    file = ModelFile(source="vocals", name="tiny.safetensors", url=f"{server.url}/tiny.safetensors")
    model = replace(tiny, files=(file,))
    whole = save({"weight": torch.ones(8)})
    for wrong in (whole[:-1], whole + b"more", b"<html>no such page</html>"):
        server.files["/tiny.safetensors"] = wrong
        with pytest.raises(CheckpointError, match=r"tiny\.safetensors is not a complete weights file"):
            download_model(model)
        assert names_in(model.folder) == []
    server.files["/tiny.safetensors"] = whole
    assert download_model(model) == ["tiny.safetensors"]
    assert verify_model(model) == []
    model.path(file).write_bytes(whole[:-1])
    assert verify_model(model) == ["tiny.safetensors is not a complete weights file"]


@pytest.mark.parametrize("mirror", ["not an address", "mirror/models", "http://[::1", "no-such-scheme://x"])
def test_a_mirror_that_is_not_a_url_is_refused(tiny: Model, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("SEPARATION_MODELS_URL", mirror)
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: .*(SEPARATION_MODELS_URL|unknown url type)"):
        download_model(tiny)
    assert names_in(tiny.folder) == []


@pytest.mark.parametrize("mirror", ["http://", "https:///x", "http://a b/", "http://127.0.0.1:99999", "http://x:y/"])
def test_a_mirror_with_an_incomplete_url_is_refused(tiny: Model, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("SEPARATION_MODELS_URL", mirror)
    with pytest.raises(CheckpointError, match=r"cannot download tiny\.pth: "):
        download_model(tiny)
    assert names_in(tiny.folder) == []


def test_concurrent_downloads_of_one_model_are_refused(tiny: Model, server: Server) -> None:
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


def test_the_download_lock_works_across_processes_and_ends_with_them(tiny: Model, server: Server) -> None:
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


def test_a_file_just_downloaded_by_another_process_is_used(
    tiny: Model, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(download.FileLock):
        def acquire(self, *arguments: Any, **more: Any) -> Any:
            (tiny.folder / "tiny.pth").write_bytes(CONTENT)
            return super().acquire(*arguments, **more)

    monkeypatch.setattr(download, "FileLock", Late)
    assert download_model(tiny) == []
    assert server.requests == []


def test_a_read_only_cache_folder_is_reported(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        download_model(make_model(tmp_path / "other", *tiny.files))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_reported(tiny: Model) -> None:
    tiny.folder.mkdir(parents=True)
    part_of(tiny).symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"cannot store tiny\.pth in the cache folder: No space left on device"):
        download_model(tiny)
    assert not tiny.installed
