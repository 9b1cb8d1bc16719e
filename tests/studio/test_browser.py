"""The studio as a visitor has it: a real server, a real browser, real sound."""

from __future__ import annotations

import base64
import csv
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from tests.conftest import SAMPLES
from tests.studio.server import CHROMIUM, Server

SECOND = 1000.0  # playwright counts in milliseconds
PATIENCE = 120 * SECOND
RATE = 44100
SONG = SAMPLES / "night-drive" / "mixture.flac"
START, LENGTH = 1, 6  # of the excerpt that is taken apart, in seconds

expect.set_options(timeout=30 * SECOND)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    arguments += ["--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """Somebody at a desktop, whose browser keeps the page's scripts from one test to the next."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(visitor: BrowserContext, server: Server) -> Iterator[Page]:
    with opened(visitor, server.url) as fresh:
        yield fresh


class opened:  # noqa: N801  # used like a function
    """A page that fails the test if its scripts fail."""

    def __init__(self, browser: Browser | BrowserContext, url: str, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)

    def __enter__(self) -> Page:
        expect(self.page.locator("#separate")).to_be_visible()
        return self.page

    def __exit__(self, *_: object) -> None:
        self.page.close()
        assert self.errors == []


@pytest.fixture(scope="module")
def result(visitor: BrowserContext, server: Server) -> str:
    """The address of a page with a result of three methods on a sample, with scores."""
    with opened(visitor, server.url) as page:
        choose_sample(page)
        choose(page, "Open-Unmix", "ICA", "Demucs")
        excerpt(page, START, LENGTH)
        separate(page)
        expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible(timeout=PATIENCE)  # before all is done
        wait_for(page, "Done.*3 of 3 methods")
        return page.url


# -- what a visitor does ---------------------------------------------------------------------------


def choose(page: Page, *methods: str) -> None:
    """Tick exactly these methods."""
    for box in page.locator("#methods input[type=checkbox]").all():
        box.set_checked(False)
    for method in methods:
        page.get_by_role("checkbox", name=method, exact=True).check()


def choose_sample(page: Page) -> None:
    page.locator("#kind").get_by_label("Sample").check()
    expect(page.locator("#sample")).to_be_visible()


def upload(page: Page, path: Path) -> None:
    page.set_input_files("#upload input[type=file]", str(path))
    expect(page.locator("#upload")).to_contain_text("0:")


def bring(page: Page, where: str, *files: Path) -> None:
    """Own references or estimates."""
    if not page.locator(where).is_visible():
        page.locator("#own").get_by_role("button").first.click()
    page.set_input_files(f"{where} input[type=file]", [str(file) for file in files])
    for file in files:
        expect(page.locator(where)).to_contain_text(file.stem)


def excerpt(page: Page, start: float, seconds: float) -> None:
    page.locator("#start input").fill(str(start))
    page.locator("#duration input").fill(str(seconds))


def separate(page: Page) -> None:
    page.click("#separate")
    expect(page.locator("#stop")).to_be_enabled(timeout=PATIENCE)


def wait_for(page: Page, words: str) -> None:
    expect(page.locator("#status")).to_contain_text(re.compile(words), timeout=PATIENCE)


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def lane(page: Page, name: str) -> str:
    return f"stem-player[view=stems] .lane[data-row='{name}']"


def save(page: Page, name: str) -> None:
    """Keep a picture of the page for a person to look at."""
    folder = Path(__file__).parent / "screenshots"
    folder.mkdir(exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)


#: Numbers as text: a browser hands over a list of them one by one.
PACKED = """(list) => {
  const bytes = new Uint8Array(Float32Array.from(list).buffer);
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}"""


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float32).astype(np.float64)


def player(page: Page, script: str) -> object:
    """Something of the player on the first page, as `p`."""
    return page.evaluate(
        f"(() => {{ const p = document.querySelector('stem-player[view=stems]'); return {script}; }})()"
    )


def record(page: Page, nodes: str, seconds: float, action: str = "") -> np.ndarray:
    """What comes out of a player's audio nodes while an action is done: (nodes, samples) at 48 kHz.

    `nodes` and `action` are scripts that know the player as `p`; the action is done half way.
    """
    samples = page.evaluate(
        f"""async () => {{
          const p = document.querySelector("stem-player[view=stems]");
          const context = p.engine.context, nodes = {nodes};
          const code = `registerProcessor("recorder", class extends AudioWorkletProcessor {{
            process(inputs) {{
              this.port.postMessage(inputs.map((input) => input[0]?.slice() ?? new Float32Array(128)));
              return true;
            }}
          }});`;
          const url = URL.createObjectURL(new Blob([code], {{ type: "text/javascript" }}));
          await context.audioWorklet.addModule(url).catch(() => 0);
          const inputs = {{ numberOfInputs: nodes.length, numberOfOutputs: 0 }};
          const recorder = new AudioWorkletNode(context, "recorder", inputs);
          nodes.forEach((node, number) => node.connect(recorder, 0, number));
          const tapes = nodes.map(() => []);
          recorder.port.onmessage = ({{ data }}) => data.forEach((block, number) => tapes[number].push(...block));
          await new Promise((resolve) => setTimeout(resolve, {500 * seconds}));
          {action};
          await new Promise((resolve) => setTimeout(resolve, {500 * seconds}));
          nodes.forEach((node) => node.disconnect(recorder));
          return tapes.map({PACKED});
        }}"""
    )
    return np.stack([unpacked(tape) for tape in samples])


def play(page: Page) -> None:
    player(page, "p.toggle()")
    page.wait_for_function("document.querySelector('stem-player[view=stems]').engine.playing")


def own_result(page: Page, folder: Path, stems: dict[str, np.ndarray]) -> None:
    """A result that holds just these stems: their sum as the song, themselves as another tool's."""
    folder.mkdir()
    soundfile.write(folder / "mix.wav", sum(stems.values()), RATE, subtype="FLOAT")
    for name, sound in stems.items():
        soundfile.write(folder / f"{name}.wav", sound, RATE, subtype="FLOAT")
    upload(page, folder / "mix.wav")
    bring(page, "#estimates", *(folder / f"{name}.wav" for name in stems))
    choose(page)
    separate(page)
    wait_for(page, "Done")


# -- separate --------------------------------------------------------------------------------------


def test_a_song_is_taken_apart_heard_seen_and_saved(page: Page, result: str, tmp_path: Path) -> None:
    page.goto(result)
    for method, rows in (("ICA", 4), ("Demucs", 6), ("Open-Unmix", 6)):
        page.get_by_role("radio", name=method).click()
        expect(page.locator("stem-player[view=stems] .lane")).to_have_count(rows)
        page.wait_for_function(
            "[...document.querySelectorAll('stem-player .lane img')].every(i => i.complete && i.naturalWidth > 300)"
        )
    save(page, "separate")
    play(page)
    page.wait_for_function("document.querySelector('stem-player').seconds > 0.5")
    with page.expect_download() as caught:
        page.click("stem-player a.zip")
    archive = tmp_path / "stems.zip"
    caught.value.save_as(archive)
    check_archive(archive, SONG)


def check_archive(archive: Path, song: Path) -> None:
    """The downloaded stems are the excerpt's length and sum to it as well as result.json says."""
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


def test_the_mix_one_hears_can_be_kept(page: Page, result: str, tmp_path: Path) -> None:
    page.goto(result)
    page.locator(f"{lane(page, 'vocals')} .without").click()
    with page.expect_download() as caught:
        page.click("#stems-keep")
    caught.value.save_as(tmp_path / "mix.wav")
    sound, rate = soundfile.read(tmp_path / "mix.wav")
    assert (len(sound), rate) == (LENGTH * RATE, RATE)
    assert np.abs(sound).max() > 0.01


def test_stop_ends_within_a_segment_and_the_page_goes_on(page: Page) -> None:
    upload(page, SAMPLES / "paper-boats" / "mixture.flac")
    choose(page, "Mixture ÷ 4", "Demucs")
    separate(page)
    wait_for(page, "Demucs")
    page.click("#stop")
    wait_for(page, "Stopped.*1 of 2 methods finished")
    expect(page.get_by_role("radio", name="Mixture ÷ 4")).to_be_visible()
    expect(page.get_by_role("radio", name="Demucs")).to_have_count(0)
    expect(page.locator("#separate")).to_be_enabled()
    choose(page, "Mixture ÷ 4")
    separate(page)
    wait_for(page, "Done.*1 of 1 methods")


def test_who_waits_knows_their_place_and_can_leave(visitor: BrowserContext, server: Server, page: Page) -> None:
    choose_sample(page)
    with opened(visitor, server.url) as other:
        upload(other, SAMPLES / "paper-boats" / "mixture.flac")
        choose(other, "Demucs", "Open-Unmix")
        separate(other)
        wait_for(other, "Demucs|Open-Unmix")
        separate(page)
        wait_for(page, "Waiting.*1 ahead of you")
        page.click("#stop")
        wait_for(page, "Stopped")
        other.click("#stop")
        wait_for(other, "Stopped")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.mp3", b"these are my notes, not a song" * 20, "cannot read 'notes.mp3'"),
        ("list.mp3", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "cannot read 'list.mp3'"),
        ("<b>bold<.wav", b"RIFF....", "That did not work"),
    ],
)
def test_what_is_no_song_gets_a_sentence(page: Page, tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with page.expect_response(lambda answer: "/upload?" in answer.url):
        page.set_input_files("#upload input[type=file]", str(path))
    page.wait_for_timeout(1 * SECOND)
    page.click("#separate")
    wait_for(page, re.escape(words))
    text = page.locator("#status").inner_text()
    assert "Traceback" not in text
    assert "/" not in text.replace("'", "")


def test_without_a_song_or_a_method_the_page_says_so(page: Page) -> None:
    page.click("#separate")
    wait_for(page, "Choose a song first")
    choose_sample(page)
    choose(page)
    page.click("#separate")
    wait_for(page, "Choose at least one method")


def test_a_reload_and_a_link_find_the_result(page: Page, result: str) -> None:
    page.goto(result)
    expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible()
    page.reload()
    expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible()
    assert page.get_by_role("link", name="Link to this result").get_attribute("href") == result
    page.goto(re.sub("result=.*", "result=" + "a" * 22, result))
    wait_for(page, "kept for an hour")


def test_own_references_bring_scores(page: Page) -> None:
    folder = SAMPLES / "night-drive"
    upload(page, folder / "mixture.flac")
    bring(
        page, "#references", *(path for path in folder.iterdir() if path.stem in ("vocals", "drums", "bass", "other"))
    )
    choose(page, "Mixture ÷ 4")
    excerpt(page, 1, 4)
    separate(page)
    wait_for(page, "Done.*1 of 1 methods")
    expect(page.locator(lane(page, "vocals"))).to_contain_text(re.compile(r"SDR -?\d"))


# -- the player ------------------------------------------------------------------------------------


def test_a_method_is_switched_without_a_gap_and_at_equal_level(page: Page, tmp_path: Path) -> None:
    """The same files twice, as true sources and as another tool's stems: a switch must not be heard."""
    time = np.arange(8 * RATE) / RATE
    folder = tmp_path / "own"
    folder.mkdir()
    for name, hertz in (("vocals", 440.0), ("other", 660.0)):
        sound = 0.2 * np.sin(2 * np.pi * hertz * time)
        soundfile.write(folder / f"{name}.wav", np.stack([sound, sound], axis=1), RATE, subtype="FLOAT")
    files = [folder / "vocals.wav", folder / "other.wav"]
    bring(page, "#references", *files)
    bring(page, "#estimates", *files)
    choose(page)
    separate(page)
    wait_for(page, "Done")
    play(page)
    page.wait_for_function("document.querySelector('stem-player').seconds > 0.5")
    heard = record(page, "[p.engine.level]", 2.4, "p.choose('references')")[0]
    assert player(page, "p.method") == "references"
    power = np.square(heard[: len(heard) // 240 * 240]).reshape(-1, 240).mean(1)  # 5 ms each
    envelope = 10 * np.log10(np.convolve(power, np.ones(4) / 4, "valid") + 1e-12)
    assert envelope.min() > np.median(envelope) - 1.5, "there is a gap"
    assert power.min() > 0.2 * np.median(power), "there is a gap of 5 ms"
    half = len(heard) // 2
    levels = [10 * np.log10(np.square(part).mean()) for part in (heard[: half - 4800], heard[half + 4800 :])]
    assert abs(levels[0] - levels[1]) < 0.1
    # No jump: both tones go on where they were. What is left of the sound without them is little.
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))) ** 2
    bins = np.fft.rfftfreq(len(heard), 1 / 48000)
    tones = (np.abs(bins - 440) < 20) | (np.abs(bins - 660) < 20)
    assert spectrum[~tones].sum() < 1e-3 * spectrum[tones].sum()


def test_stems_stay_together_to_the_sample(page: Page, tmp_path: Path) -> None:
    """Two stems hold the same noise: after a minute and three seeks they must still come out alike."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((95 * RATE, 1))
    own_result(page, tmp_path / "own", {"vocals": noise, "drums": noise.copy()})
    play(page)
    for second in (20.3, 47.77, 61.5):  # the join at 64 s will be heard
        player(page, f"p.seek({second})")
        page.wait_for_function(
            f"(p => p.engine.playing && p.seconds > {second + 0.3})(document.querySelector('stem-player'))"
        )
    assert_together(page)


def test_stems_stay_together_on_a_busy_machine(page: Page, tmp_path: Path) -> None:
    """A start that is too late for its moment would lag behind the others until the piece is over."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((20 * RATE, 1))
    own_result(page, tmp_path / "own", {"vocals": noise, "drums": noise.copy()})
    page.evaluate("""() => {
      const start = AudioBufferSourceNode.prototype.start;
      let late = 3;
      AudioBufferSourceNode.prototype.start = function (...when) {
        for (const begun = performance.now(); late > 0 && performance.now() < begun + 150; );
        late--;
        return start.apply(this, when);
      };
    }""")
    play(page)
    page.wait_for_function("document.querySelector('stem-player').seconds > 0.5")
    assert_together(page)


def assert_together(page: Page) -> None:
    """Three seconds of the stems vocals and drums, which hold the same, come out alike."""
    taps = "['yours/vocals', 'yours/drums'].map((id) => p.engine.tracks.get(id).gain)"
    one, other = record(page, taps, 3)
    assert np.square(one).mean() > 1e-4
    correlation = [float(np.dot(one[100:-100], np.roll(other, lag)[100:-100])) for lag in range(-20, 21)]
    assert int(np.argmax(correlation)) == 20
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_place_that_is_not_there_yet_is_waited_for(page: Page, result: str) -> None:
    """Nothing of the song plays meanwhile, least of all its beginning."""

    all_there = False

    def early(route: Route) -> None:
        if all_there:
            route.continue_()
            return
        document = route.fetch().json()
        document["working"] = True
        for group in document["groups"]:
            for track in group["tracks"]:
                track["ready"] = document["chunk"]  # four seconds of six
        route.fulfill(json=document)

    page.route("**/player.json", early)
    page.goto(result)
    expect(page.locator(lane(page, "vocals"))).to_be_visible()
    player(page, "p.engine.addEventListener('change', () => { if (p.engine.playing) p.from ??= p.seconds; })")
    player(page, "p.seek(4.5)")
    player(page, "p.toggle()")
    page.wait_for_timeout(1.5 * SECOND)
    assert player(page, "[p.engine.wanted, p.engine.playing, p.seconds]") == [True, False, 4.5]
    expect(page.locator("stem-player[view=stems]")).to_have_class(re.compile("waiting"))
    all_there = True
    page.wait_for_function("document.querySelector('stem-player[view=stems]').from !== undefined")
    assert player(page, "p.from") == 4.5


def test_a_piece_that_comes_late_is_waited_for_once(page: Page, result: str) -> None:
    """Where a piece ends the next one is needed too: without it, playing would be begun over and over."""
    page.goto(result)
    expect(page.locator(lane(page, "vocals"))).to_be_visible()
    page.evaluate("""() => {
      const fetch = window.fetch;
      window.fetch = async (...what) => {
        if (String(what[0]).endsWith(".opus")) await new Promise((resolve) => setTimeout(resolve, 600));
        return fetch(...what);
      };
      const p = document.querySelector("stem-player[view=stems]");
      p.reached = p.begun = 0;
      let playing = false;
      p.engine.addEventListener("change", () => {
        if (p.engine.playing && !playing) p.begun++;
        playing = p.engine.playing;
      });
      setInterval(() => (p.reached = Math.max(p.reached, p.seconds)), 20);
    }""")
    player(page, "p.seek(3.95)")
    player(page, "p.toggle()")
    page.wait_for_function("document.querySelector('stem-player[view=stems]').reached > 4.3")
    assert player(page, "p.begun") == 1


def test_solo_mute_volume_and_everything_but_one(page: Page, result: str) -> None:
    page.goto(result)
    expect(page.locator(lane(page, "vocals"))).to_be_visible()

    def audible() -> set[str]:
        found = player(page, "[...p.engine.tracks].filter(([, t]) => t.target > 0).map(([id]) => id)")
        assert isinstance(found, list)
        return {str(name).split("/")[1] for name in found}

    stems = {"vocals", "drums", "bass", "other"}
    assert audible() == stems
    page.locator(f"{lane(page, 'drums')} .mute").click()
    assert audible() == stems - {"drums"}
    page.locator(f"{lane(page, 'vocals')} .solo").click()
    assert audible() == {"vocals"}
    page.locator(f"{lane(page, 'bass')} .solo").click(modifiers=["Shift"])
    assert audible() == {"vocals", "bass"}
    page.locator(f"{lane(page, 'other')} .solo").click()
    assert audible() == {"other"}
    page.locator(f"{lane(page, 'other')} .solo").click()
    page.locator(f"{lane(page, 'vocals')} .without").click()
    assert audible() == stems - {"vocals"}
    page.locator(f"{lane(page, 'vocals')} .without").click()
    assert audible() == stems
    page.locator(f"{lane(page, 'mixture')} .solo").click()
    assert audible() == {"mixture"}


def test_keys(page: Page, result: str) -> None:
    page.goto(result)
    expect(page.locator(lane(page, "vocals"))).to_be_visible()
    page.locator("stem-player[view=stems]").focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('stem-player').engine.playing")
    page.keyboard.press("Space")
    assert player(page, "p.engine.playing") is False
    player(page, "(p.engine.rest = 48000.4, p.toggle())")  # wherever it was paused
    page.wait_for_function("document.querySelector('stem-player').engine.playing")
    assert player(page, "p.engine.passes[0].from") == 48000, "it goes on between two samples"
    player(page, "(p.toggle(), p.seek(0))")
    page.keyboard.press("ArrowRight")
    assert player(page, "Math.round(p.seconds)") == 5
    page.keyboard.press("Shift+ArrowLeft")
    assert player(page, "Math.round(p.seconds)") == 4
    page.keyboard.press("2")
    assert player(page, "Object.keys(p.gains)") == ["drums"]
    page.keyboard.press("s")
    page.keyboard.press("m")
    assert player(page, "Object.keys(p.gains)") == ["vocals", "bass", "other"]
    page.keyboard.press("m")
    page.keyboard.press("ArrowDown")
    assert player(page, "Math.round(100 * p.gains.drums)") == 90
    first = player(page, "p.method")
    page.keyboard.press("b")
    assert player(page, "p.method") != first
    page.keyboard.press("a")
    assert player(page, "p.method") == first
    page.keyboard.press("l")
    assert player(page, "p.engine.loop !== null") is True


def test_a_click_goes_there_and_a_loop_repeats(page: Page, result: str) -> None:
    page.goto(result)
    place = page.locator(f"{lane(page, 'vocals')} .place")
    expect(place).to_be_visible()
    box = place.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 10)
    assert player(page, "p.seconds") == pytest.approx(3.0, abs=0.05)
    ruler = page.locator("stem-player[view=stems] .place.ruler").bounding_box()
    assert ruler is not None
    page.mouse.move(ruler["x"] + 0.5 * ruler["width"], ruler["y"] + 8)
    page.mouse.down()
    page.mouse.move(ruler["x"] + 0.55 * ruler["width"], ruler["y"] + 8, steps=4)
    page.mouse.move(ruler["x"] + 0.6 * ruler["width"], ruler["y"] + 8, steps=4)
    page.mouse.up()
    play(page)
    page.wait_for_timeout(1500)
    assert 3.0 <= float(str(player(page, "p.seconds"))) <= 3.65  # it came round at least once
    heard = record(page, "[p.engine.level]", 1.5)[0]
    power = np.square(heard[: len(heard) // 480 * 480]).reshape(-1, 480).mean(1)
    assert (power > 0).all()


def test_lossless_is_the_file_itself(page: Page, tmp_path: Path) -> None:
    from scipy.signal import firwin, oaconvolve, resample_poly

    noise = np.random.default_rng(1).standard_normal((9 * RATE, 2))
    noise = 0.1 * oaconvolve(noise, firwin(501, 12_000, fs=RATE)[:, None], "same", axes=0)
    own_result(page, tmp_path / "own", {"vocals": noise})
    page.check("#stems-lossless")
    play(page)
    player(page, "p.seek(3.5)")
    page.wait_for_function("document.querySelector('stem-player').seconds > 4.6")
    samples = player(
        page,
        "[...p.engine.tracks.get('yours/vocals').pieces].filter(([, piece]) => piece.buffer).map(([number, piece]) => "
        f"[number, ({PACKED})(piece.buffer.getChannelData(0))])",
    )
    assert isinstance(samples, list)
    assert len(samples) >= 2
    wanted = resample_poly(noise[:, 0], 160, 147)
    for number, text in samples:
        piece = unpacked(text)
        part = wanted[number * 192000 :][: len(piece)]
        middle = slice(100, -100)
        error = np.square(piece[middle] - part[middle]).mean() / np.square(part[middle]).mean()
        assert 10 * np.log10(error) < -50, number


def test_parts_of_the_player_have_names_and_states(page: Page, result: str) -> None:
    page.goto(result)
    expect(page.get_by_role("group", name="Player")).to_be_visible()
    expect(page.get_by_role("radiogroup", name="Methods")).to_be_visible()
    expect(page.get_by_role("radio", name="Open-Unmix")).to_have_attribute("aria-checked", "true")
    for what in ("Mute: Vocals", "Solo; with Shift, several: Vocals", "Everything but this: Vocals"):
        expect(page.get_by_role("button", name=what)).to_be_visible()
    expect(page.get_by_role("slider", name="Volume: Vocals")).to_be_visible()
    page.get_by_role("button", name="Mute: Vocals").click()
    expect(page.get_by_role("button", name="Mute: Vocals")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert page.get_by_role("img", name="Spectrogram: Vocals").count() == 1


# -- the other pages -------------------------------------------------------------------------------


def test_methods_are_compared(page: Page, result: str) -> None:
    page.goto(result)
    expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible()
    tab(page, "Compare")
    cells = page.locator("stem-player[view=compare] .cell.picture")
    expect(cells.first).to_be_visible()
    assert page.locator("stem-player[view=compare] .cell.difference").count() >= 8
    expect(page.locator(".score-table")).to_contain_text("Open-Unmix")
    page.click("#compare-worst")
    page.wait_for_function("document.querySelector('stem-player[view=compare]').engine.playing")
    loop = page.evaluate("document.querySelector('stem-player[view=compare]').engine.loop")
    assert loop["to"] - loop["from"] == 48000
    page.click("#draw-figures")
    expect(page.locator("#figures img")).to_have_count(5, timeout=60 * SECOND)
    page.wait_for_timeout(500)
    save(page, "compare")


def test_a_blind_test_ends_in_a_table_and_a_csv(page: Page, result: str, tmp_path: Path) -> None:
    page.goto(result)
    expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible()
    tab(page, "Blind test")
    page.click("#begin")
    expect(page.locator(".stimulus")).to_have_count(4)
    before = page.locator("stem-player[view=blind]").inner_text()
    assert "Open-Unmix" not in before
    for number, letter in enumerate("ABCD"):
        page.locator(f"#blind-rate-{letter}").fill(str(20 + 20 * number))
    page.click("#blind-hear-B")
    page.keyboard.press("3")
    expect(page.locator("#blind-hear-C")).to_have_attribute("aria-pressed", "true")
    page.click("#blind-play")
    page.wait_for_function("document.querySelector('stem-player[view=blind]').engine.playing")
    page.click("#blind-reveal")
    expect(page.locator(".revealed table")).to_contain_text("Open-Unmix")
    save(page, "blind")
    with page.expect_download() as caught:
        page.get_by_role("link", name="Ratings (CSV)").click()
    caught.value.save_as(tmp_path / "ratings.csv")
    with (tmp_path / "ratings.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rating"] for row in rows] == ["80", "60", "40", "20"]
    assert {row["method"] for row in rows} == {"open-unmix", "demucs", "references", "song"}


def test_another_test_and_another_song_take_the_place_of_the_last(page: Page) -> None:
    choose_sample(page)
    choose(page, "Mixture ÷ 4")
    for seconds in (2, 3):
        tab(page, "Separate")
        excerpt(page, 1, seconds)
        separate(page)
        wait_for(page, "Done.*1 of 1 methods")
        for name, view, parts in (("Compare", "compare", ".cell.picture"), ("Blind test", "blind", ".stimulus")):
            for _ in range(2):  # coming back changes nothing, beginning again does
                tab(page, name)
                if view == "blind":
                    page.click("#begin")
                player = page.locator(f"stem-player[view={view}]")
                expect(player.locator(parts).first).to_be_visible()
                expect(player.locator(".clock")).to_have_text(f"0:00.0 / 0:0{seconds}.0")
                tab(page, "About")


def test_benchmark_models_and_about(page: Page) -> None:
    tab(page, "Benchmark")
    expect(page.locator("#benchmark img")).to_be_visible(timeout=60 * SECOND)
    page.locator("#benchmark summary").click()
    expect(page.locator("#benchmark")).to_contain_text("Wilcoxon")
    page.locator("#bench-metric").get_by_label("SIR").check()  # drawn again by itself
    expect(page.locator("#benchmark img")).to_have_attribute("alt", re.compile("^SIR"), timeout=60 * SECOND)
    save(page, "benchmark")
    tab(page, "Models")
    expect(page.locator("#models article")).to_have_count(11)
    save(page, "models")
    tab(page, "About")
    expect(page.get_by_text("Always listen")).to_be_visible()


def test_a_german_visitor_is_spoken_to_in_german(browser: Browser, server: Server, result: str) -> None:
    with opened(browser, result, locale="de-DE") as page:
        expect(page.locator("#separate")).to_have_text("Trennen")
        expect(page.get_by_role("button", name="Abspielen")).to_be_visible()
        expect(page.locator("#status")).to_contain_text("Fertig")
        expect(page.get_by_role("checkbox", name="Mischung ÷ 4")).to_be_visible()
        expect(page.get_by_role("radio", name="Wahre Quellen")).to_be_visible()
        page.get_by_role("button", name="Was die Verfahren sind").click()
        expect(page.get_by_text("Gar keine Trennung")).to_be_visible()
        tab(page, "Über")
        expect(page.get_by_text("Immer hinhören")).to_be_visible()


# -- everywhere ------------------------------------------------------------------------------------

PAGES = ("Separate", "Compare", "Blind test", "Benchmark", "Models", "About")


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_no_serious_violation_of_accessibility(browser: Browser, result: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, f"{result}&__theme={scheme}", color_scheme=scheme) as page:
        expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible()
        for name in PAGES:
            tab(page, name)
            if name == "Blind test":
                page.click("#begin")
                expect(page.locator(".stimulus").first).to_be_visible()
            if name == "Benchmark":
                expect(page.locator("#benchmark img")).to_be_visible(timeout=60 * SECOND)
            page.wait_for_timeout(800)
            found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
            serious = [
                f"{violation['id']}: {node['html'][:200]}"
                for violation in found
                if violation["impact"] in ("serious", "critical")
                for node in violation["nodes"]
            ]
            assert serious == [], name


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_it_fits_a_phone(browser: Browser, result: str, scheme: str) -> None:
    size = {"width": 360, "height": 740}
    with opened(browser, f"{result}&__theme={scheme}", viewport=size, color_scheme=scheme) as page:
        expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible()
        page.wait_for_timeout(800)
        save(page, f"phone-{scheme}")
        play(page)
        for name in PAGES:
            tab(page, name)  # all of them can be reached, none behind a menu
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


def test_nothing_is_fetched_from_elsewhere(browser: Browser, server: Server, result: str) -> None:
    page = browser.new_page()
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if server.url not in request.url else None)
    page.goto(result)
    expect(page.get_by_role("radio", name="Open-Unmix")).to_be_visible()
    page.wait_for_timeout(2 * SECOND)
    page.close()
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []
