"""Actions of a visitor in Chromium, shared by the browser tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

SECOND = 1000.0  # playwright counts in milliseconds
PATIENCE = 300 * SECOND  # for a busy machine
START, LENGTH = 1, 6  # the excerpt that is separated, in seconds
RATE = 44100

expect.set_options(timeout=PATIENCE)


class open_page:  # noqa: N801  # used like a function
    """A page that fails the test if its scripts fail."""

    def __init__(self, browser: Browser | BrowserContext, url: str, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)

    def __enter__(self) -> Page:
        expect(self.page.locator("#separate:visible, #change:visible").first).to_be_visible(timeout=PATIENCE)
        self.page.wait_for_function("document.body.dataset.stage")  # the page's own scripts listen
        return self.page

    def __exit__(self, *_: object) -> None:
        self.page.close()
        assert self.errors == []


def open_form(page: Page) -> None:
    """Unfold the form, if it is folded."""
    if page.locator("#change").is_visible():
        page.click("#change")


def choose(page: Page, *methods: str) -> None:
    """Tick exactly these methods."""
    open_form(page)
    for name in page.eval_on_selector_all("#methods input:checked", "boxes => boxes.map(box => box.id)"):
        page.locator(f"#{name}").uncheck()
    for method in methods:
        page.get_by_role("checkbox", name=method, exact=True).check()


def choose_sample(page: Page, title: str = "Night drive") -> None:
    """Choose a song in the list, without separating it."""
    open_form(page)
    page.locator("#library input").click()
    page.get_by_role("option", name=title).click()
    expect(page.locator("#choice strong")).to_have_text(title)


def upload(page: Page, path: Path) -> None:
    open_form(page)
    page.set_input_files("#upload input[type=file]", str(path))
    expect(page.locator("#choice strong")).to_have_text(path.name, timeout=PATIENCE)


def upload_stems(page: Page, where: str, *files: Path) -> None:
    """Own references or estimates."""
    if not page.locator(where).is_visible():
        page.locator("#own").get_by_role("button").first.click()
    page.set_input_files(f"{where} input[type=file]", [str(file) for file in files])
    for file in files:
        expect(page.locator(f"{where} .file-preview")).to_contain_text(file.stem)


def excerpt(page: Page, start: float, seconds: float) -> None:
    open_form(page)
    if not page.locator("#start").is_visible():
        page.locator("#advanced").get_by_role("button").first.click()
    page.locator("#start input").fill(str(start))
    page.locator("#duration input").fill(str(seconds))


def separate(page: Page) -> None:
    open_form(page)
    page.click("#separate")
    page.wait_for_function("document.getElementById('stop')?.disabled === false")  # looks in every frame


def wait_for(page: Page, words: str) -> None:
    expect(page.locator("#status")).to_contain_text(re.compile(words), timeout=PATIENCE)


def lane_selector(page: Page, name: str) -> str:
    return f"stem-player[view=stems] .lane[data-row='{name}']"


def player(page: Page, script: str) -> object:
    """Evaluate a script in which `p` is the player of the Separate page."""
    return page.evaluate(
        f"(() => {{ const p = document.querySelector('stem-player[view=stems]'); return {script}; }})()"
    )


def point_at(page: Page, element: Locator, tip: Locator, words: str) -> tuple[float, float]:
    """Move the mouse to the left edge of a part of a chart, wherever it is drawn, until its tip says something."""
    for _ in range(100):
        box = element.bounding_box()
        assert box is not None
        x, y = box["x"] + min(2, box["width"] / 2), box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        if words in (tip.text_content() or ""):
            return x, y
        page.wait_for_timeout(0.1 * SECOND)
    raise AssertionError(f"no tip says {words}")


def play(page: Page) -> None:
    player(page, "p.toggle()")
    page.wait_for_function("document.querySelector('stem-player[view=stems]').engine.playing")
