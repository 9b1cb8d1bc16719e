"""How the studio looks and where its controls lead, in Chromium: one transport, colours, touch targets, mirroring."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import SAMPLES
from tests.studio.browser import choose, separate, upload, wait_for
from tests.studio.server import CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]

SONG = SAMPLES / "night-drive" / "mixture.flac"

#: Remember every media element that the page plays: Gradio's are outside the document.
LISTEN = """window.media = new Set();
  const { play } = HTMLMediaElement.prototype;
  HTMLMediaElement.prototype.play = function () { window.media.add(this); return play.call(this); };"""


def test_the_bar_is_the_only_player_of_an_upload(page: Page) -> None:
    page.add_init_script(LISTEN)
    page.reload()
    page.wait_for_function("document.body.dataset.stage")
    upload(page, SONG)
    song = page.locator("#upload")
    expect(song.get_by_label("Clear")).to_be_visible()
    expect(song.locator("#duration")).to_have_text("0:11")
    expect(song.locator(".component-wrapper")).to_have_attribute("data-song", "mixture.flac")
    expect(song.locator(".play-pause-button")).to_be_hidden()
    expect(song.locator("#waveform")).to_be_hidden()
    song.locator(".play-pause-button").dispatch_event("click")  # as if something played it
    page.wait_for_function("[...window.media].some((one) => !one.paused)")
    choose(page, "Mixture ÷ 4")
    separate(page)
    wait_for(page, "Done.*1 of 1 methods")
    assert page.evaluate("[...window.media].every((one) => one.paused)")
    page.click("#change")
    song.locator(".play-pause-button").dispatch_event("click")
    page.wait_for_function("[...window.media].some((one) => !one.paused)")
    page.click("#dock-play")
    page.wait_for_function("document.querySelector('stem-player[view=stems]').engine.playing")
    assert page.evaluate("[...window.media].every((one) => one.paused)")
    song.get_by_label("Clear").click()
    expect(song.locator("input[type=file]")).to_be_attached()
    expect(song.locator(".component-wrapper")).to_have_count(0)
