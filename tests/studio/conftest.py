"""Fixtures of the studio's tests: a server, a browser, a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from separation.studio.inputs import songs
from separation.studio.inputs.request import SeparationRequest
from separation.studio.jobs import session
from separation.studio.jobs.queue import Ticket
from separation.studio.results import storage
from tests.conftest import SAMPLES
from tests.studio.browser import (
    LENGTH,
    PATIENCE,
    RENEW,
    START,
    choose,
    choose_sample,
    excerpt,
    lane_selector,
    open_page,
    separate,
    wait_for,
)
from tests.studio.mirrored import write_language
from tests.studio.server import CHROMIUM, Server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One studio for all tests that go through HTTP, since starting one takes as long as several tests.

    It has one language more than that of a user: one that reads from right to left.
    """
    more = write_language(tmp_path_factory.mktemp("languages"))
    with running(tmp_path_factory.mktemp("temporary"), quick=True, STEMSCOPE_LANGUAGES=str(more)) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def short_filters() -> Iterator[None]:
    """Score with filters of 16 taps: 512 take seconds per method, and tests/evaluation compares them with museval."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("separation.evaluation.projection.TAPS", 16)
        yield


@pytest.fixture
def own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of results for this test alone, and a queue that notices within 20 ms whose turn it is."""
    monkeypatch.setattr(Ticket.wait, "__defaults__", (0.02,))
    monkeypatch.setattr(storage, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(storage, "UPLOADS", tmp_path / "uploads")
    songs.musdb_tracks.cache_clear()
    yield tmp_path / "results"
    songs.musdb_tracks.cache_clear()


class Request:
    """The part of a visitor's request that handlers read."""

    def __init__(self, language: str = "en", **query: str) -> None:
        self.headers = {"accept-language": language}
        self.query_params = query
        self.session_hash = "somebody"


def short_song(seconds: float = 2.0, start: float = 2.0) -> songs.Song:
    return songs.open_song("sample", next(iter(songs.samples())), start=start, duration=seconds)


def run_session(song: songs.Song, *methods: str, **order: object) -> session.SessionUpdate:
    """Run a separation to its end and return the last update."""
    *_, last = session.separate_song(song, SeparationRequest(methods=methods, **order))  # type: ignore[arg-type]
    return last


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    arguments += ["--renderer-process-limit=1"]  # pages find the compiled scripts of those before them
    arguments += ["--autoplay-policy=no-user-gesture-required"]
    arguments += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # a microphone that beeps
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor at a desktop, whose browser keeps the page's scripts from one test to the next."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.new_page()  # without another page, opening one takes 0.5 s longer
    yield context
    context.close()


@pytest.fixture(scope="session")
def same_page(visitor: BrowserContext) -> Iterator[Callable[[str], open_page]]:
    """One page of each result, for tests that change nothing but its player: opening one takes 1.5 s of a core."""
    opened: dict[str, open_page] = {}

    def page_of(url: str) -> open_page:
        if url in opened:
            opened[url].page.bring_to_front()
            opened[url].page.evaluate(RENEW)
        else:
            opened[url] = open_page(visitor, url)
            opened[url].__enter__()
        return opened[url]

    yield page_of
    for one in opened.values():
        one.page.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, visitor: BrowserContext, server: Server) -> Iterator[Page]:
    """A page: of the result in tests that use `result` or `own_result`, of an empty form in others.

    It is a fresh one, except in tests that use `same_page`.
    """
    results = [name for name in ("result", "own_result") if name in request.fixturenames]
    url = request.getfixturevalue(results[0]) if results else server.url
    if "same_page" in request.fixturenames:
        opened = request.getfixturevalue("same_page")(url)
        _wait_for_player(opened.page)
        yield opened.page
        opened.check()
        return
    with open_page(visitor, url) as fresh:
        if results:
            _wait_for_player(fresh)
        yield fresh


def _wait_for_player(page: Page) -> None:
    page.wait_for_function(
        "(lane) => document.querySelector(lane)?.checkVisibility()", arg=lane_selector(page, "vocals")
    )


@pytest.fixture(scope="session")
def long_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of music: no network is done with it before a test acts."""
    sound, rate = soundfile.read(SAMPLES / "paper-boats" / "mixture.flac")
    path = tmp_path_factory.mktemp("long") / "long.flac"
    soundfile.write(path, np.tile(sound, (3, 1)), rate)
    return path


@pytest.fixture(scope="session")
def result(visitor: BrowserContext, server: Server) -> str:
    """The address of a page with a result of three methods on a sample, with scores."""
    with open_page(visitor, server.url) as page:
        choose_sample(page)
        choose(page, "Open-Unmix", "ICA", "Demucs")
        excerpt(page, START, LENGTH)
        separate(page)
        expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible(timeout=PATIENCE)  # before all is done
        wait_for(page, "Done.*3 of 3 methods")
        return page.url
