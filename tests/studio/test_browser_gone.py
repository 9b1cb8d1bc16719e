"""Results that end while their page is open, and lost connections, in Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import SAMPLES
from tests.studio.browser import choose, open_page, player, separate, upload, wait_for
from tests.studio.server import CHROMIUM, Server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]


@pytest.fixture
def own_context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor with an empty cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


def make_result(page: Page) -> str:
    """Separate a song quickly and return the token of the result."""
    upload(page, SAMPLES / "night-drive" / "mixture.flac")
    choose(page, "Mixture ÷ 4")
    separate(page)
    wait_for(page, "Done")
    return page.url.partition("result=")[2].partition("&")[0]


def test_a_result_that_was_removed_says_so_and_leaves_the_bar_and_the_address(
    own_context: BrowserContext, server: Server
) -> None:
    with open_page(own_context, server.url) as page:
        token = make_result(page)
        expect(page.locator(".stem-dock")).to_be_visible()
        shutil.rmtree(next(server.folder.glob(f"stemscope-*/{token}")))
        player(page, "[...p.engine.tracks.values()].map((track) => track.pieces.clear())")
        page.locator("#dock-play").click()
        expect(page.locator("#status")).to_contain_text("This result no longer exists")
        expect(page.locator("#status")).not_to_contain_text("Done")
        expect(page.locator("stem-player, .stem-dock")).to_have_count(0)
        expect(page.locator("#history li")).to_have_count(0)
        page.wait_for_url(lambda url: "result=" not in url)


def test_a_lost_connection_is_told_and_playback_goes_on_when_it_is_back(
    own_context: BrowserContext, server: Server
) -> None:
    with open_page(own_context, server.url) as page:
        make_result(page)
        player(page, "[...p.engine.tracks.values()].map((track) => track.pieces.clear())")
        own_context.set_offline(True)
        page.locator("#dock-play").click()  # the promise of toggle() waits for the connection
        expect(page.locator("stem-player .gone")).to_contain_text("No connection to the server")
        expect(page.locator(".stem-dock .title")).to_have_text("No connection")
        assert player(page, "p.seconds") == 0, "nothing is played as silence"
        own_context.set_offline(False)
        page.wait_for_function("document.querySelector('stem-player').seconds > 0.5")
        expect(page.locator("stem-player .gone")).to_have_count(0)
