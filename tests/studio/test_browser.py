"""The studio in Chromium: separating, and the other pages."""

from __future__ import annotations

import csv
import re
import time
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import SAMPLES
from tests.studio.browser import (
    LENGTH,
    PATIENCE,
    PATIENCE_FACTOR,
    RATE,
    SECOND,
    START,
    choose,
    choose_sample,
    excerpt,
    focused,
    lane_selector,
    open_page,
    play,
    point_at,
    press_by_key,
    separate,
    upload,
    upload_stems,
    wait_for,
    wait_two_frames,
)
from tests.studio.server import CHROMIUM, Server

SONG = SAMPLES / "night-drive" / "mixture.flac"


pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


@pytest.mark.usefixtures("same_page")
def test_separate_listen_and_download(page: Page, result: str, tmp_path: Path) -> None:
    for method, rows in (("ICA", 4), ("Demucs", 6), ("Open-Unmix", 6)):
        page.get_by_role("radio", name=method).click()
        expect(page.locator("stem-player[view=stems] .lane")).to_have_count(rows)
        page.wait_for_function(
            "[...document.querySelectorAll('stem-player .lane img')].every(i => i.complete && i.naturalWidth > 300)"
        )
    play(page)
    page.wait_for_function("document.querySelector('stem-player').seconds > 0.5")
    with page.expect_download() as caught:
        page.click("stem-player a.zip")
    archive = tmp_path / "stems.zip"
    caught.value.save_as(archive)
    check_archive(archive, SONG)


def check_archive(archive: Path, song: Path) -> None:
    """Check that the stems have the excerpt's length, and sum to it up to the residual in result.json."""
    folder = archive.parent / "stems"
    with zipfile.ZipFile(archive) as content:
        assert set(content.namelist()) == {"vocals.wav", "drums.wav", "bass.wav", "other.wav", "result.json"}
        content.extractall(folder)
    mixture, rate = soundfile.read(song, start=START * RATE, frames=LENGTH * RATE)
    total = np.zeros_like(mixture)
    for path in folder.glob("*.wav"):
        stem, stem_rate = soundfile.read(path)
        assert stem_rate == rate
        assert stem.shape == mixture.shape
        total += stem
    residual = 10 * np.log10(np.sum((mixture - total) ** 2) / np.sum(mixture**2))
    said = re.search(r'"residual_db": (-?[\d.]+)', (folder / "result.json").read_text())
    assert said is not None
    assert float(said[1]) == pytest.approx(residual, abs=0.01)


@pytest.mark.usefixtures("same_page")
def test_the_current_mix_can_be_downloaded(page: Page, result: str, tmp_path: Path) -> None:
    page.locator(f"{lane_selector(page, 'vocals')} .without").click()
    with page.expect_download() as caught:
        page.click("#stems-keep")
    caught.value.save_as(tmp_path / "mix.wav")
    sound, rate = soundfile.read(tmp_path / "mix.wav")
    assert (len(sound), rate) == (LENGTH * RATE, RATE)
    assert np.abs(sound).max() > 0.01


def test_stop_ends_within_a_segment_and_the_page_stays_usable(page: Page, long_song: Path) -> None:
    upload(page, long_song)
    choose(page, "Mixture ÷ 4", "Demucs")
    separate(page)
    wait_for(page, "Demucs")
    page.click("#stop")
    wait_for(page, "Stopped.*1 of 2 methods finished")
    expect(page.get_by_role("radio", name="Mixture ÷ 4")).to_be_visible()
    expect(page.get_by_role("radio", name="Demucs")).to_have_count(0)
    expect(page.locator("#separate")).to_be_enabled()
    choose(page, "Mixture ÷ 4")
    excerpt(page, 0, 2)
    separate(page)
    wait_for(page, "Done.*1 of 1 methods")


def test_stop_during_the_first_method_leaves_no_player_and_no_link(page: Page, long_song: Path) -> None:
    upload(page, long_song)
    choose(page, "Demucs")
    separate(page)
    page.wait_for_url("**result=**")
    press_by_key(page, page.locator("#stop"))
    wait_for(page, "Stopped.*0 of 1 methods finished")
    expect(page.locator("#status")).to_be_focused()
    expect(page.locator("stem-player[view=stems]")).to_have_count(0)
    page.wait_for_url(lambda url: "result=" not in url)
    press_by_key(page, page.get_by_role("button", name="Start again"))
    page.wait_for_url("**result=**")
    expect(page.locator("#go-on")).to_be_hidden()
    assert focused(page) in ("status", "result")
    page.click("#stop")
    wait_for(page, "Stopped.*0 of 1 methods finished")


def test_waiting_visitors_see_their_position_and_can_cancel(
    visitor: BrowserContext, server: Server, page: Page, long_song: Path
) -> None:
    choose_sample(page)
    with open_page(visitor, server.url) as other:
        upload(other, long_song)
        choose(other, "Demucs", "Open-Unmix")
        separate(other)
        wait_for(other, "Demucs|Open-Unmix")
        separate(page)
        wait_for(page, "Waiting.*1 ahead of you")
        with open_page(visitor, page.url) as same:
            expect(same.locator("#folded strong")).to_have_text("Night drive")
            expect(same.locator("#folded span")).to_have_text("Best offline")
        page.click("#stop")
        wait_for(page, "Stopped")
        other.locator("#stop").dispatch_event("click")  # it may have ended meanwhile
        wait_for(other, "Stopped|Done")


def test_files_that_are_not_audio_are_refused_in_one_sentence(page: Page, tmp_path: Path) -> None:
    for name, content, words in (
        ("notes.mp3", b"these are my notes, not a song" * 20, "cannot read 'notes.mp3'"),
        ("list.mp3", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "cannot read 'list.mp3'"),
        ("<b>bold<.wav", b"RIFF....", "That did not work"),
    ):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#upload input[type=file]", str(tmp_path / name))
        expect(page.locator("#choice strong")).to_have_text(re.compile("notes|list|bold"))
        page.click("#separate")
        wait_for(page, re.escape(words))
        text = page.locator("#status").inner_text()
        assert "Traceback" not in text
        assert "/" not in text.replace("'", "")
        page.reload()


def test_what_is_missing_or_negative_is_told_at_its_field_until_it_is_mended(page: Page) -> None:
    page.click("#separate")
    error = page.locator(".field-error:visible")
    expect(error).to_have_text(re.compile("Choose a song first"))
    assert page.evaluate("document.querySelector('#song').contains(document.activeElement)")
    choose_sample(page)
    expect(error).to_have_count(0)
    choose(page)
    page.click("#separate")
    expect(error).to_have_text("Choose at least one method.")
    page.get_by_role("checkbox", name="Mixture ÷ 4").check()
    expect(error).to_have_count(0)
    upload(page, SONG)
    excerpt(page, 0, -1)
    page.click("#separate")
    expect(error).to_have_text("The length cannot be negative.")
    excerpt(page, 0, 1)
    expect(error).to_have_count(0)
    expect(page.locator("#status .work")).to_have_count(0)  # nothing was sent


def test_the_result_is_found_after_a_reload_and_by_its_link(page: Page, result: str) -> None:
    page.reload()
    expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible()
    assert page.get_by_role("link", name="Link to this result").get_attribute("href") == result
    page.goto(re.sub("result=.*", "result=" + "a" * 22, result))
    wait_for(page, "kept for one hour")


def test_own_references_bring_scores(page: Page) -> None:
    folder = SAMPLES / "night-drive"
    upload(page, folder / "mixture.flac")
    upload_stems(
        page, "#references", *(path for path in folder.iterdir() if path.stem in ("vocals", "drums", "bass", "other"))
    )
    choose(page, "Mixture ÷ 4")
    excerpt(page, 1, 1)
    separate(page)
    wait_for(page, "Done.*1 of 1 methods")
    expect(page.locator(lane_selector(page, "vocals"))).to_contain_text(re.compile(r"SDR -?\d"))


@pytest.fixture(scope="module")
def comparison(visitor: BrowserContext, result: str) -> Iterator[Page]:
    with open_page(visitor, result) as page:
        open_tab(page, "Compare")
        expect(page.locator(".matrix tfoot")).to_be_visible()
        yield page


@pytest.fixture
def compared(comparison: Page) -> Page:
    """The Compare page, silent and at the beginning of its song; tests that change little there share it.

    The song repeats: its end would come before a slow machine has seen that it plays.
    """
    comparison.bring_to_front()
    comparison.evaluate(
        """() => {
          const { engine } = document.querySelector("stem-player[view=compare]");
          engine.pause();
          engine.seek(0);
          engine.setLoop({ from: 0, to: engine.frames });
          window.scrollTo(0, 0);
        }"""
    )
    comparison.wait_for_function("!document.querySelector('stem-player[view=compare]').engine.playing")
    comparison.locator("#compare-matrix-metric").select_option("SDR")
    return comparison


def test_pages_show_the_result_of_their_address_before_the_form_does(visitor: BrowserContext, result: str) -> None:
    """A click on a tab may come first when a page is opened by a link."""
    page = visitor.new_page()
    page.route("**/queue/join*", lambda route: None)  # what restores the form
    page.goto(result)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("stem-player[view=compare] .matrix")).to_be_visible()
    page.get_by_role("tab", name="Blind test").click()
    expect(page.locator("#begin")).to_be_visible()
    page.close()


def test_methods_are_compared(compared: Page) -> None:
    page = compared
    cells = page.locator("stem-player[view=compare] .cell.picture")
    expect(cells.first).to_be_visible()
    assert page.locator("stem-player[view=compare] .cell.difference").count() >= 8
    expect(page.locator(".score-table")).to_contain_text("Open-Unmix")
    page.click("#compare-worst")
    page.wait_for_function("document.querySelector('stem-player[view=compare]').engine.playing")
    loop = page.evaluate("document.querySelector('stem-player[view=compare]').engine.loop")
    assert loop["to"] - loop["from"] == 48000
    expect(page.locator(".small-charts svg")).to_have_count(4)
    expect(page.locator(".published .chart-place svg")).to_be_visible()


def test_the_comparison_begins_with_its_answer_and_its_cells_play(compared: Page) -> None:
    page = compared
    expect(page.locator(".answer .lead")).to_have_text(re.compile(r"(best for|a tie of|leads for) .*\.$"))
    expect(page.locator(".matrix tbody tr")).to_have_count(4)  # three methods and the true sources
    assert page.locator(".matrix .best").count() >= 4
    expect(page.locator(".matrix thead th")).to_have_text(["Method", "Vocals", "Drums", "Bass", "Other"])
    components = page.locator(".matrix [data-hear^='ica/component']")  # each in its stem's cell
    expect(components).to_have_text([re.compile(r"\d\.\d.*Component \d")] * 2)
    components.first.click()
    expect(components.first).to_have_class(re.compile("heard"))
    page.locator("[data-hear='demucs/drums']").click()
    page.wait_for_function("document.querySelector('stem-player[view=compare]').engine.playing")
    audible = "['demucs/drums', 'demucs/vocals'].map(id => document.querySelector('stem-player').engine.isAudible(id))"
    assert page.evaluate(audible) == [True, False]
    expect(page.locator("[data-hear='demucs/drums']")).to_have_class(re.compile("heard"))
    page.locator("#compare-matrix-metric").select_option("SIR")
    expect(page.locator(".metric-choice")).to_contain_text("other sources")
    expect(page.locator(".published h3")).to_contain_text("SIR")
    expect(page.locator(".seconds h4")).to_contain_text("SIR")


def test_charts_tell_their_points_play_and_can_be_saved(compared: Page, tmp_path: Path) -> None:
    page = compared
    chart = page.locator(".published .chart-place")
    chart.scroll_into_view_if_needed()
    expect(chart.locator("line.song").first).to_be_attached()
    x, y = point_at(page, chart.locator("line.song").first, page.locator(".published .chart-tip"), "this song")
    page.mouse.click(x, y)
    page.wait_for_function("document.querySelector('stem-player[view=compare]').engine.playing")
    figure = page.locator(".published .chart-downloads")
    for kind in ("SVG", "PNG", "CSV"):
        with page.expect_download() as caught:
            figure.get_by_text(kind).click()
        caught.value.save_as(tmp_path / f"chart.{kind}")
    svg = (tmp_path / "chart.SVG").read_text(encoding="utf-8")
    assert "var(" not in svg
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert (tmp_path / "chart.PNG").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.reader((tmp_path / "chart.CSV").open(encoding="utf-8")))
    assert rows[0] == ["target", "method", "track", "dB"]
    assert len(rows) > 4 * 20 * 50


def test_legends_show_the_line_and_letter_of_each_method(compared: Page) -> None:
    page = compared
    legend = page.evaluate(
        """[...document.querySelectorAll('.seconds .chart-legend > *')].map((entry) => [
            entry.querySelector('b').textContent, entry.querySelector('line').getAttribute('stroke-dasharray')])"""
    )
    lines = page.evaluate(
        "[...document.querySelectorAll('.seconds path.line')].map((line) => line.getAttribute('stroke-dasharray'))"
    )
    letters = page.evaluate("[...document.querySelectorAll('.matrix tbody th b')].map((letter) => letter.textContent)")
    assert [dash for _, dash in legend] == lines
    assert [letter for letter, _ in legend] == letters[:-1] == ["A", "B", "C"]
    assert len(set(lines)) == 3


def test_a_blind_test_ends_in_a_table_and_a_csv(page: Page, server: Server, result: str, tmp_path: Path) -> None:
    open_tab(page, "Blind test")
    page.locator("#blind-sources").get_by_label("Drums").check()
    page.click("#begin")
    expect(page.locator(".step")).to_have_text("1 of 2: Vocals")
    expect(page.locator(".stimulus")).to_have_count(4)
    before = page.locator("stem-player[view=blind]").inner_text()
    assert "Open-Unmix" not in before
    for number, letter in enumerate("ABCD"):
        page.locator(f"#blind-rate-{letter}").fill(str(20 + 20 * number))
    page.click("#blind-hear-B")
    page.keyboard.press("3")
    expect(page.locator("#blind-hear-C")).to_have_attribute("aria-pressed", "true")
    page.click("#dock-play")
    page.wait_for_function("document.querySelector('stem-player[view=blind]').engine.playing")
    page.click("#blind-next")
    expect(page.locator(".step")).to_have_text("2 of 2: Drums")
    expect(page.locator(".step")).to_be_focused()
    expect(page.locator(".stem-dock")).not_to_contain_text("null")
    expect(page.locator("#blind-number-A")).to_have_value("")
    slider = page.locator("#blind-rate-A")
    slider.click()  # in the middle, where it stands before a rating
    expect(page.locator("#blind-number-A")).to_have_value("50")
    for letter, rating in {"B": 60, "C": 70, "D": 90}.items():
        page.locator(f"#blind-number-{letter}").fill(str(rating))
    page.click("#blind-back")
    expect(page.locator("#blind-number-A")).to_have_value("20")
    page.click("#blind-next")
    key = page.evaluate("document.querySelector('stem-player[view=blind]').getAttribute('token')")
    hidden = next(server.folder.glob(f"stemscope-*/hidden/{key}.json"))
    assert page.request.get(f"{server.url}/gradio_api/file={hidden}").status == 403
    page.reload()  # it goes on where it was
    open_tab(page, "Blind test")
    expect(page.locator(".step")).to_have_text("2 of 2: Drums")
    expect(page.locator("#blind-number-D")).to_have_value("90")
    page.click("#blind-reveal")
    expect(page.locator(".revealed table").first).to_contain_text("Open-Unmix")
    expect(page.locator(".agreement .lead")).to_contain_text("over 4 rated stems")
    with page.expect_download() as caught:
        page.get_by_role("button", name="Ratings (CSV)").click()
    caught.value.save_as(tmp_path / "ratings.csv")
    with (tmp_path / "ratings.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rating"] for row in rows] == ["80", "60", "40", "20", "90", "70", "60", "50"]
    assert {row["method"] for row in rows} == {"open-unmix", "demucs", "references", "song"}
    assert {row["source"] for row in rows} == {"vocals", "drums"}
    page.reload()  # the ratings stay in the browser until they are deleted
    open_tab(page, "Blind test")
    expect(page.get_by_text("All ratings of this browser")).to_be_visible()
    press_by_key(page, page.get_by_role("button", name="Forget my ratings"))
    expect(page.get_by_text("All ratings of this browser")).to_have_count(0)
    assert focused(page) != "BODY"


def test_revealing_without_a_rating_warns_first(page: Page, result: str) -> None:
    open_tab(page, "Blind test")
    page.click("#begin")
    expect(page.locator(".stimulus")).to_have_count(4)
    page.click("#blind-reveal")
    expect(page.get_by_role("alert")).to_contain_text("You have not rated anything")
    expect(page.locator(".revealed table")).to_have_count(0)
    page.click("#blind-reveal")
    expect(page.locator(".revealed table")).to_contain_text("Open-Unmix")
    page.evaluate("localStorage.clear()")


def test_a_new_test_or_song_replaces_the_last_one(page: Page) -> None:
    choose_sample(page)
    choose(page, "Mixture ÷ 4")
    for seconds in (1, 2):
        open_tab(page, "Separate")
        excerpt(page, 1, seconds)
        separate(page)
        wait_for(page, "Done.*1 of 1 methods")
        for name, view, parts in (("Compare", "compare", ".cell.picture"), ("Blind test", "blind", ".stimulus")):
            for _ in range(seconds):  # coming back changes nothing, beginning again does
                open_tab(page, name)
                if view == "blind":
                    page.click("#begin")
                player = page.locator(f"stem-player[view={view}]")
                expect(player.locator(parts).first).to_be_visible()
                expect(page.locator(".stem-dock .clock")).to_have_text(f"0:00.0 / 0:0{seconds}.0")
                open_tab(page, "About")


def test_benchmark_models_and_about_pages(page: Page) -> None:
    open_tab(page, "Benchmark")
    expect(page.locator("#benchmark svg")).to_be_visible()
    expect(page.locator("#benchmark .lead")).to_contain_text(
        "Best offline is clearly best for vocals", timeout=60 * SECOND
    )
    page.locator("#benchmark summary").click()
    expect(page.locator("#benchmark")).to_contain_text("Wilcoxon")
    page.locator("#bench-metric").get_by_label("SIR").check()  # drawn again by itself
    expect(page.locator("#benchmark h3")).to_contain_text("SIR", timeout=60 * SECOND)
    open_tab(page, "Models")
    expect(page.locator("#models article")).to_have_count(20)
    open_tab(page, "About")
    expect(page.get_by_text("Always listen")).to_be_visible()


def test_a_stranger_hears_an_example_after_two_clicks(page: Page) -> None:
    began = time.monotonic()
    page.click("[data-song='Paper boats']")
    page.click("#dock-play")
    page.wait_for_function("document.querySelector('stem-player[view=stems]').seconds > 0")
    assert time.monotonic() - began < 6 * PATIENCE_FACTOR
    expect(page.locator("#folded")).to_contain_text("Paper boats")
    expect(page.locator("#form")).to_be_hidden()
    page.locator("#stop").dispatch_event("click")  # the rest would slow down the next test


def test_separate_is_reached_within_six_tabs_and_the_focus_is_never_lost(page: Page) -> None:
    choose_sample(page)
    choose(page, "Mixture ÷ 4")
    with page.expect_request(lambda request: "/queue/data" in request.url):  # for what a page asks when it is loaded
        page.reload()
    expect(page.locator("#separate")).to_be_visible()
    page.wait_for_function("document.body.dataset.stage && !document.querySelector('.progress-text')")
    wait_two_frames(page)
    reached = []
    for number in range(6):
        page.keyboard.press("Tab")
        if number == 0:
            page.keyboard.press("Enter")  # the skip link
        reached.append(focused(page))
    assert reached[-1] == "separate"
    page.keyboard.press("Enter")  # no song: the focus goes to its field
    assert focused(page) != "BODY"
    page.locator("[data-song='Night drive']").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.song") == "Paper boats"
    page.keyboard.press("Enter")
    expect(page.locator("stem-player[view=stems]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#result")).to_be_focused()
    page.locator("#change").focus()
    page.keyboard.press("Enter")
    assert focused(page) not in ("BODY", "change")
    page.locator("#stop").dispatch_event("click")


def test_the_focus_stays_where_something_is_fetched(page: Page) -> None:
    """A card is drawn anew with each step of its download, which fails here."""
    for tab, button, place in (
        ("Separate", "get-htdemucs", "card-htdemucs"),
        ("Separate", "card-track", "card-track"),
        ("Models", "get-model-umxse", "model-umxse"),
    ):
        open_tab(page, tab)
        press_by_key(page, page.locator(f"#{button}"))
        card = page.locator(f"#{place}")
        retry = card.get_by_role("button", name="Retry")
        expect(retry).to_be_visible(timeout=60 * SECOND)
        expect(card).to_be_focused()
        press_by_key(page, retry)
        expect(card).to_be_focused()


# What the Separate page goes through when the `tabindex` that Gradio removed is there again at once.
FORGET_TABINDEX = """(place) => {
  place.focus();
  place.removeAttribute("tabindex");
  place.setAttribute("tabindex", "-1");
}"""


@pytest.mark.usefixtures("same_page")
def test_a_place_that_loses_its_tabindex_keeps_the_focus_until_the_visitor_leaves(page: Page, result: str) -> None:
    page.locator("#status").evaluate(FORGET_TABINDEX)
    expect(page.locator("#status")).to_be_focused()
    page.locator("#footer").or_(page.locator("footer")).first.click(position={"x": 2, "y": 2})
    assert focused(page) != "status"


def test_refusals_are_in_the_visitors_language(browser: Browser, server: Server, tmp_path: Path) -> None:
    (tmp_path / "notizen.mp3").write_bytes(b"these are my notes, not a song" * 20)
    with open_page(browser, server.url, locale="de-DE") as page:
        upload(page, tmp_path / "notizen.mp3")
        page.click("#separate")
        wait_for(page, "'notizen.mp3' kann nicht gelesen werden")
        page.get_by_role("button", name="Schnell", exact=True).click()  # the message is no longer about this form
        expect(page.locator("#status .work")).to_be_hidden()


def test_german_browsers_get_german_pages(browser: Browser, server: Server, result: str) -> None:
    with open_page(browser, result, locale="de-DE") as page:
        expect(page.locator("#separate")).to_have_text("Trennen")
        expect(page.get_by_role("button", name="Abspielen")).to_be_visible()
        expect(page.locator("#status")).to_contain_text("Fertig")
        expect(page.get_by_role("radio", name="Originalspuren")).to_be_visible()
        page.get_by_role("button", name="Ändern").click()
        expect(page.get_by_role("checkbox", name="Mix ÷ 4")).to_be_visible()
        expect(page.get_by_text("Keine Trennung").first).to_be_visible()
        open_tab(page, "Über")
        expect(page.get_by_text("Immer auch anhören")).to_be_visible()
