"""Every page of the studio in Chromium, in each language: it fits the screen, is accessible, and loads nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.studio import mirrored
from tests.studio.browser import LENGTH, SECOND, choose, choose_sample, open_page, player, wait_two_frames
from tests.studio.server import CHROMIUM, Server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]

WIDTHS = (1920, 1280, 768, 390, 360)
LANGUAGES = ("en-GB", "de-DE", mirrored.LOCALE)


LOOKS = [(scheme, locale) for scheme in ("light", "dark") for locale in LANGUAGES]

#: What is there when a page is complete.
CONTENT = {
    "separate": ["stem-player[view=stems] .lane"],
    "compare": [".matrix tfoot", ".small-charts :nth-child(4) svg", ".published .chart-place svg"],
    "blind": ["#begin"],
    "benchmark": ["#benchmark svg"],
    "models": ["#models article"],
    "about": [".about"],
}
PAGES = list(CONTENT)


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab").nth(PAGES.index(name)).click()


def open_whole_tab(page: Page, name: str) -> None:
    """Open a page and wait until all that it shows is there and stands still."""
    open_tab(page, name)
    for part in CONTENT[name]:
        expect(page.locator(part).first).to_be_visible(timeout=60 * SECOND)
    expect(page.locator(".lead.skeleton:visible, .chart-skeleton:visible")).to_have_count(0)
    wait_for_animations(page)


def open_more(page: Page, name: str) -> None:
    """Open the panel for speed and pitch, and begin a blind test."""
    if name == "separate":
        page.click("#dock-stretch")
    if name == "blind":
        page.click("#begin")
        expect(page.locator(".stimulus").first).to_be_visible()
    wait_for_animations(page)


def open_everything(page: Page, name: str) -> None:
    """Open the rest of what a page shows only on demand."""
    if name == "separate":
        page.click("[data-row=vocals] .enlarge")
        page.click(".residual summary")
        page.click("#dock-loop")
    if name == "benchmark":
        page.click("#benchmark summary")
    wait_for_animations(page)


def wait_for_animations(page: Page) -> None:
    """Wait until nothing fades or moves any more, except what does so for ever."""
    page.wait_for_function(
        """document.getAnimations().every((animation) =>
          animation.playState !== "running" || animation.effect.getComputedTiming().endTime === Infinity)"""
    )


def violations(page: Page) -> list[str]:
    """What axe finds on the page, of any impact."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{violation['id']}: {node['html'][:200]}" for violation in found for node in violation["nodes"]]


@pytest.mark.parametrize(
    ("scheme", "locale", "whole"),
    [("light", "en-GB", False), *(pytest.param(*look, True, marks=pytest.mark.slow) for look in LOOKS)],
)
def test_pages_are_accessible_and_load_nothing_from_elsewhere(
    browser: Browser, server: Server, result: str, scheme: str, locale: str, whole: bool
) -> None:
    elsewhere: list[str] = []

    def watch(request: Request) -> None:
        if not request.url.startswith((server.url, "data:", "blob:")):
            elsewhere.append(request.url)

    with open_page(browser, f"{result}&__theme={scheme}", watch, color_scheme=scheme, locale=locale) as page:
        for name in PAGES:
            open_whole_tab(page, name)
            open_more(page, name)
            if whole:
                open_everything(page, name)
            assert violations(page) == [], name
            if whole and name == "blind":
                page.click("#blind-reveal")
                page.click("#blind-reveal")  # in spite of the warning
                expect(page.locator(".revealed table")).to_be_visible()
                wait_for_animations(page)
                assert violations(page) == [], "the revealed blind test"
    assert elsewhere == []


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "locale"), LOOKS)
def test_the_form_is_accessible_with_errors_at_its_fields(
    browser: Browser, server: Server, scheme: str, locale: str
) -> None:
    with open_page(browser, f"{server.url}?__theme={scheme}", color_scheme=scheme, locale=locale) as page:
        for accordion in ("#advanced", "#own"):
            page.locator(accordion).get_by_role("button").first.click()
        expect(page.locator("#yours textarea")).to_be_visible()
        page.click("#separate")
        expect(page.locator("#song .field-error")).to_be_visible()
        wait_for_animations(page)
        assert violations(page) == [], "without a song"
        choose_sample(page)
        choose(page)
        page.click("#separate")
        expect(page.locator("#methods .field-error")).to_be_visible()
        wait_for_animations(page)
        assert violations(page) == [], "without a method"


def test_pages_fit_the_screen(page: Page, result: str) -> None:
    assert_pages_fit(page)


@pytest.mark.slow
@pytest.mark.parametrize("locale", LANGUAGES[1:])
def test_pages_fit_the_screen_in_every_language(browser: Browser, result: str, locale: str) -> None:
    with open_page(browser, result, locale=locale) as page:
        assert_pages_fit(page)


def assert_pages_fit(page: Page) -> None:
    for name in PAGES:
        open_whole_tab(page, name)
        open_more(page, name)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 740})
            open_tab(page, name)  # all of them can be reached, none behind a menu
            wait_two_frames(page)
            assert overflow(page) <= 0, (name, width)
            end, dock = page.evaluate(  # in one call, since the page may grow between two
                "window.scrollTo(0, 1e6);"
                "['.foot', '.stem-dock'].map((part) => document.querySelector(part).getBoundingClientRect())"
                ".map(({ bottom, top }) => ({ bottom, top }))"
            )
            assert end["bottom"] <= dock["top"], f"the transport covers the end of {name} at {width} pixels"
    tops = page.evaluate("[...document.querySelectorAll('[role=tab]')].map((tab) => tab.offsetTop)")
    assert len(set(tops)) == 1
    open_tab(page, "separate")
    page.click("#change")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 740})
        assert overflow(page) <= 0, f"the form at {width} pixels"


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


# -- from right to left


@pytest.fixture(scope="module")
def mirrored_page(browser: Browser, result: str) -> Iterator[Page]:
    """The result on a desktop, in the language that reads from right to left."""
    with open_page(browser, result, locale=mirrored.LOCALE, viewport={"width": 1280, "height": 900}) as page:
        open_whole_tab(page, "separate")
        yield page


def box(page: Page, part: str) -> dict[str, float]:
    """Where the first visible element of a selector is."""
    found = page.locator(part).locator("visible=true").first.evaluate("(part) => part.getBoundingClientRect().toJSON()")
    return dict(found)


def assert_leads_to(page: Page, first: str, then: str) -> None:
    """Check that one part is to the right of another, in the same row."""
    here, there = box(page, first), box(page, then)
    assert here["left"] >= there["right"] - 1, (first, then)
    assert min(here["bottom"], there["bottom"]) > max(here["top"], there["top"]), (first, then)


def test_controls_are_to_the_right_of_the_pictures_and_time_runs_to_the_right(mirrored_page: Page) -> None:
    page = mirrored_page
    assert_leads_to(page, ".masthead h1", "[role=tab]")
    assert_leads_to(page, ".folded-text", "#change")
    assert_leads_to(page, "#dock-play", ".stem-dock .volume")
    assert_leads_to(page, "[data-row=vocals] .controls", "[data-row=vocals] .place")
    assert_leads_to(page, "[data-row=vocals] .mute", "[data-row=vocals] .solo")
    place = box(page, "[data-row=vocals] .place")
    player(page, "p.seek(1)")
    wait_two_frames(page)
    head = box(page, "[data-row=vocals] .playhead")
    assert head["left"] == pytest.approx(place["left"] + place["width"] / LENGTH, abs=3)
    player(page, "p.session.zoom(2)")
    player(page, "p.session.scroll(9)")  # to the end
    wait_two_frames(page)
    for part in ("div.overview", "canvas.overview"):
        assert box(page, part)["left"] == pytest.approx(place["left"], abs=1), part
        assert box(page, part)["right"] == pytest.approx(place["right"], abs=1), part
    assert box(page, ".overview .frame")["right"] == pytest.approx(place["right"], abs=2)
    assert box(page, "[data-row=vocals] img")["right"] == pytest.approx(place["right"], abs=2)
    player(page, "p.setLoop(4, 5)")  # of the seconds from 3 to 6
    for end, share in (("from", 1 / 3), ("to", 2 / 3)):
        handle = box(page, f".loop-handle.{end}")
        assert (handle["left"] + handle["right"]) / 2 == pytest.approx(place["left"] + share * place["width"], abs=2)
    page.click("#dock-loop")
    player(page, "p.session.showAll()")


@pytest.mark.slow
def test_arrow_keys_lead_along_the_methods(mirrored_page: Page) -> None:
    page = mirrored_page
    open_tab(page, "separate")
    methods = page.get_by_role("radiogroup").get_by_role("radio")
    methods.nth(1).click()
    page.keyboard.press("ArrowLeft")
    expect(methods.nth(2)).to_have_attribute("aria-checked", "true")
    page.keyboard.press("ArrowRight")
    expect(methods.nth(1)).to_be_focused()


@pytest.mark.slow
def test_wide_tables_begin_at_the_right_and_charts_at_the_left(mirrored_page: Page) -> None:
    page = mirrored_page
    open_whole_tab(page, "compare")
    page.set_viewport_size({"width": 390, "height": 844})
    table = page.locator(".score-table > .scrollable")
    fade = "(area) => [area.dataset.more, getComputedStyle(area).maskImage.split(',')[0]]"
    assert table.evaluate(fade) == ["after", "linear-gradient(to left"]
    table.evaluate("(area) => { area.scrollLeft = -60; }")
    expect(table).to_have_attribute("data-more", re.compile("both|before"))
    edge = box(page, ".score-table > .scrollable")["right"]
    assert box(page, ".score-table tbody th")["right"] == pytest.approx(edge, abs=2)
    chart = page.locator(".published .scrollable")
    assert chart.evaluate(fade) == ["after", "linear-gradient(to right"]
    assert box(page, ".published svg")["left"] == pytest.approx(box(page, ".published .scrollable")["left"], abs=1)


@pytest.mark.slow
def test_the_other_pages_are_mirrored(mirrored_page: Page) -> None:
    page = mirrored_page
    page.set_viewport_size({"width": 1280, "height": 900})
    open_whole_tab(page, "blind")
    open_more(page, "blind")
    assert_leads_to(page, "[data-letter=A]", "[data-letter=B]")
    open_whole_tab(page, "benchmark")
    assert_leads_to(page, "#benchmark h3", "#benchmark .chart-downloads")
    open_everything(page, "benchmark")
    assert_leads_to(page, "#benchmark th", "#benchmark th + *")
    open_whole_tab(page, "models")
    assert_leads_to(page, "#models dt", "#models dd")
    assert_leads_to(page, "#models svg rect:last-of-type", "#models svg rect")
