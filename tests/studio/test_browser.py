"""The studio as a visitor has it: a real server, a real browser."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import ROOT, SAMPLES

CHROMIUM = shutil.which("chromium")
SECOND = 1000.0  # playwright counts in milliseconds
PATIENCE = 120 * SECOND

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this server's temporary files go."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def address(results: Path) -> Iterator[str]:
    """A server started as a user starts it, with no MUSDB18 and no downloaded models."""
    port = free_port()
    environment = dict(os.environ)
    environment.pop("MUSDB_ROOT", None)
    environment |= {"GRADIO_SERVER_PORT": str(port), "TMPDIR": str(results), "SEPARATION_HOME": str(results / "home")}
    log = (results / "server.log").open("w")
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(url, timeout=2).read()
                break
            except OSError:
                assert server.poll() is None, (results / "server.log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)
        log.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    fresh = browser.new_page(viewport={"width": 1280, "height": 900})
    fresh.goto(address)
    expect(fresh.locator("#separate")).to_be_visible(timeout=30 * SECOND)
    yield fresh
    fresh.close()


def choose(page: Page, *methods: str) -> None:
    """Tick exactly these methods."""
    for box in page.locator("#methods input[type=checkbox]").all():
        box.set_checked(False)
    for method in methods:
        page.get_by_role("checkbox", name=method, exact=True).check()


def upload(page: Page, path: Path) -> None:
    page.set_input_files("#upload input[type=file]", str(path))
    expect(page.locator("#upload")).to_contain_text("0:", timeout=20 * SECOND)


def excerpt(page: Page, start: float, seconds: float) -> None:
    page.locator("#start input").fill(str(start))
    page.locator("#duration input").fill(str(seconds))


def separate(page: Page) -> None:
    page.click("#separate")
    expect(page.locator("#stop")).to_be_enabled(timeout=PATIENCE)


def wait_for(page: Page, words: str) -> None:
    expect(page.locator("#status")).to_contain_text(re.compile(words), timeout=PATIENCE)


def save(page: Page, name: str) -> None:
    """Keep a picture of the page for a person to look at."""
    folder = Path(__file__).parent / "screenshots"
    folder.mkdir(exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)


def test_a_song_is_taken_apart_heard_seen_and_saved(page: Page, tmp_path: Path) -> None:
    song = SAMPLES / "night-drive" / "mixture.flac"
    upload(page, song)
    choose(page, "ICA", "Open-Unmix", "Demucs")
    excerpt(page, 1, 6)
    separate(page)
    wait_for(page, "Done.*3 of 3 methods")
    for method, count in (("ica", 2), ("open-unmix", 4), ("demucs", 4)):
        expect(page.locator(f"#result-{method} figure.sound")).to_have_count(count)
    page.wait_for_function(
        "[...document.querySelectorAll('.sound img')].every(image => image.complete && image.naturalWidth > 300)"
    )
    save(page, "result")
    play(page, "#sound-open-unmix-vocals audio")
    with page.expect_download() as caught:
        page.click("#zip-demucs")
    archive = tmp_path / "stems.zip"
    caught.value.save_as(archive)
    check_archive(archive, song)


def play(page: Page, selector: str) -> None:
    """Press play on a sound: it advances, knows its length, and another one pauses it."""
    sound = page.locator(selector)
    assert sound.evaluate("sound => sound.play().then(() => sound.duration)") == pytest.approx(6.0, abs=0.05)
    page.wait_for_function(f"document.querySelector('{selector}').currentTime > 0.2")
    page.locator("#sound-demucs-drums audio").evaluate("sound => sound.play()")
    page.wait_for_function(f"document.querySelector('{selector}').paused")
    page.locator("#sound-demucs-drums audio").evaluate("sound => sound.pause()")


def check_archive(archive: Path, song: Path) -> None:
    """The downloaded stems are the excerpt's length and sum to it as well as result.json says."""
    folder = archive.parent / "stems"
    with zipfile.ZipFile(archive) as content:
        assert set(content.namelist()) == {"vocals.wav", "drums.wav", "bass.wav", "other.wav", "result.json"}
        content.extractall(folder)
    mixture, rate = soundfile.read(song, start=44100, frames=6 * 44100)
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


def test_a_sample_comes_with_its_true_sources_and_oracles(page: Page) -> None:
    page.locator("#kind").get_by_label("Sample").check()
    expect(page.locator("#sample")).to_be_visible()
    choose(page, "Mixture ÷ 4", "Oracle: Wiener filter")
    excerpt(page, 2, 3)
    separate(page)
    wait_for(page, "Done.*2 of 2 methods")
    expect(page.locator("#result-references figure.sound")).to_have_count(4)
    expect(page.locator("#result-mwf figure.sound")).to_have_count(4)


def test_stop_ends_within_a_segment_and_the_page_goes_on(page: Page) -> None:
    upload(page, SAMPLES / "paper-boats" / "mixture.flac")
    choose(page, "Mixture ÷ 4", "Harmonic-percussive", "Demucs")
    separate(page)
    wait_for(page, "Harmonic-percussive")
    page.click("#stop")
    wait_for(page, "Stopped.*of 3 methods finished")
    expect(page.locator("#result-mix figure.sound")).to_have_count(4)
    expect(page.locator("#result-demucs")).to_have_count(0)
    expect(page.locator("#separate")).to_be_enabled()
    choose(page, "Mixture ÷ 4")
    separate(page)
    wait_for(page, "Done.*1 of 1 methods")


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
    page.locator("#kind").get_by_label("Sample").check()
    choose(page)
    page.click("#separate")
    wait_for(page, "Choose at least one method")


def test_nothing_is_fetched_from_elsewhere(browser: Browser, address: str) -> None:
    page = browser.new_page()
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if address not in request.url else None)
    page.goto(address)
    expect(page.locator("#separate")).to_be_visible(timeout=30 * SECOND)
    page.wait_for_timeout(2 * SECOND)
    page.close()
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []


def test_it_fits_a_phone_in_the_dark(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page.goto(f"{address}/?__theme=dark")
    expect(page.locator("#separate")).to_be_visible(timeout=30 * SECOND)
    page.locator("#kind").get_by_label("Sample").check()
    choose(page, "Mixture ÷ 4")
    excerpt(page, 0, 2)
    separate(page)
    wait_for(page, "Done")
    save(page, "phone-dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_only_results_are_served(address: str, results: Path) -> None:
    secret = results / "secret.txt"
    secret.write_text("not yours")
    for path in ("/etc/passwd", str(secret), str(ROOT / "app.py"), str(results / "server.log")):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{address}/gradio_api/file={path}", timeout=10)
