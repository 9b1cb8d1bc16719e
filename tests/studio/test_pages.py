"""The pages' handlers, without a server."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from separation.separators import METHODS
from separation.separators.mixture import Mix
from separation.studio import components, i18n, model_choice, session, songs, storage
from separation.studio.limits import may_manage_models
from separation.studio.pages import models, separate
from separation.studio.queue import FairQueue
from separation.weights import download, model
from tests.conftest import SAMPLES
from tests.studio.conftest import Request, run_session, short_song

UPLOAD = SAMPLES / "night-drive" / "mixture.flac"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three methods, one of which is another tool's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("separation.studio.storage.RESULTS", tmp_path_factory.mktemp("results"))
        return run_session(short_song(), "hpss", "mix", "irm").folder


@pytest.fixture(autouse=True)
def use_results_folder(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "RESULTS", result.parent)


# -- languages -------------------------------------------------------------------------------------


def test_all_languages_have_the_same_keys() -> None:
    keys = i18n.languages()
    assert set(keys) >= {"en", "de"}
    for language, texts in keys.items():
        assert set(texts) == set(keys["en"]), language
        for key, text in texts.items():  # the same blanks to fill in
            assert set(_blanks(text)) == set(_blanks(keys["en"][key])), (language, key)


def test_every_translation_key_is_used() -> None:
    sources = [*Path(i18n.__file__).parent.rglob("*.py"), *Path(i18n.__file__).parents[2].glob("assets/player/*.js")]
    said = "".join(path.read_text("utf-8") for path in sources)
    kinds = (
        "kind_",
        "stage_",
        "stem_",
        "state_",
        "method_",
        "about_",
        "answer_",
        "certainty_",
        "metric_",
        "loop_",
        "mix_",
        "key_",
        "note_",
    )  # put together where they are said
    silent = [
        key for key in i18n.languages()["en"] if not key.startswith(kinds) and not re.search(f"[\"']{key}[\"']", said)
    ]
    assert silent == []


def _blanks(text: str) -> list[str]:
    return [part.split("}")[0] for part in text.split("{")[1:]]


def test_pages_use_the_visitors_language() -> None:
    assert i18n.translator_for(Request("de-AT,de;q=0.9,en;q=0.5"))("separate") == "Trennen"  # type: ignore[arg-type]
    assert i18n.translator_for(Request("fr,en"))("separate") == "Separate"  # type: ignore[arg-type]
    assert i18n.translator_for(None)("separate") == "Separate"


def test_methods_are_described_in_a_visitors_language() -> None:
    german = components.method_cards(i18n.Translator("de"))
    for method in METHODS.values():
        assert i18n.Translator("en")(f"method_{method.name}_what") == method.summary
        assert i18n.Translator("de")(f"method_{method.name}_what") in unescape(german)
    assert "Immer auch anhören" in components.about(i18n.Translator("de"))


# -- separate --------------------------------------------------------------------------------------


def test_a_link_opens_its_result_and_an_invalid_one_is_reported(result: Path) -> None:
    status, place, token = separate.restore(Request(result=result.name))  # type: ignore[arg-type]
    assert "Done" in status
    assert result.name in place["value"]
    assert token == result.name
    status, _, token = separate.restore(Request(result="a" * 22))  # type: ignore[arg-type]
    assert "kept for one hour" in status
    assert token is None


def pressed(*methods: str, upload: Path | None = None, **other: object) -> list[Any]:
    """What the page sends when Separate is pressed, with a second of a sample unless there is an upload."""
    values: dict[str, object] = {
        "kind": "upload" if upload else "sample",
        "upload": str(upload) if upload else None,
        "sample": next(iter(songs.samples())),
        "track": None,
        "methods": list(methods),
        "start": 2.0,
        "duration": 1.0,
        "references": None,
        "estimates": None,
        "yours": "",
        "karaoke": False,
        "sum_to_mixture": False,
        "iterations": 1,
        "shifts": 0,
        **{name: method.default_model for name, method in METHODS.items() if method.has_model},
    }
    return list((values | other).values())


def ended(*values: Any, **query: str) -> tuple[Any, ...]:
    *_, last = separate.separate(Request(**query), *values)  # type: ignore[arg-type]
    return last


def test_a_method_without_weights_points_to_the_models_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path))
    last = ended(*pressed("mix", "hybrid-demucs"))
    assert "1 of 2 methods" in last[0]
    assert "Hybrid Demucs: the weights are not installed. Download them on the Models page." in last[0]


REFUSED: dict[str, tuple[tuple[str, ...], dict[str, object], str]] = {
    "no method": ((), {}, "Choose at least one method."),
    "a method that is unknown": (("mix", "no such"), {}, "One of the methods does not exist."),
    "an oracle without the truth": (
        ("irm",),
        {"upload": UPLOAD},
        "Oracle: ratio mask: an oracle needs the true sources",
    ),
    "weights that are not there": (("hybrid-demucs",), {}, "Hybrid Demucs: the weights are not installed."),
    "weights of another method": (("open-unmix",), {"open-unmix": "demucs-compact"}, "Open-Unmix: the weights are not"),
    "a negative start": (("mix",), {"start": -1.0}, "The excerpt must start at 0 s or later, not at -1 s."),
    "a start that is no number": (("mix",), {"start": float("nan")}, "The excerpt must start at 0 s or later"),
    "a start after the end": (("mix",), {"start": 500.0}, "500"),
    "an excerpt of nothing": (("mix",), {"duration": 0.01}, "The excerpt must last at least 0.1 s."),
    "a sample that is unknown": (("mix",), {"sample": "no such"}, "This sample does not exist."),
    "a track that is unknown": (("mix",), {"kind": "musdb", "track": "no such"}, "This MUSDB18 track does not exist."),
    "no song": (("mix",), {"kind": "upload"}, "Choose a song first"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_work_is_refused_before_the_queue(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path))
    monkeypatch.setattr(separate, "QUEUE", None)  # to enter it fails with another sentence
    methods, values, sentence = REFUSED[kind]
    last = ended(*pressed(*methods, **values))  # type: ignore[arg-type]
    assert "That did not work" in last[0]
    assert sentence in last[0]


def test_what_cannot_work_is_told_while_the_rest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = FairQueue()
    monkeypatch.setattr(separate, "QUEUE", turns)
    with turns.queue():
        steps = separate.separate(Request(), *pressed("mix", "mwf", upload=UPLOAD))  # type: ignore[arg-type]
        waiting = [next(steps)[0] for _ in range(2)][1]
        steps.close()
    assert "1 ahead of you" in waiting
    assert "Oracle: Wiener filter: an oracle needs the true sources" in waiting


@pytest.mark.parametrize(
    ("language", "factor", "speed"),
    [
        ("en", 0.34, "2.9x faster than playing"),
        ("en", 0.02, "50x faster than playing"),
        ("en", 2.5, "2.5x slower than playing"),
        ("de", 0.34, "2.9x schneller als die Wiedergabe"),
        ("de", 12.0, "12x langsamer als die Wiedergabe"),
    ],
)
def test_the_status_says_seconds_left_and_speed(language: str, factor: float, speed: str) -> None:
    update = session.SessionUpdate(
        folder=Path(),
        stage="separating",
        method="Demucs",
        segments=3,
        seconds_left=41.6,
        device="cpu",
        real_time_factor=factor,
    )
    title, details = separate._describe(update, i18n.Translator(language))
    assert title == "Demucs"
    left, device = ("42 s left", "on cpu") if language == "en" else ("noch 42 s", "auf cpu")
    assert details[1:] == [left, device, speed]


def stopped_at(moment: str, *methods: str) -> list[tuple[Any, ...]]:
    """The steps of a separation that is stopped when the status shows `moment`."""
    steps = []
    for step in separate.separate(Request(), *pressed(*methods)):  # type: ignore[arg-type]
        steps.append(step)
        if moment in step[0]:
            separate.ask_to_stop(Request())  # type: ignore[arg-type]
    return steps


def test_stop_before_anything_is_finished_leaves_no_player_and_no_link() -> None:
    steps = stopped_at("Harmonic-percussive", "hpss", "mix")
    assert any(isinstance(token, str) for *_, token in steps), "the player was there"
    status, *_, place, token = steps[-1]
    assert "Stopped" in status
    assert (place["value"], place["visible"], token) == ("", False, None)


def test_stop_keeps_what_is_finished() -> None:
    steps = stopped_at("Harmonic-percussive", "mix", "hpss")
    status, *_, place, token = steps[-1]
    assert "1 of 2 methods finished" in status
    assert (place, token) == (gr.skip(), gr.skip())
    shown = next(token for *_, token in steps if isinstance(token, str))
    assert storage.find_result(shown)


def test_a_failure_of_everything_leaves_no_player(monkeypatch: pytest.MonkeyPatch) -> None:
    def stream(self: Mix, mixture: object) -> Iterator[Any]:
        raise MemoryError
        yield

    monkeypatch.setattr(Mix, "stream", stream)
    status, *_, place, token = ended(*pressed("mix"))
    assert "Nothing could be separated" in status
    assert (place["value"], token) == ("", None)


def test_an_oracle_works_with_the_visitors_own_sources() -> None:
    folder = UPLOAD.parent
    sources = [str(folder / f"{name}.ogg") for name in ("vocals", "drums", "bass", "other")]
    assert "Done" in ended(*pressed("irm", upload=UPLOAD, references=sources))[0]


# -- models ----------------------------------------------------------------------------------------


def test_a_downloaded_model_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path))
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
    told = []
    for status, _ in models.download_weights("hdemucs_high_musdb", Request()):  # type: ignore[arg-type]
        told.append(status)
        if "5.0 MB / 10.0 MB" in status and 'aria-valuenow="50"' in status:
            seen.set()
    assert "scientific use only" in told[0]
    assert "Done" in told[-1]
    chosen = model_choice.choose_weights("hybrid-demucs", "gone")
    assert (chosen["choices"], chosen["value"], chosen["visible"]) == (
        ["hdemucs_high_musdb"],
        "hdemucs_high_musdb",
        True,
    )


def test_a_failed_download_gives_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path))
    monkeypatch.setenv("SEPARATION_MODELS_URL", "http://127.0.0.1:9/")
    *_, last = models.download_weights("umxse", Request())  # type: ignore[arg-type]
    assert "That did not work" in last[0]
    assert "cannot download" in last[0]


def test_models_are_downloaded_and_measured_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = FairQueue(most_of_one=1)
    monkeypatch.setattr(models, "QUEUE", turns)
    for begin in (models.measure, partial(models.download_weights, "umxse")):
        with turns.queue("another"):
            assert "1 ahead of you" in next(begin(Request()))[0]  # type: ignore[arg-type]
    with turns.queue("somebody"):  # their other request
        *_, last = models.measure(Request())  # type: ignore[arg-type]
    assert "1 of your requests are in the queue already" in last[0]


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
    monkeypatch.setattr(models, "_measure", lambda request: iter([("measured", "")]))
    monkeypatch.setattr(models, "_download", lambda model, request: iter([("downloaded", "")]))
    (measured, _), (downloaded, _) = (
        *models.measure(Request()),  # type: ignore[arg-type]
        *models.download_weights("umxse", Request()),  # type: ignore[arg-type]
    )
    refusal = "does not let visitors download models"
    assert (refusal in measured, refusal in downloaded) == (not allowed, not allowed)


# -- small pieces ----------------------------------------------------------------------------------

NASTY = '<img src=x onerror="alert(1)">'


def test_names_are_escaped_in_html() -> None:
    pieces = (
        components.work(NASTY, [NASTY], problems=[NASTY]),
        components.blind_session([(NASTY, Path(f"/tmp/{NASTY}"))]),
        components.player(Path(f"/tmp/{NASTY}")),
    )
    for html in pieces:
        assert "<img src=x" not in html


def test_urls_of_files_are_quoted() -> None:
    assert components.file_url(Path("/tmp/a b/#.wav")) == "gradio_api/file=/tmp/a%20b/%23.wav"


def test_the_progress_bar_is_accessible() -> None:
    assert 'aria-valuenow="42"' in components.work("Demucs", share=0.42)
    assert 'aria-valuenow="100"' in components.work("Demucs", share=1.7)
    assert "progressbar" not in components.work("Demucs")
