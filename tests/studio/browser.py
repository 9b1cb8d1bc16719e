"""Actions of a visitor in Chromium, shared by the browser tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, TimeoutError, expect

SECOND = 1000.0  # playwright counts in milliseconds
PATIENCE = 300 * SECOND  # for a busy machine
#: Factor on all bounds of time, which are meant for two idle cores; a busy machine may need more.
PATIENCE_FACTOR = float(os.environ.get("STEMSCOPE_TEST_PATIENCE", "5"))
START, LENGTH = 1, 6  # the excerpt that is separated, in seconds
RATE = 44100

expect.set_options(timeout=PATIENCE)


#: The page's own scripts listen, and the form or its folded line is there.
IS_OPEN = """document.body?.dataset.stage &&
  ["#separate", "#change"].some((part) => document.querySelector(part)?.checkVisibility())"""


class open_page:  # noqa: N801  # used like a function
    """A page that fails the test if its scripts fail; `watch` is told of all that it requests."""

    def __init__(
        self,
        browser: Browser | BrowserContext,
        url: str,
        watch: Callable[[Request], None] | None = None,
        **options: Any,
    ) -> None:
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        if watch is not None:
            self.page.on("request", watch)
        self.page.goto(url, wait_until="commit")

    def __enter__(self) -> Page:
        self.page.wait_for_function(IS_OPEN)  # looks in every frame
        return self.page

    def __exit__(self, *_: object) -> None:
        self.page.close()
        self.check()

    def check(self) -> None:
        """Fail if a script of the page has failed."""
        assert self.errors == []


#: Put the player in anew, as it is on a page that has just been opened.
RENEW = """async () => {
  const place = document.querySelector("#result stem-player").parentElement;
  const fresh = place.firstElementChild.cloneNode();
  place.replaceChildren();
  const isOpen = () => new URLSearchParams(window.location.search).has("result"); // until its session ends
  while (isOpen()) await new Promise((done) => setTimeout(done, 10));
  sessionStorage.clear();
  place.append(fresh);
  window.scrollTo(0, 0);
}"""


def wait_two_frames(page: Page) -> None:
    """Wait until the page has drawn what has just changed."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def press_by_key(page: Page, control: Locator) -> None:
    """Press a control as somebody does who has no mouse."""
    control.focus()
    page.keyboard.press("Enter")


def focused(page: Page) -> str:
    """Return the id of what has the focus, or else its element's name: "BODY" if the focus is lost."""
    wait_two_frames(page)  # in which browsers take the focus from what is hidden
    return str(page.evaluate("document.activeElement.id || document.activeElement.tagName"))


def open_form(page: Page) -> None:
    """Unfold the form, if it is folded; in front, since a page behind another one draws only once a second."""
    page.bring_to_front()
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
        page.locator("#length").wait_for()
        wait_two_frames(page)  # in the first, Gradio sets the fields to what they held at the start
    page.locator("#start input").fill(str(start))
    page.locator("#length input").fill(str(seconds))


def separate(page: Page) -> None:
    open_form(page)
    page.click("#separate")
    page.wait_for_function("document.getElementById('stop')?.disabled === false")  # looks in every frame


#: Whether the status, in one line, matches a regular expression.
STATUS_SAYS = """(words) =>
  new RegExp(words).test((document.querySelector("#status")?.textContent ?? "").replace(/\\s+/g, " "))"""


def wait_for(page: Page, words: str) -> None:
    """Wait until the status matches a regular expression; `expect` would look only once a second."""
    try:
        page.wait_for_function(STATUS_SAYS, arg=words, polling=50, timeout=PATIENCE)
    except TimeoutError as error:
        raise AssertionError(f"not {words!r}: {page.locator('#status').text_content()}") from error


def lane_selector(page: Page, name: str) -> str:
    return f"stem-player[view=stems] .lane[data-row='{name}']"


def player(page: Page, script: str) -> object:
    """Evaluate a script in which `p` is the player of the Separate page."""
    return page.evaluate(
        f"(() => {{ const p = document.querySelector('stem-player[view=stems]'); return {script}; }})()"
    )


def point_at(page: Page, element: Locator, tip: Locator, words: str) -> tuple[float, float]:
    """Move the mouse to the left edge of a part of a chart, wherever it is drawn, until its tip says something."""
    for _ in range(500):
        box = element.bounding_box()
        assert box is not None
        x, y = box["x"] + min(2, box["width"] / 2), box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        if words in (tip.text_content() or ""):
            return x, y
        page.wait_for_timeout(0.02 * SECOND)
    raise AssertionError(f"no tip says {words}")


def play(page: Page) -> None:
    player(page, "p.toggle()")
    page.wait_for_function("document.querySelector('stem-player[view=stems]').engine.playing")
