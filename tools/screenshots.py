"""Pictures of every page and state of the studio, light and dark, on a phone and on a desktop.

All go to ``build/screenshots``; those that README and docs show, also to ``assets/images``, below 300 kB each. Needs
Chromium.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.conftest import ROOT, SAMPLES
from tests.studio.browser import (
    IS_OPEN,
    PATIENCE,
    choose,
    choose_sample,
    excerpt,
    separate,
    upload,
    wait_for,
    wait_two_frames,
)
from tests.studio.server import CHROMIUM, Server, damaged_weights, running

__all__ = ["STATES", "main"]

OUT = ROOT / "build" / "screenshots"
IMAGES = ROOT / "assets" / "images"
WIDTHS = {390: 844, 1280: 1000}  # and heights
THEMES = ("light", "dark")
MOST_BYTES = 290_000  # of each picture in assets/images
METHODS = ("Open-Unmix", "Demucs", "Spleeter", "Mixture ÷ 4")
SONG = SAMPLES / "night-drive" / "mixture.flac"

#: All states, in the order in which they are taken.
STATES = (
    "empty",
    "waiting",
    "working",
    "result",
    "compare",
    "blind",
    "blind-begun",
    "blind-revealed",
    "benchmark",
    "models",
    "about",
    "refused",
    "failed",
)

#: The name in assets/images of each picture that README and docs show: state, theme, width.
SHOWN = {
    "studio": ("result", "light", 1280),
    "compare": ("compare", "light", 1280),
    "start": ("empty", "light", 1280),
    "blind": ("blind-revealed", "light", 1280),
    "benchmark": ("benchmark", "light", 1280),
    "dark": ("result", "dark", 1280),
    "phone": ("result", "light", 390),
}


@dataclass(frozen=True, kw_only=True)
class Links:
    """The addresses of jobs in every state."""

    empty: str
    working: str
    waiting: str
    result: str
    failed: str


def visitor(browser: Browser, theme: str = "light", width: int = 1280) -> BrowserContext:
    """A visitor at a desktop or with a phone; pages of one visitor share what the browser has loaded."""
    phone = width < 500
    return browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]},
        color_scheme="dark" if theme == "dark" else "light",
        has_touch=phone,
        device_scale_factor=2 if phone else 1,
    )


@contextmanager
def opened(who: BrowserContext, url: str, theme: str = "light") -> Iterator[Page]:
    """A page of a visitor."""
    page = who.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{url}{'&' if '?' in url else '?'}__theme={theme}", wait_until="commit")
    page.wait_for_function(IS_OPEN)
    page.locator("#upload input[type=file]").wait_for(state="attached")
    expect(page.get_by_text("Loading...").locator("visible=true")).to_have_count(0)
    yield page
    page.close()


# -- jobs


def finished(who: BrowserContext, server: Server) -> Iterator[str]:
    """The addresses of a result with scores, and of one with a failed method."""
    with opened(who, server.url) as page:
        choose_sample(page)
        choose(page, *METHODS)
        separate(page)
        wait_for(page, f"Done.*{len(METHODS)} of {len(METHODS)} methods")
        yield f"{server.url}?result={token_of(page)}"
    with damaged_weights(server, "htdemucs"), opened(who, server.url) as page:
        upload(page, SONG)
        choose(page, "Open-Unmix", "HT-Demucs")
        excerpt(page, 0, 6)
        page.click("#separate")
        wait_for(page, "HT-Demucs: the weights cannot be used")
        yield f"{server.url}?result={token_of(page)}"


def unfinished(stack: ExitStack, who: BrowserContext, server: Server, folder: Path) -> Iterator[str]:
    """The addresses of a job at work and of one behind it; their pages stay open, so that they are not cancelled."""
    song = folder / "A long evening.flac"
    sound, rate = soundfile.read(SONG)
    soundfile.write(song, np.tile(sound, (30, 1)), rate)
    for _ in range(2):
        page = stack.enter_context(opened(who, server.url))
        upload(page, song)
        choose(page, "Open-Unmix", "Demucs", "Harmonic-percussive")
        page.click("#separate")
        page.wait_for_url("**result=**")
        yield f"{server.url}?result={token_of(page)}"


# -- pictures


def take(page: Page, state: str, theme: str, width: int, out: Path) -> None:
    """Save the picture of a state, and that of README or docs if they show it."""
    page.evaluate("document.fonts.ready")
    page.wait_for_function(
        "document.getAnimations().every((one) => one.effect.getComputedTiming().endTime === Infinity"
        " || one.playState !== 'running')"
    )
    page.mouse.move(0, 0)
    for name in (name for name, shown in SHOWN.items() if shown == (state, theme, width)):
        page.evaluate("window.scrollTo(0, 0)")
        wait_two_frames(page)
        page.screenshot(path=out / f"{name}.png")
        keep(out / f"{name}.png", IMAGES / f"{name}.png")
    height = max(WIDTHS[width], page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": width, "height": height})  # so that the bar is at the bottom of the picture
    page.wait_for_timeout(300)  # canvases are drawn anew
    page.screenshot(path=out / f"{state}-{theme}-{width}.png")
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})


def keep(picture: Path, place: Path) -> None:
    """Copy a picture; with fewer colours, which shift a little, only if it would be too large."""
    image = Image.open(picture).convert("RGB")
    image.save(place, optimize=True)
    if place.stat().st_size > MOST_BYTES:
        image.quantize(256).save(place, optimize=True)


def token_of(page: Page) -> str:
    """The result's name in the page's address."""
    return parse_qs(urlsplit(page.url).query)["result"][0]


def open_tab(page: Page, name: str) -> None:
    """Open a page and wait until it has what belongs on it."""
    page.get_by_role("tab", name=name).click()
    content = {
        "Compare": "stem-player[view=compare] .grid",
        "Blind test": "#begin",
        "Benchmark": "score-benchmark .lead:not(.skeleton)",
        "Models": "#models :visible",
    }.get(name)
    if content:
        page.locator(content).first.wait_for()
    expect(page.locator(".lead.skeleton:visible, .chart-skeleton:visible")).to_have_count(0)
    page.wait_for_timeout(500)  # pictures are drawn over several frames


def show_result(page: Page) -> None:
    """Play for a moment, so that playhead and meters are seen, and rest."""
    page.locator("stem-player[view=stems] .lane").first.wait_for()
    page.wait_for_function("document.querySelector('stem-player[view=stems]').peaks.get('song/mixture')")
    page.evaluate("document.querySelector('stem-player[view=stems]').seek(3.2)")
    page.wait_for_timeout(800)


def jobs_of(who: BrowserContext, links: Links, theme: str, width: int, out: Path) -> None:
    """The states of the Separate page."""
    with opened(who, links.empty, theme) as page:
        take(page, "empty", theme, width, out)
        broken = out / "notes.mp3"
        broken.write_bytes(b"these are my notes, not a song" * 20)
        upload(page, broken)
        page.click("#separate")
        page.get_by_text(re.compile("cannot read 'notes.mp3'")).first.wait_for()
        take(page, "refused", theme, width, out)
        broken.unlink()
    for state in ("waiting", "working", "failed"):
        with opened(who, getattr(links, state), theme) as page:
            page.locator("#status .work").wait_for()
            if state != "waiting":
                page.locator("stem-player[view=stems] .lane").first.wait_for()
            page.wait_for_timeout(1000)  # the first answer to its polling
            take(page, state, theme, width, out)


def pages_of(who: BrowserContext, links: Links, theme: str, width: int, out: Path) -> None:
    """The other pages, with a result."""
    with opened(who, links.result, theme) as page:
        show_result(page)
        take(page, "result", theme, width, out)
        for name in ("Compare", "Benchmark", "Models", "About"):
            open_tab(page, name)
            take(page, name.lower(), theme, width, out)
        open_tab(page, "Blind test")
        take(page, "blind", theme, width, out)
        page.click("#begin")
        page.locator(".stimulus").first.wait_for()
        take(page, "blind-begun", theme, width, out)
        for number, slider in enumerate(page.locator(".stimulus input[type=range]").all()):
            slider.fill(str(20 + 15 * number))
        page.click("#blind-reveal")
        page.locator(".revealed table").first.wait_for()
        take(page, "blind-revealed", theme, width, out)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder for all pictures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = stack.enter_context(running(Path(folder), quick=True))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        stack.callback(browser.close)
        print("a result, and one with a failed method", flush=True)
        somebody = visitor(browser)
        result, failed = finished(somebody, server)
        working, waiting = unfinished(stack, somebody, server, Path(folder))
        links = Links(empty=server.url, working=working, waiting=waiting, result=result, failed=failed)
        looks = {(theme, width): visitor(browser, theme, width) for theme in THEMES for width in WIDTHS}
        for picture in (jobs_of, pages_of):  # those of unfinished jobs first
            for (theme, width), who in looks.items():
                print(f"{time.monotonic() - began:.0f} s: {picture.__name__}, {theme}, {width}", flush=True)
                picture(who, links, theme, width, out)
    print(f"{len(list(out.glob('*.png')))} pictures in {out}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
