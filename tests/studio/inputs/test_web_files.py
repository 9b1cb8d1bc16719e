"""Files given by their web address."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import pytest
import safehttpx

from separation.audio.limits import Limits
from separation.studio.inputs import web_files
from separation.studio.inputs.web_files import api_file, fetch

T = TypeVar("T")
SONG = bytes(range(256)) * 4000  # 1 MB


class Site(BaseHTTPRequestHandler):
    """A site with a song, redirects to it and to a private address, and errors."""

    def do_GET(self) -> None:
        route = self.path.partition("?")[0]
        if route == "/endless.wav":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(SONG)
            except OSError:  # the other side has had enough
                return
        redirects = {"/moved": "/my%20song.wav?x=1", "/loop": "/loop", "/inside": "http://private.test/x.wav"}
        if route in redirects:
            self.send_response(302)
            self.send_header("Location", redirects[route])
            self.end_headers()
            return
        found = route == "/my%20song.wav"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(SONG) if found else 0))
        self.end_headers()
        self.wfile.write(SONG if found else b"")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the site, whose host counts as public."""

    async def validate(host: str) -> str:
        if host == "song.test":
            return "127.0.0.1"
        raise ValueError(f"Hostname {host} failed validation")

    monkeypatch.setattr(safehttpx, "async_validate_url", validate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://song.test:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread of its own: playwright keeps an event loop in the one of the tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


@pytest.mark.parametrize("route", ["/my%20song.wav", "/my%20song.wav?token=a/b"])
def test_a_file_is_stored_under_its_name(site: str, route: str, tmp_path: Path) -> None:
    path = run(fetch(site + route, tmp_path, 2e6))
    assert path.name == "my song.wav"
    assert path.read_bytes() == SONG
    assert path.parent.parent == tmp_path


def test_redirects_are_followed(site: str, tmp_path: Path) -> None:
    assert run(fetch(f"{site}/moved", tmp_path, 2e6)).read_bytes() == SONG


@pytest.mark.parametrize("route", ["/endless.wav", "/my%20song.wav"])
def test_a_file_over_the_limit_is_not_kept(site: str, route: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read '.*\.wav': the limit is 0.9 MB"):
        run(fetch(site + route, tmp_path, 0.9e6))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("route", ["/missing", "/loop", "/inside", "@", "/\0"])
def test_what_cannot_be_fetched_is_one_sentence(site: str, route: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot fetch '.*' from its web address$"):
        run(fetch(site + route, tmp_path, 2e6))
    assert not list(tmp_path.iterdir())


def test_a_host_that_takes_too_long_is_left(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_files, "SECONDS", 0.3)
    with pytest.raises(ValueError, match=r"cannot fetch 'endless\.wav'"):
        run(fetch(f"{site}/endless.wav", tmp_path, 1e15))
    assert not list(tmp_path.iterdir())


def test_a_programs_file_may_be_a_web_address(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = api_file("audio")
    file.GRADIO_CACHE = str(tmp_path)
    path = run(file.async_move_resource_to_block_cache(f"{site}/my%20song.wav"))
    assert path is not None
    assert Path(path).read_bytes() == SONG
    assert path in file.temp_files
    monkeypatch.setattr(web_files, "LIMITS", Limits(file_bytes=1e5))
    with pytest.raises(gr.Error, match=r"the limit is 0\.1 MB"):
        run(file.async_move_resource_to_block_cache(f"{site}/my%20song.wav"))
