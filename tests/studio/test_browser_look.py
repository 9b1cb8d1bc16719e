"""How the studio looks and where its controls lead, in Chromium: one transport, colours, touch targets, mirroring."""

from __future__ import annotations

import colorsys
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from separation.studio.components.theme import theme
from tests.conftest import ROOT, SAMPLES
from tests.studio.browser import choose, open_page, separate, upload, wait_for, wait_two_frames
from tests.studio.server import CHROMIUM, Server

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
    zone = page.locator(".drop-chosen")
    expect(zone.locator(".drop-name")).to_have_text("mixture.flac")
    expect(zone.locator("time")).to_have_text("0:11")
    expect(song.locator("#duration")).to_have_text("0:11")  # Gradio's player is ready
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
    zone.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    expect(song.locator("input[type=file]")).to_be_attached()


def test_a_song_is_chosen_by_keyboard_and_recorded(page: Page) -> None:
    choose_file = page.get_by_role("button", name="Choose a file")
    choose_file.focus()
    with page.expect_file_chooser() as chooser:
        wait_two_frames(page)  # until Chromium knows that the dialog is expected
        page.keyboard.press("Enter")
    chooser.value.set_files(SONG)
    expect(page.locator(".drop-chosen .drop-name")).to_have_text("mixture.flac")
    page.get_by_role("button", name="Remove").press("Enter")
    expect(page.locator(".drop-empty")).to_contain_text("Up to 200 MB and 30 min")
    page.locator(".drop-record").press("Enter")
    record = page.locator("#upload .record-button")
    expect(record).to_be_focused()
    record.press("Enter")
    expect(page.locator("#upload .duration")).not_to_have_text("0:00")
    page.locator("#upload .stop-button").click()
    expect(page.locator(".drop-chosen time")).to_have_text(re.compile(r"0:0[1-9]"))
    expect(page.locator(".drop-chosen .drop-name")).to_have_text("Recording.wav")  # not audio.wav
    assert page.evaluate("document.activeElement.tagName") != "BODY"
    assert page.locator("#form").get_by_text(re.compile("Drop Audio|Click to Upload|- or -")).count() == 0


def test_the_footer_is_ours_and_leads_to_the_api(page: Page) -> None:
    expect(page.get_by_text(re.compile("Use via API|Settings|Built with")).locator("visible=true")).to_have_count(0)
    expect(page.locator("footer:visible")).to_have_count(1)
    page.get_by_role("button", name="For programs: API and MCP").click()
    expect(page.locator(".api-docs")).to_contain_text("separate")


STEMS = ("vocals", "drums", "bass", "other", "accompaniment", "guitar", "piano", "residual")

#: The value of custom properties and grounds on an element of the player, as red, green and blue of 0 to 255.
COLOURS = """(names) => {
  const player = document.body.appendChild(Object.assign(document.createElement("div"), { className: "stem-player" }));
  const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  const colours = names.map((name) => {
    player.style.color = `var(${name})`;
    pen.fillStyle = getComputedStyle(player).color;
    pen.fillRect(0, 0, 1, 1);
    return [name, [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)];
  });
  player.remove();
  return Object.fromEntries(colours);
}"""


def hue(colour: list[int]) -> float:
    """Return the hue of a colour in degrees."""
    return 360 * colorsys.rgb_to_hls(*(value / 255 for value in colour))[0]


def contrast(one: list[int], other: list[int]) -> float:
    """Return the contrast ratio of WCAG 2 between two colours."""

    def luminance(colour: list[int]) -> float:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_stem_has_the_colour_for_action(visitor: BrowserContext, server: Server, theme: str) -> None:
    tokens = ["--action", "--action-fill", "--action-soft", "--card", "--body-background-fill", "--link-text-color"]
    with open_page(visitor, f"{server.url}?__theme={theme}") as page:
        found = page.evaluate(COLOURS, [*tokens, *(f"--player-{stem}" for stem in STEMS)])
        button = page.evaluate("getComputedStyle(document.querySelector('#separate')).backgroundColor")
    for stem in STEMS:
        for action in ("--action", "--action-fill"):
            distance = abs(hue(found[action]) - hue(found[f"--player-{stem}"])) % 360
            assert min(distance, 360 - distance) >= 25, (stem, action)
        assert contrast(found[f"--player-{stem}"], found["--body-background-fill"]) >= 3, stem
    for ground in ("--action-soft", "--card", "--body-background-fill"):
        assert contrast(found["--action"], found[ground]) >= 4.5, ground
        assert contrast(found["--link-text-color"], found[ground]) >= 4.5, ground
    assert contrast([255, 255, 255], found["--action-fill"]) >= 4.5
    assert [int(value) for value in re.findall(r"\d+", button)[:3]] == found["--action-fill"]


def test_the_colour_for_action_is_written_once() -> None:
    styles = {path: path.read_text("utf-8") for path in (ROOT / "assets" / "player").glob("*.css")}
    tokens = set(re.findall(r"--action(?:-fill)?: (#\w+)", styles[ROOT / "assets" / "player" / "tokens.css"]))
    assert len(tokens) == 2
    for path, style in styles.items():
        rest = re.sub(r"--action(?:-fill)?: #\w+", "", style)
        assert [colour for colour in re.findall(r"#[0-9a-f]{6}\b", rest) if is_orange(colour)] == [], path


def is_orange(colour: str) -> bool:
    """Whether a colour in hexadecimal has the hue of action, and is no grey or near-black."""
    red, green, blue = bytes.fromhex(colour[1:])
    return 14 <= hue([red, green, blue]) <= 26 and max(red, green, blue) - min(red, green, blue) > 60


#: A part of each page that is there when the page is complete.
FULL = {
    "separate": "stem-player[view=stems] .lane",
    "compare": ".published .chart-place svg",
    "blind": "#begin",
    "benchmark": "#benchmark svg",
    "models": "#models article",
    "about": ".about",
}
PAGES = tuple(FULL)


def test_the_skip_link_leads_to_the_visible_page(page: Page, result: str) -> None:
    for number, name in enumerate(PAGES):
        page.get_by_role("tab").nth(number).click()
        panel = page.get_by_role("tabpanel")
        expect(panel).to_be_visible()
        page.locator("a.skip").focus()
        page.keyboard.press("Enter")
        assert panel.evaluate("(panel) => panel.contains(document.activeElement)"), name
        reached = page.evaluate("document.activeElement.id")
        assert name != "separate" or reached == "result"


#: What is smaller than 44 px: controls with their labels, except links within sentences.
SMALL = """() => {
  const controls = "button, a[href], input, textarea, select, summary, [role=button], [role=slider], [role=option]";
  const found = new Set();
  const boxOf = (part) => {
    const box = part.getBoundingClientRect();
    const after = getComputedStyle(part, "::after");
    const grows = after.content !== "none" && after.position === "absolute";
    const size = (side) => Math.max(box[side], grows ? parseFloat(after[side]) || 0 : 0);
    return { width: size("width"), height: size("height") };
  };
  for (const control of document.querySelectorAll(controls)) {
    const isShown = control.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const isMeant = !control.matches(".skip, :disabled, [type=file], p > a, figcaption > a");
    if (!isShown || !isMeant || !control.offsetWidth) continue;
    const boxes = [control, ...(control.labels ?? [])].map(boxOf);
    const [width, height] = ["width", "height"].map((side) => Math.max(...boxes.map((box) => box[side])));
    const name = control.getAttribute("aria-label") || control.textContent.trim() || control.id;
    if (width < 43.5 || height < 43.5) found.add(`${width.toFixed()} x ${height.toFixed()}: ${name.slice(0, 40)}`);
  }
  return [...found];
}"""


@pytest.mark.parametrize("width", [390, pytest.param(768, marks=pytest.mark.slow)])
def test_every_control_is_large_enough_for_a_finger(browser: Browser, server: Server, result: str, width: int) -> None:
    screen: dict[str, Any] = {"viewport": {"width": width, "height": 844}, "has_touch": True, "is_mobile": True}
    with open_page(browser, server.url, **screen) as page:
        for accordion in ("#advanced", "#own"):
            page.locator(accordion).get_by_role("button").first.click()
        expect(page.locator("#yours textarea")).to_be_visible()
        assert page.evaluate(SMALL) == []
    with open_page(browser, result, **screen) as page:
        expect(page.locator("stem-player[view=stems] .lane").first).to_be_visible()
        page.click("#dock-loop")
        for number, name in enumerate(PAGES):
            page.get_by_role("tab").nth(number).click()
            expect(page.locator(FULL[name]).first).to_be_visible()
            if name == "blind":
                page.click("#begin")
                expect(page.locator(".stimulus").first).to_be_visible()
            assert page.evaluate(SMALL) == [], name


#: Count the frames that a page at rest asks for in a second.
FRAMES = """async () => {
  const before = window.frames_asked;
  await new Promise((done) => setTimeout(done, 1000));
  return window.frames_asked - before;
}"""


def test_a_page_at_rest_asks_for_no_frames(visitor: BrowserContext, result: str) -> None:
    """Sixty frames a second would keep a tenth of a core busy for as long as a page is open."""
    page = visitor.new_page()
    page.add_init_script(
        """window.frames_asked = 0;
        const ask = window.requestAnimationFrame;
        window.requestAnimationFrame = (action) => (window.frames_asked++, ask.call(window, action));"""
    )
    page.goto(result)
    page.locator("stem-player[view=stems] .lane").first.wait_for()
    player = "document.querySelector('stem-player[view=stems]')"
    for _ in range(2):
        # Meters fall, and Gradio's loading screen ends its animation.
        assert any(page.evaluate(FRAMES) <= 5 for _ in range(20))
        page.evaluate(f"{player}.toggle()")
        page.wait_for_function(f"{player}.engine.playing")
        assert page.evaluate(FRAMES) > 5
        page.evaluate(f"{player}.toggle()")
    page.close()


def test_tokens_have_names_of_their_own() -> None:
    """Gradio states its own in light and again in dark, where they would win."""
    tokens = (ROOT / "assets" / "player" / "tokens.css").read_text("utf-8")
    ours = set(re.findall(r"(--[\w-]+)\s*:", tokens))
    assert not ours & set(re.findall(r"(--[\w-]+):", theme()._get_theme_css()))
