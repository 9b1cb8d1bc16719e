"""Downloads are retried while the failure may be temporary, with pauses."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from types import SimpleNamespace
from typing import Any

import pytest

from separation.weights import download
from separation.weights.download import download_model
from separation.weights.model import Model
from separation.weights.state_dict import CheckpointError
from tests.weights.helpers import Handler, Server, fail_with, send_all


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds slept between attempts, without sleeping."""
    slept: list[float] = []
    monkeypatch.setattr(download, "ATTEMPTS", 4)
    monkeypatch.setattr(download, "PAUSE", 1.0)
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=slept.append, time=time.time))
    return slept


@pytest.mark.parametrize(("code", "requests"), [(503, 4), (408, 4), (429, 4), (403, 1), (404, 1), (410, 1)])
def test_only_temporary_errors_are_retried(
    tiny: Model, server: Server, pauses: list[float], code: int, requests: int
) -> None:
    server.behave = fail_with(code)
    with pytest.raises(CheckpointError, match=f"the server answers {code}"):
        download_model(tiny)
    assert len(server.requests) == requests
    assert pauses == [1.0, 2.0, 4.0][: requests - 1]


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("86400", download.MAX_PAUSE),
        ("Wed, 01 Jan 2200 00:00:00 GMT", download.MAX_PAUSE),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 1.0),
        ("soon", 1.0),
        ("", 1.0),
    ],
)
def test_the_pause_that_a_server_asks_for_is_kept(
    tiny: Model, server: Server, pauses: list[float], asked: str, pause: float
) -> None:
    def refuse_once(handler: Handler, content: bytes, first: int, partial: bool) -> None:
        server.behave = send_all
        handler.send_response(429)
        handler.send_header("Retry-After", asked)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.behave = refuse_once
    assert download_model(tiny) == ["tiny.pth"]
    assert pauses == [pause]


def test_an_unreachable_network_is_tried_again(
    tiny: Model, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, failures = (
        urllib.request.urlopen,
        [socket.gaierror(-3, "name resolution failed"), TimeoutError("timed out")],
    )

    def unreliable(*arguments: Any, **more: Any) -> Any:
        if failures:
            raise urllib.error.URLError(failures.pop())
        return connect(*arguments, **more)

    monkeypatch.setattr("urllib.request.urlopen", unreliable)
    assert download_model(tiny) == ["tiny.pth"]
    assert pauses == [1.0, 2.0]


def test_a_wrong_address_is_not_tried_again(tiny: Model, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPARATION_MODELS_URL", "no-such-scheme://x")
    with pytest.raises(CheckpointError, match="unknown url type"):
        download_model(tiny)
    assert pauses == []
