"""The sample set of MUSDB18 is downloaded once, and completely."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from separation.datasets.sample_set import download_sample_set, sample_set_folder
from separation.weights import download
from tests.weights.helpers import Server, serving

PATH = "/MUSDB18-7-STEMS.zip"
FILES = {
    "MUSDB18-7-STEMS/train/A - One.stem.mp4": b"one" * 1000,
    "test/B - Two.stem.mp4": b"two" * 1000,
    "../../test/C - Outside.stem.mp4": b"three",
    "__MACOSX/test/._B - Two.stem.mp4": b"not a track",
    "README.txt": b"not a track",
}


def archive(files: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return content.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with serving() as server:
        server.files[PATH] = archive(FILES)
        monkeypatch.setenv("STEMSCOPE_SAMPLE_SET_URL", f"{server.url}{PATH}")
        yield server


def test_the_set_is_unpacked_into_the_cache_folder(server: Server, own_cache: Path) -> None:
    assert sample_set_folder() is None
    heard: list[int] = []
    folder = download_sample_set(lambda name, received, total: heard.append(received))
    assert heard[-1] == len(server.files[PATH])
    assert sample_set_folder() == folder
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.mp4")} == {
        "train/A - One.stem.mp4": FILES["MUSDB18-7-STEMS/train/A - One.stem.mp4"],
        "test/B - Two.stem.mp4": FILES["test/B - Two.stem.mp4"],
        "test/C - Outside.stem.mp4": b"three",  # inside the folder, whatever the archive says
    }
    assert not [path for path in own_cache.rglob("*") if path.suffix in (".part", ".zip")]


def test_it_is_not_downloaded_twice(server: Server) -> None:
    folder = download_sample_set()
    assert download_sample_set(lambda *_: pytest.fail("downloaded again")) == folder


@pytest.mark.parametrize("kind", ["no archive", "damaged content"])
def test_a_damaged_archive_is_refused_and_the_next_try_begins_again(server: Server, kind: str) -> None:
    whole = server.files[PATH]
    damaged = bytearray(archive({"test/B - Two.stem.mp4": b"two" * 1000}, zipfile.ZIP_DEFLATED))
    damaged[52:60] = b"\xff" * 8  # the compressed data
    server.files[PATH] = bytes(damaged) if kind == "damaged content" else b"no archive" * 100
    with pytest.raises(ValueError, match="the downloaded sample set is damaged"):
        download_sample_set()
    assert sample_set_folder() is None
    server.files[PATH] = whole
    assert download_sample_set().is_dir()


def test_an_archive_without_tracks_is_refused(server: Server) -> None:
    server.files[PATH] = archive({"README.txt": b"nothing"})
    with pytest.raises(ValueError, match="damaged"):
        download_sample_set()


def test_a_server_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    monkeypatch.setenv("STEMSCOPE_SAMPLE_SET_URL", "http://127.0.0.1:9/set.zip")
    with pytest.raises(ValueError, match=r"cannot download .*try again"):
        download_sample_set()
