"""Playing zoomed in keeps the page smooth; ``make benchmarks ONLY=studio`` reports the figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.benchmarks.smoothness import LONGEST_TASK, play_zoomed
from tests.studio.browser import PATIENCE_FACTOR, choose, open_page, separate, upload, wait_for
from tests.studio.server import CHROMIUM, Server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]

#: Keeps the page's main thread busy for 0.6 s in every second.
BLOCK = "setInterval(() => { for (const began = performance.now(); performance.now() < began + 600; ); }, 1000)"


@pytest.mark.slow  # plays in real time; tests/player/frame_queue.test.mjs bounds the drawing of a frame
def test_no_task_is_long_while_zoomed_parts_are_played(
    browser: Browser, visitor: BrowserContext, server: Server, long_song: Path
) -> None:
    with open_page(visitor, server.url) as page:
        upload(page, long_song)
        choose(page, "Open-Unmix")
        separate(page)
        wait_for(page, "Done.*1 of 1 methods")
        for shown in (8.0, 2.0):  # seconds from edge to edge
            measured = play_zoomed(browser, page, shown=shown)
            assert measured.pages_turned >= 1
            assert measured.longest_work < LONGEST_TASK * PATIENCE_FACTOR, measured.what
        page.evaluate(BLOCK)
        assert play_zoomed(browser, page, shown=2.0, seconds=4.0).longest_work > LONGEST_TASK, "it would be noticed"
