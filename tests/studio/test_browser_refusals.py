"""What the server refuses, in Chromium: each is told at its field, where it can be seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

from tests.conftest import SAMPLES
from tests.studio.browser import choose, excerpt, open_page, upload, upload_stems
from tests.studio.server import CHROMIUM, Server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]

SONG = SAMPLES / "night-drive" / "mixture.flac"


#: A phone shows least of the page; a desktop is left to the slow tests.
WIDTHS = [390, pytest.param(1280, marks=pytest.mark.slow)]


@pytest.fixture(params=WIDTHS)
def sized(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[Page]:
    """An empty form on a phone and at a desktop."""
    with open_page(browser, server.url, viewport={"width": request.param, "height": 844}) as page:
        yield page


def expect_told(page: Page, field: str, words: str) -> None:
    """Expect one message in view, at a field that has the focus."""
    error = page.locator(f"#{field} .field-error:visible")
    expect(error).to_have_text(re.compile(words))
    expect(error).to_be_in_viewport()
    page.wait_for_function(f"document.getElementById('{field}').contains(document.activeElement)")
    expect(page.locator(".field-error:visible")).to_have_count(1)


def test_a_bad_file_is_told_when_it_is_dropped_and_when_it_is_sent(sized: Page, tmp_path: Path) -> None:
    notes = tmp_path / "notes.mp3"
    notes.write_bytes(b"these are my notes, not a song" * 20)
    upload(sized, notes)
    expect_told(sized, "song", "cannot read 'notes.mp3'")
    choose(sized, "Mixture ÷ 4")  # which takes the message away
    expect(sized.locator(".field-error:visible")).to_have_count(0)
    for _ in range(2):  # also the second time
        sized.click("#separate")
        expect_told(sized, "song", "cannot read 'notes.mp3'")


def test_an_excerpt_that_is_not_there_is_told_in_its_accordion(sized: Page) -> None:
    upload(sized, SONG)
    choose(sized, "Mixture ÷ 4")
    for start, length, field, words in ((500, 0, "start", "starts at 500 s"), (0, 0.01, "length", "at least 0.1 s")):
        excerpt(sized, start, length)
        sized.locator("#advanced").get_by_role("button").first.click()
        expect(sized.locator("#start")).to_be_hidden()
        sized.click("#separate")
        expect_told(sized, field, words)


def test_sources_that_do_not_fit_are_told_at_their_field(sized: Page, tmp_path: Path) -> None:
    """Only decoding shows it, when the job has begun and the form is folded."""
    soundfile.write(tmp_path / "vocals.wav", np.full((44100, 2), 0.1), 44100)
    upload(sized, SONG)
    upload_stems(sized, "#references", tmp_path / "vocals.wav")
    choose(sized, "Mixture ÷ 4")
    sized.click("#separate")
    expect_told(sized, "references", "The true sources are 9.60 s shorter than the song")


@pytest.mark.parametrize("field", ["#upload", "#references"])
def test_a_file_that_is_too_large_is_told_before_its_upload(page: Page, field: str) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/upload" in request.url else None)
    page.evaluate("document.querySelector('.drop').dataset.bytes = 100_000")
    if field == "#references":
        page.locator("#own").get_by_role("button").first.click()
    page.set_input_files(f"{field} input[type=file]", [SONG])
    expect_told(
        page, field.replace("#upload", "song").strip("#"), r"'mixture.flac': it has \d.\d MB; the limit is 0.1 MB"
    )
    assert sent == []


def test_a_song_that_is_too_long_is_told_while_it_is_uploaded(page: Page) -> None:
    page.evaluate("document.querySelector('.drop').dataset.seconds = 6")
    page.route("**/upload?*", lambda route: None)  # held
    page.set_input_files("#upload input[type=file]", [SONG])
    expect_told(page, "song", "it lasts longer than 0.1 min, the limit: choose an excerpt")
    expect(page.locator(".drop-uploading")).to_contain_text("mixture.flac")
    page.unroute("**/upload?*")
    expect(page.locator(".drop-chosen time")).to_have_text("0:11")  # an excerpt of it can be separated


def test_with_all_places_taken_the_page_says_so_instead_of_doing_nothing(page: Page) -> None:
    page.evaluate("document.querySelector('#separate').disabled = true")  # as the server does it
    expect(page.locator("#action")).to_contain_text("All your places in the queue are taken")
    card = page.get_by_role("button", name="Separate Night drive")
    expect(card).to_be_disabled()
    expect(card).to_have_accessible_description(re.compile("All your places"))
    card.click(force=True)
    expect(page.locator("#places")).to_be_in_viewport()
    page.evaluate("document.querySelector('#separate').disabled = false")
    expect(card).to_be_enabled()
    expect(page.locator("#choice strong")).to_be_empty()
    expect(page.locator("#places")).to_be_empty()


def test_what_belongs_to_no_field_brings_the_status_into_view(sized: Page) -> None:
    upload(sized, SONG)
    choose(sized, "Mixture ÷ 4")
    sized.evaluate(
        """document.querySelector("#status").innerHTML = `<div class="work refused">the queue is full
             <p class="refusal" hidden data-field="" data-key="1">the queue is full</p></div>`"""
    )
    expect(sized.locator("#status .work")).to_be_in_viewport()
    expect(sized.locator("#status")).to_be_focused()
