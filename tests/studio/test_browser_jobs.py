"""Jobs in Chromium: reloads, several tabs, and a server that dies."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import SAMPLES
from tests.studio.browser import (
    SECOND,
    choose,
    excerpt,
    focused,
    open_page,
    point_at,
    press_by_key,
    separate,
    upload,
    wait_for,
)
from tests.studio.server import CHROMIUM, Server, damaged_weights, running

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]

SONG = SAMPLES / "paper-boats" / "mixture.flac"


def start(page: Page, *methods: str, seconds: float = 0, song: Path = SONG) -> None:
    """Begin a job and wait until the page's address names it."""
    upload(page, song)
    choose(page, *methods)
    excerpt(page, 0, seconds)
    separate(page)
    page.wait_for_url("**result=**")


@pytest.mark.parametrize("reloads", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_job_survives_reloads_and_ends(page: Page, reloads: int) -> None:
    start(page, "Mixture ÷ 4", "Demucs", "Open-Unmix")
    link = page.url
    for _ in range(reloads):
        page.reload(wait_until="commit")
        page.wait_for_timeout(200)
    wait_for(page, "Done.*3 of 3 methods")
    assert page.url == link
    expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible()
    expect(page.locator("#stop")).to_be_disabled()


def test_a_second_tab_shows_the_job_and_stops_it(
    page: Page, visitor: BrowserContext, server: Server, long_song: Path
) -> None:
    with open_page(visitor, server.url) as second:
        start(page, "Mixture ÷ 4", "Demucs", "Open-Unmix", song=long_song, seconds=15)
        second.bring_to_front()
        second.goto(page.url)
        expect(second.locator("#stop")).to_be_enabled()
        expect(second.get_by_role("radio", name="Mixture ÷ 4")).to_be_visible()
        wait_for(second, "Demucs|Open-Unmix")  # one is finished: methods come in the order of the list
        second.click("#stop")
        for tab in (page, second):
            tab.bring_to_front()
            wait_for(tab, "Stopped.*of 3 methods finished")
            expect(tab.get_by_role("radio", name="Mixture ÷ 4")).to_be_visible()
            expect(tab.locator("#stop")).to_be_disabled()
        second.click("#go-on")
        wait_for(second, "Done.*3 of 3 methods")
        expect(second.get_by_role("radio", name="Open-Unmix")).to_be_visible()
        expect(second.locator("#go-on")).to_be_hidden()
    assert seconds_of(server, page) == 15


def seconds_of(server: Server, page: Page) -> float:
    """Return how much of the song the result of a page shows."""
    folder = next(server.folder.glob(f"stemscope-*/{page.url.partition('result=')[2]}"))
    return float(json.loads((folder / "player.json").read_text("utf-8"))["frames"]) / 48000


def test_a_job_goes_on_without_its_page_and_is_in_the_history(
    page: Page, visitor: BrowserContext, server: Server
) -> None:
    with open_page(visitor, server.url) as first:
        start(first, "Demucs", "Mixture ÷ 4", seconds=4)
        token = first.url.partition("result=")[2]
    page.reload()
    link = page.locator(f"a[href='?result={token}']")
    expect(link).to_have_text("mixture.flac")
    expect(page.locator("#history li").filter(has=link)).to_contain_text("Done, 2 of 2 methods", timeout=60 * SECOND)
    link.click()
    wait_for(page, "Done.*2 of 2 methods")
    expect(page.get_by_role("radio", name="Demucs")).to_be_visible()
    assert seconds_of(server, page) == 4


#: Drops a song on the page as soon as a part of it is there.
DROP_EARLY = """(bytes) => {
  const drop = (where) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(bytes)], "dropped.ogg", { type: "audio/ogg" }));
    const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
    return !where.dispatchEvent(new DragEvent("drop", options)); // whether the browser stays on the page
  };
  const look = () => {
    const where = document.querySelector(window.dropAt);
    if (where === null || window.stayed !== undefined) return;
    window.stayed = drop(where);
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true });
}"""


@pytest.mark.parametrize("where", ["#upload button", ".masthead"])
def test_a_song_dropped_while_the_page_loads_is_not_lost(visitor: BrowserContext, server: Server, where: str) -> None:
    page = visitor.new_page()
    song = list((SAMPLES / "night-drive" / "bass.ogg").read_bytes())
    page.add_init_script(f"window.dropAt = {json.dumps(where)}; ({DROP_EARLY})({song})")
    page.goto(server.url)
    expect(page.locator("#choice strong")).to_have_text("dropped.ogg")
    assert page.evaluate("window.stayed") is True
    page.close()


@pytest.mark.parametrize("late", ["**/upload?*", "**/run/predict"], ids=["upload", "answer"])
def test_separate_waits_for_uploads(page: Page, late: str) -> None:
    """A click during an upload, or before the server has said what the song is, says so and works when it is there."""
    choose(page, "Mixture ÷ 4")
    page.route(late, lambda route: None)  # held
    with page.expect_request(late):
        page.set_input_files("#upload input[type=file]", str(SONG))
    for _ in range(2):
        page.click("#separate")
        expect(page.get_by_text("Still uploading")).to_be_visible()
    page.unroute(late)  # which lets them go on
    wait_for(page, "Done.*1 of 1 methods")


def test_a_method_that_failed_says_why_and_can_be_tried_again(page: Page, server: Server) -> None:
    with damaged_weights(server, "htdemucs"):
        page.reload()
        upload(page, SONG)
        choose(page, "Mixture ÷ 4", "HT-Demucs")
        excerpt(page, 0, 1)
        page.click("#separate")
        wait_for(page, "HT-Demucs: the weights cannot be used")
        runs: list[str] = []
        page.on("request", lambda request: runs.append(request.url) if "player.json?run=2" in request.url else None)
        press_by_key(page, page.get_by_role("button", name="Retry HT-Demucs"))
        expect(page.locator("stem-player[view=stems][manifest$='run=2']")).to_be_visible()
        wait_for(page, "Done.*1 of 2 methods.*HT-Demucs: ")
        expect(page.get_by_role("button", name="Retry HT-Demucs")).to_be_visible()
        assert focused(page) != "BODY"
        assert runs


def test_a_stranger_saves_a_karaoke_file_with_four_clicks(page: Page, server: Server, tmp_path: Path) -> None:
    clicks = ["choose the file"]  # its dialog is the browser's
    page.set_input_files("#upload input[type=file]", str(SONG))
    expect(page.locator("#choice strong")).to_have_text(SONG.name)

    def click(name: str) -> None:
        clicks.append(name)
        page.get_by_role("button", name=name, exact=True).click(timeout=120 * SECOND)

    click("Separate")
    wait_for(page, "Done")
    click("Karaoke")
    with page.expect_download() as caught:
        click("Download")
    assert len(clicks) <= 4
    caught.value.save_as(tmp_path / "karaoke.wav")
    expect(page.locator(".expires")).to_have_text(re.compile(r"The link expires at \d\d:\d\d.*, in (59|60) min"))
    song, rate = soundfile.read(SONG, always_2d=True)
    saved, saved_rate = soundfile.read(tmp_path / "karaoke.wav", always_2d=True)
    folder = next(server.folder.glob(f"stemscope-*/{page.url.partition('result=')[2]}"))
    vocals = soundfile.read(next(folder.glob("*/vocals.wav")), always_2d=True)[0]
    assert (saved_rate, saved.shape) == (rate, song.shape)
    np.testing.assert_allclose(saved, song - vocals, atol=2**-20)


def test_a_dot_of_benchmark_separates_its_song_by_its_method(page: Page) -> None:
    page.get_by_role("tab", name="Benchmark").click()
    element = page.locator("score-benchmark")
    expect(element.locator(".lead:not(.skeleton)")).to_be_visible(timeout=60 * SECOND)  # the server's last answer
    document = json.loads(element.get_attribute("scores") or "")
    document["songs"] = {document["ours"]["tracks"][0]: "Paper boats"}  # as if it were a track of this studio
    document["ours"]["targets"] = {"vocals": {"mix": document["ours"]["targets"]["vocals"]["mix"][:1]}}
    document["published"] = False
    element.evaluate("(element, scores) => element.setAttribute('scores', scores)", json.dumps(document))
    dot = element.locator("path.dots.large")
    expect(dot).to_have_count(1)
    x, y = point_at(page, dot, element.locator(".chart-tip"), "Click to separate and hear it.")
    page.mouse.click(x, y)
    wait_for(page, "Done.*1 of 1 methods")
    expect(page.get_by_role("radio", name="Mixture ÷ 4")).to_be_visible()
    expect(page.locator("#folded")).to_contain_text("Paper boats")


def test_several_songs_at_once_wait_in_turn(page: Page) -> None:
    expect(page.locator("#history")).to_contain_text("4 songs at a time")
    start(page, "Demucs", "Open-Unmix")
    first = page.url
    choose(page, "Mixture ÷ 4")
    page.click("#separate")
    page.wait_for_url(lambda url: "result=" in url and url != first)
    wait_for(page, "Waiting.*1 ahead of you|Done")
    expect(page.locator("#history [aria-current]")).to_have_count(1)
    wait_for(page, "Done.*1 of 1 methods")
    for item in page.locator("#history li").all()[:2]:
        expect(item).to_contain_text("Done")


@pytest.mark.slow  # starts two studios; tests/studio/jobs/test_jobs.py goes on after a killed process
def test_a_killed_server_says_interrupted_and_goes_on(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context()
    with running(tmp_path) as server:
        page = context.new_page()
        page.goto(server.url)
        start(page, "Mixture ÷ 4", "Demucs", "Open-Unmix")
        wait_for(page, "Demucs|Open-Unmix")
        os.kill(server.pid, signal.SIGKILL)
    port = int(re.findall(r":(\d+)", server.url)[0])
    with running(tmp_path, port=port):
        page.goto(page.url)
        wait_for(page, "Interrupted.*of 3 methods finished")
        expect(page.get_by_role("radio", name="Mixture ÷ 4")).to_be_visible()
        page.click("#go-on")
        wait_for(page, "Done.*3 of 3 methods")
        for method in ("Mixture ÷ 4", "Demucs", "Open-Unmix"):
            expect(page.get_by_role("radio", name=method)).to_be_visible()
    context.close()
