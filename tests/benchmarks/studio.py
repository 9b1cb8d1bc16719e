"""How long a visitor waits, and what a long song costs their browser: a real server, a real browser.

Prints JSON. A stranger opens the page and hears an example, and saves a karaoke version of a song of 30 s; a song of
ten minutes is played. Times are what the page's own script sees, from a browser that has never seen the page where a
stranger is meant. Chromium's tracing tells how smoothly zoomed parts play.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Browser, Page, sync_playwright

from tests.benchmarks.machine import describe
from tests.benchmarks.smoothness import play_zoomed
from tests.conftest import SAMPLES
from tests.studio.server import CHROMIUM, running

ROUNDS = 3
SECOND = 1000.0
PATIENCE = 600 * SECOND
ZOOMS = (8.0, 2.0)  # seconds of the song that fill the view
PLAYING = "(p => p && p.engine.playing && p.seconds > 0.02)(document.querySelector('stem-player'))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", help="not needed: the samples are enough")
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server, sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        time_to_interactive(browser, server.url)  # the server is warm from here on
        tell("pages")
        loads = [time_to_interactive(browser, server.url) for _ in range(ROUNDS)]
        song = thirty_seconds(Path(folder) / "song.wav")
        tell("first stems")
        waits = [first_stem(browser, server.url, song) for _ in range(ROUNDS)]
        tell("strangers")
        heard = [example_heard(browser, server.url) for _ in range(ROUNDS)]
        saved, smooth = karaoke_saved(browser, server.url, song)
        tell("ten minutes")
        opened, megabytes = ten_minutes(browser, server.url, Path(folder))
        browser.close()
    result = {
        "benchmark": "studio",
        **describe(),
        "rounds": ROUNDS,
        "page interactive (s)": spread(loads),
        "first stem of best-offline heard, 30 s song (s)": spread(waits),
        "page asked for until an example is heard (s)": spread([seconds for seconds, _ in heard]),
        "clicks until an example is heard": max(clicks for _, clicks in heard),
        "file chosen until its karaoke version is saved, 30 s song (s)": round(saved[0], 2),
        "clicks until the karaoke version is saved": saved[1],
        "playing 10 s with zoom": smooth,
        "10 min: player opens and plays (s)": round(opened, 2),
        "10 min: the page's process, beyond an empty player's page (MB)": round(megabytes),
    }
    print(json.dumps(result, indent=1))


def tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


def time_to_interactive(browser: Browser, url: str) -> float:
    """From asking for the page to its button taking a click."""
    page = browser.new_page()
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator("#separate").click(trial=True, timeout=PATIENCE)
    seconds = time.perf_counter() - began
    page.close()
    return seconds


def thirty_seconds(path: Path) -> Path:
    """The samples one after the other, cut to 30 s."""
    sound = np.concatenate([soundfile.read(file)[0] for file in sorted(SAMPLES.glob("*/mixture.flac"))] * 4)
    soundfile.write(path, sound[: 30 * 44100], 44100)
    return path


def upload(page: Page, *files: Path, where: str) -> None:
    page.set_input_files(f"{where} input[type=file]", [str(file) for file in files])


def first_stem(browser: Browser, url: str, song: Path) -> float:
    """From the click on Separate to a stem being heard."""
    page = browser.new_page()
    page.goto(url)
    upload(page, song, where="#upload")
    page.wait_for_function("document.querySelector('#choice strong').textContent", timeout=PATIENCE)
    began = time.perf_counter()
    page.click("#separate")
    ready = "(p => p?.method === 'best-offline' && p.engine.tracks.get('best-offline/vocals')?.info.ready > 0)"
    page.wait_for_function(f"{ready}(document.querySelector('stem-player'))", timeout=PATIENCE, polling=20)
    page.evaluate("document.querySelector('stem-player').toggle()")
    page.wait_for_function(PLAYING, timeout=PATIENCE, polling=20)
    seconds = time.perf_counter() - began
    page.click("#stop")
    page.wait_for_function("document.querySelector('#separate:not([disabled])')", timeout=PATIENCE)
    page.close()
    return seconds


class Clicks:
    """A stranger's clicks, counted; a file dialog, which belongs to the browser, counts as one."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, 0

    def on(self, selector: str) -> None:
        self.page.click(selector, timeout=PATIENCE)
        self.count += 1

    def choose_file(self, path: Path) -> None:
        upload(self.page, path, where="#upload")
        self.count += 1


def example_heard(browser: Browser, url: str) -> tuple[float, int]:
    """From asking for the page, with an empty cache, to the first sound of an example; and the clicks."""
    page = browser.new_page()
    clicks, began = Clicks(page), time.perf_counter()
    page.goto(url, wait_until="commit")
    clicks.on("[data-song='Paper boats']")
    clicks.on("#dock-play")
    page.wait_for_function(PLAYING, timeout=PATIENCE, polling=20)
    seconds = time.perf_counter() - began
    end(page)
    return seconds, clicks.count


def end(page: Page) -> None:
    """Stop the work of a page, which would slow down the next measurement, and close it."""
    if page.locator("#stop").is_enabled():
        page.locator("#stop").dispatch_event("click")
        page.wait_for_function("document.querySelector('#stop').disabled", timeout=PATIENCE)
    page.close()


def karaoke_saved(browser: Browser, url: str, song: Path) -> tuple[tuple[float, int], dict[str, Any]]:
    """From choosing a file to its saved karaoke version, and the clicks; then how smoothly zoomed parts play."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url)
    page.locator("#separate").click(trial=True, timeout=PATIENCE)
    clicks, began = Clicks(page), time.perf_counter()
    clicks.choose_file(song)
    clicks.on("#separate")  # it waits for the upload
    page.wait_for_function("/Done/.test(document.querySelector('#status').innerText)", timeout=PATIENCE)
    clicks.on("#stems-mix-karaoke")
    with page.expect_download(timeout=PATIENCE) as caught:
        clicks.on("#stems-keep")
    caught.value.path()  # waits until it is complete
    seconds = time.perf_counter() - began
    views = {f"{shown:g} s from edge to edge": play_zoomed(browser, page, shown=shown).to_dict() for shown in ZOOMS}
    page.close()
    return (seconds, clicks.count), views


def ten_minutes(browser: Browser, url: str, folder: Path) -> tuple[float, float]:
    """Until the player of a ten-minute result plays; and its page's memory after three seeks."""
    random = np.random.default_rng(0)
    stems = folder / "stems"
    stems.mkdir()
    total = np.zeros((600 * 44100, 2), dtype=np.float32)
    files = []
    for name in ("vocals", "drums", "bass", "other"):
        sound = (0.05 * random.standard_normal((600 * 44100, 2), dtype=np.float32)).astype(np.float32)
        total += sound
        files.append(stems / f"{name}.flac")
        soundfile.write(files[-1], sound, 44100)
    song = folder / "long.flac"
    soundfile.write(song, total, 44100)
    page = browser.new_page()
    page.goto(url)
    upload(page, song, where="#upload")
    page.locator("#own").get_by_role("button").first.click()
    upload(page, *files, where="#estimates")
    page.wait_for_function("document.querySelector('#estimates').innerText.includes('other')", timeout=PATIENCE)
    for box in page.locator("#methods input[type=checkbox]").all():
        box.set_checked(False)
    page.get_by_role("checkbox", name="Mixture ÷ 4", exact=True).check()
    page.click("#separate")
    page.wait_for_function("/Done/.test(document.querySelector('#status').innerText)", timeout=PATIENCE)
    link = page.get_by_role("link", name="Link to this result").get_attribute("href")
    page.close()
    page = browser.new_page()
    page.goto(url)
    page.locator("#separate").click(trial=True, timeout=PATIENCE)
    page.wait_for_timeout(2 * SECOND)
    empty = renderer_memory()
    began = time.perf_counter()
    page.goto(str(link), wait_until="commit")
    page.wait_for_function("document.querySelector('stem-player')?.manifest", timeout=PATIENCE, polling=20)
    page.evaluate("document.querySelector('stem-player').toggle()")
    page.wait_for_function(PLAYING, timeout=PATIENCE, polling=20)
    seconds = time.perf_counter() - began
    for second in (100, 300, 550):
        page.evaluate(f"document.querySelector('stem-player').seek({second})")
        page.wait_for_timeout(7 * SECOND)
    megabytes = renderer_memory() - empty
    page.close()
    return seconds, megabytes


def renderer_memory() -> float:
    """Of the largest of the browser's pages, in megabytes that nobody else shares."""
    most = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                text = (process / "smaps_rollup").read_text()
                private = [line.split()[1] for line in text.splitlines() if line.startswith("Private_")]
                most = max(most, sum(map(int, private)) / 1024)
        except OSError:  # it has ended
            continue
    return most


if __name__ == "__main__":
    main()
