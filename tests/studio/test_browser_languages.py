"""Every text that a visitor sees comes from the language files: a language in which all texts are bracketed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from separation.evaluation.published import published_scores
from separation.studio import i18n
from separation.studio.components import fragments, method_cards, model_cards, song_cards
from separation.studio.inputs import songs
from separation.studio.jobs.history import history
from separation.studio.jobs.store import JobState
from separation.studio.pages import job_control
from separation.weights import catalogue
from tests.conftest import SAMPLES
from tests.studio.browser import choose_sample, excerpt, open_page, upload_stems, wait_two_frames
from tests.studio.pseudo_language import CLOSE, CODE, OPEN, html_texts, unbracketed, write_language
from tests.studio.server import CHROMIUM, running

MODELS = [model.name for model in catalogue.list_models()]
SONGS = ["Paper boats", "Night drive", "night-drive", "vocals.ogg", "track.json"]
SYSTEMS = [name for systems in published_scores("SDR").values() for name in systems]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[i18n.Translator]:
    """The translator of the bracketed language."""
    monkeypatch.setenv("STEMSCOPE_LANGUAGES", str(write_language(tmp_path / "languages")))
    i18n.languages.cache_clear()
    yield i18n.Translator(CODE)
    monkeypatch.undo()
    i18n.languages.cache_clear()


def test_html_made_on_the_server_holds_no_text_of_its_own(
    words: i18n.Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = [
        JobState(name="Night drive", state="waiting", place=2, seconds_left=200.0),
        JobState(name="Night drive", state="working", stage="separating", method="Demucs", real_time_factor=0.3),
        JobState(name=songs.SUM_OF_SOURCES, state="failed", failed={"ica": "ICA: the file is empty"}),
        JobState(name="Night drive", state="done"),
        JobState(name="Night drive", state="stopped"),
    ]
    monkeypatch.setattr(method_cards, "has_weights", lambda name: name != "roformer")
    html = [
        fragments.masthead(words),
        fragments.hero(words),
        fragments.folded_line(words),
        fragments.method_texts(words),
        model_cards.model_cards(catalogue.list_models(), words),
        method_cards.method_cards(words),
        song_cards.song_cards(words),
        history([(str(number), state) for number, state in enumerate(states)], words, busy=2),
        *(job_control.describe(state, words) for state in states),
    ]
    papers = [method.reference for method in method_cards.METHODS.values()]
    assert unbracketed([text for one in html for text in html_texts(one)], [*MODELS, *SONGS, *papers]) == []


#: The texts that are visible, or that a screen reader would say.
TEXTS = """() => {
  const isShown = (part) => part.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement: parent, data } = walker.currentNode;
    const isCode = parent.closest("script, style, noscript, .about ul, .about small, .filename, option");
    if (!isCode && isShown(parent)) texts.push(parent.closest("p")?.textContent ?? data);
  }
  for (const name of ["aria-label", "title", "alt", "placeholder"]) {
    for (const part of document.querySelectorAll(`[${name}]`)) if (isShown(part)) texts.push(part.getAttribute(name));
  }
  for (const option of document.querySelectorAll("option")) texts.push(option.textContent);
  return texts;
}"""


def said(page: Page) -> list[str]:
    """Return the page's texts that are in no language file."""
    wait_two_frames(page)
    return unbracketed(page.evaluate(TEXTS), [*MODELS, *SONGS, *SYSTEMS])


@pytest.mark.browser
@pytest.mark.slow  # a studio of its own
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium")
def test_no_page_says_a_word_that_is_in_no_language_file(browser: Browser, tmp_path: Path) -> None:
    languages = str(write_language(tmp_path / "languages"))
    found: dict[str, list[str]] = {}
    with (
        running(tmp_path, quick=True, STEMSCOPE_LANGUAGES=languages) as server,
        open_page(browser, server.url, locale=CODE, viewport={"width": 1280, "height": 900}) as page,
    ):
        expect(page.locator("#examples .song-card").first).to_contain_text(OPEN)
        for accordion in ("#advanced", "#own"):
            page.locator(accordion).get_by_role("button").first.click()
        expect(page.locator("#yours textarea")).to_be_visible()
        found["empty form"] = said(page)
        page.click("#separate")
        expect(page.locator("#song-error")).to_be_visible()
        found["no song"] = said(page)
        upload_stems(page, "#estimates", SAMPLES / "night-drive" / "vocals.ogg")
        found["own stems"] = said(page)
        choose_sample(page)
        excerpt(page, 0, 6)
        page.click("#separate")
        page.locator("stem-player[view=stems] .lane .level").first.wait_for()
        found["at work"] = said(page)
        expect(page.locator("#status")).to_contain_text(f"{OPEN}Done{CLOSE}")
        page.locator("summary").first.wait_for()
        found["result"] = said(page)
        for number, (name, ready) in enumerate(TABS.items()):
            page.get_by_role("tab").nth(number + 1).click()
            expect(page.locator(ready).first).to_be_visible()
            found[name] = said(page)
            if name == "blind":
                page.click("#begin")
                expect(page.locator(".stimulus").first).to_be_visible()
                found["blind, begun"] = said(page)
                page.locator(".stimulus input[type=number]").first.fill("50")
                page.click("#blind-reveal")
                expect(page.locator(".agreement .lead")).to_be_visible()
                found["blind, revealed"] = said(page)
            if name == "benchmark":
                page.locator("details summary").last.click()
                found["benchmark, tables"] = said(page)
                page.locator("#bench-own").get_by_role("button").first.click()
                page.set_input_files("#bench-files input[type=file]", str(SAMPLES / "night-drive" / "track.json"))
                expect(page.locator("#bench-files .file-preview")).to_be_visible()
                expect(page.locator("#benchmark .work")).to_be_visible()
                found["benchmark, own scores"] = said(page)
        os.kill(server.pid, signal.SIGKILL)
        page.get_by_role("tab").nth(1).click()
        expect(page.get_by_test_id("toast-text").first).to_contain_text(OPEN)
        found["no connection"] = said(page)
    told = {text: state for state, texts in found.items() for text in texts}
    assert told == {}


#: A part of each further page that is there when the page is complete.
TABS = {
    "compare": ".published .chart-place svg",
    "blind": "#begin",
    "benchmark": ".bench-tables",
    "models": "#models article",
    "about": ".about",
}
