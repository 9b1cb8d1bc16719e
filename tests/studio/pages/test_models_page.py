"""Weights on the pages: fetched in place, in turn, and only where the host allows it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from separation.separators import METHODS
from separation.studio.components import quality
from separation.studio.components.method_cards import method_cards
from separation.studio.i18n import Translator
from separation.studio.jobs import speeds
from separation.studio.jobs.queue import FairQueue
from separation.studio.limits import may_manage_models
from separation.studio.pages import fetching, method_choice, model_choice, models
from separation.weights import catalogue, download, model

VISITOR = "v" * 22


class Request:
    """The part of a visitor's request that handlers read."""

    headers = {"accept-language": "en"}  # noqa: RUF012
    session_hash = "somebody"


def wanting(**data: object) -> Any:
    return SimpleNamespace(_data=data)


def on_models(name: str) -> Iterator[str]:
    return models.download_weights(Request(), VISITOR, wanting(model=name))  # type: ignore[arg-type]


def on_separate(method: str) -> Iterator[str]:
    for update in method_choice.fetch_method(Request(), VISITOR, wanting(method=method)):  # type: ignore[arg-type]
        yield update["cards"]


@pytest.fixture(autouse=True)
def own_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path))
    monkeypatch.setattr(fetching, "_PAUSE", 0.0)


@pytest.mark.parametrize(
    "begin", [lambda: on_models("hdemucs_high_musdb"), lambda: on_separate("hybrid-demucs")], ids=["models", "separate"]
)
def test_a_model_is_fetched_with_progress_and_can_then_be_chosen(
    begin: Callable[[], Iterator[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = model_choice.choose_weights("hybrid-demucs")
    assert (chosen["choices"], chosen["visible"]) == ([], False)
    seen = threading.Event()

    def fetch(model: model.Model, progress: download.DownloadCallback) -> list[str]:
        model.folder.mkdir(parents=True)
        for file in model.files:
            progress(file.name, 5_000_000, 10_000_000)
            assert seen.wait(60), "half of it is never shown"
            model.path(file).write_bytes(b"weights")
        return [file.name for file in model.files]

    monkeypatch.setattr(download, "download_model", fetch)
    for html in begin():
        if "5.0 / 10.0 MB" in html and 'aria-valuenow="50"' in html:
            seen.set()
    assert "progressbar" not in html
    assert 'data-model="hdemucs_high_musdb"' not in html
    assert 'data-method="hybrid-demucs"' not in html
    chosen = model_choice.choose_weights("hybrid-demucs", "gone")
    assert (chosen["choices"], chosen["value"]) == (["hdemucs_high_musdb"], "hdemucs_high_musdb")


@pytest.mark.parametrize(
    "begin", [lambda: on_models("umxse"), lambda: on_separate("htdemucs")], ids=["models", "separate"]
)
def test_a_failed_download_gives_the_reason_and_a_retry(
    begin: Callable[[], Iterator[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPARATION_MODELS_URL", "http://127.0.0.1:9/")
    *_, last = begin()
    assert "No connection to the server of" in last
    assert "Retry" in last
    assert "Errno" not in last


def test_a_closed_page_ends_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    began = threading.Event()

    def endless(model: model.Model, progress: download.DownloadCallback) -> list[str]:
        for received in range(10**9):
            progress("weights", received, None)
            began.set()
            time.sleep(0.01)
        return []

    monkeypatch.setattr(download, "download_model", endless)
    page = on_models("umxse")
    next(page)
    assert began.wait(30)
    page.close()  # type: ignore[attr-defined]
    workers = [thread for thread in threading.enumerate() if thread.name == "download"]
    for worker in workers:
        worker.join(10)
    assert not any(worker.is_alive() for worker in workers)


def test_models_are_downloaded_and_measured_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = FairQueue(most_of_one=1)
    monkeypatch.setattr(models, "QUEUE", turns)
    monkeypatch.setattr(fetching, "QUEUE", turns)
    with turns.queue("another"):
        assert "1 ahead of you" in next(models.measure(Request(), VISITOR))[0]  # type: ignore[arg-type]
    with turns.queue("another"):
        assert "1 ahead of you" in next(on_models("umxse"))
    with turns.queue(VISITOR):  # their other request
        *_, last = models.measure(Request(), VISITOR)  # type: ignore[arg-type]
        *_, refused = on_models("umxse")
    for html in (last[0], refused):
        assert "1 of your requests are in the queue already" in html


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({}, True),
        ({"SPACE_ID": "a/b"}, False),
        ({"SPACE_ID": "a/b", "STEMSCOPE_MANAGE_MODELS": "1"}, True),
        ({"STEMSCOPE_MANAGE_MODELS": "0"}, False),
    ],
)
def test_a_host_can_switch_downloads_and_measurements_off(
    environment: dict[str, str], allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPACE_ID", "STEMSCOPE_MANAGE_MODELS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert may_manage_models() == allowed
    monkeypatch.setattr(models, "_measure", lambda words: iter([("measured", "")]))
    monkeypatch.setattr(download, "download_model", lambda model, progress: [])
    refusal = "does not let visitors download models"
    *_, (measured, _) = models.measure(Request(), VISITOR)  # type: ignore[arg-type]
    *_, downloaded = on_models("umxse")
    assert (refusal in measured, refusal in downloaded) == (not allowed, not allowed)
    assert ("Get it" in method_cards(Translator("en"))) == allowed


@pytest.mark.parametrize(("language", "unclear"), [("en", "terms unclear"), ("de", "Bedingungen unklar")])
def test_a_card_states_the_restriction_of_a_download(
    language: str, unclear: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("separation.studio.components.method_cards.has_weights", lambda name: False)
    monkeypatch.setenv("STEMSCOPE_MANAGE_MODELS", "1")
    words = Translator(language)
    buttons = {
        name: (label, licence, shown)
        for name, label, licence, shown in re.findall(
            r'data-method="([\w-]+)" aria-label="([^"]+)" title="([^"]+)">.*?<span>([^<]+)</span></button>',
            method_cards(words),
        )
    }
    known = {model.name: model for model in catalogue.list_models()}
    assert unclear in buttons["htdemucs"][2]
    for name, (label, licence, shown) in buttons.items():
        released = known[str(METHODS[name].default_model)]
        assert licence == f"{words('licence')}: {words.sentence(released.licence)}"
        assert label.endswith(shown)
        if released.restriction:
            assert shown.endswith(f", {words('restriction_' + released.restriction)})")
            assert "MIT" not in shown
        else:
            assert words.sentence(released.licence) in shown


def test_restrictions_have_the_same_words_everywhere() -> None:
    assert {kind: Translator("en")(f"restriction_{kind}") for kind in model.RESTRICTIONS} == model.RESTRICTIONS


def test_every_method_is_in_one_group_and_says_what_it_is() -> None:
    for language in ("en", "de"):
        html = method_cards(Translator(language))
        for name in METHODS:
            assert html.count(f'id="method-{name}"') == 1
            assert f">line_{name}<" not in html


def test_a_card_shows_the_measured_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "_factors", {})
    for bound in ("mix", "irm"):
        speeds.note_speed(bound, None, 0.01)  # which does not help to choose
    assert "faster than playing" not in method_cards(Translator("en"))
    speeds.note_speed("hpss", None, 0.25)
    assert "4.0x faster than playing" in method_cards(Translator("en"))


def test_best_says_what_it_chooses_and_how_good_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def card_of_best() -> str:
        return method_cards(Translator("en")).split('id="card-best"')[1].split('class="method"')[0]

    scores = quality.vocals_sdr()
    assert "chooses Best offline" in card_of_best()
    assert f"vocals {scores['best-offline']:.1f} dB" in card_of_best()
    monkeypatch.setattr(catalogue, "is_installed", lambda name: name == "htdemucs_ft")
    assert "chooses HT-Demucs: htdemucs_ft" in card_of_best()
    assert "vocals" not in card_of_best().split("method-foot")[1], "it is not evaluated here"


def test_anything_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "download_model", lambda *_: pytest.fail("something was downloaded"))
    for name in ("no such", "", None, ["umxse"]):
        assert len(list(models.download_weights(Request(), VISITOR, wanting(model=name)))) == 1  # type: ignore[arg-type]
        assert list(method_choice.fetch_method(Request(), VISITOR, wanting(method=name))) == []  # type: ignore[arg-type]
