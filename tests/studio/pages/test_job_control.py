"""The handlers of the Separate page, without a server."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import pytest
import soundfile

from separation.evaluation.metrics import EXTRA_METRICS
from separation.separators import METHODS
from separation.separators.hpss import HarmonicPercussive
from separation.separators.ica import FastICASeparator
from separation.separators.mixture import Mix
from separation.studio import i18n
from separation.studio.inputs import songs
from separation.studio.inputs.form import Form
from separation.studio.jobs import runner, store
from separation.studio.jobs.queue import FairQueue
from separation.studio.jobs.store import JobState
from separation.studio.pages import blind_test, compare, fetching, job_control, song_choice
from separation.studio.results import storage
from separation.studio.visitor import visitor_name
from separation.weights.catalogue import list_models
from tests.conftest import SAMPLES
from tests.studio.conftest import Request, run_session, short_song

pytestmark = pytest.mark.usefixtures("own_results")

UPLOAD = SAMPLES / "night-drive" / "mixture.flac"
VISITOR = "v" * 22


class View(NamedTuple):
    """What a handler returns, as :attr:`separation.studio.pages.job_control.JobParts.shown` names it."""

    status: str
    run: dict[str, Any]
    stop: dict[str, Any]
    go_on: dict[str, Any]
    place: dict[str, Any]
    token: str | None
    address: str
    timer: gr.Timer
    history: str


def press(values: list[Any], token: str | None = None) -> View:
    """Press Separate."""
    return View(*job_control.separate(Request(), token, VISITOR, *values))  # type: ignore[arg-type]


def look(token: str | None, language: str = "en") -> View:
    """Return what the page shows of a job now; the token stays as it is if the answer does not change it."""
    view = View(*job_control.watch(Request(language), token, VISITOR, "", ""))  # type: ignore[arg-type]
    return view._replace(token=token) if view.token == gr.skip() else view


def ended(*values: Any) -> View:
    """Press Separate and wait for the end; what cannot start shows why."""
    first = press(list(values))
    if not isinstance(first.token, str):
        return first
    runner.wait(first.token)
    return look(first.token)


def test_a_link_opens_its_result_and_an_invalid_one_is_reported() -> None:
    token = run_session(dataclasses.replace(short_song(), references=None), "mix").folder.name
    *values, visitor = job_control.restore(Request(result=token), None)  # type: ignore[arg-type]
    view = View(*values)
    assert "Done" in view.status
    assert token in view.place["value"]
    assert view.token == token
    assert len(visitor) == 22
    *values, same = job_control.restore(Request(result="a" * 22), visitor)  # type: ignore[arg-type]
    assert "kept for one hour" in View(*values).status
    assert View(*values).token is None
    assert same == visitor


def pressed(*methods: str, upload: Path | None = None, **other: object) -> list[Any]:
    """Return the values that the page sends when Separate is pressed; without an upload, 1 s of a sample."""
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
        "more_metrics": False,
        "iterations": 1,
        "shifts": 0,
        **{name: method.default_model for name, method in METHODS.items() if method.has_model},
    }
    return list((values | other).values())


def test_a_method_without_weights_points_to_the_models_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path))
    last = ended(*pressed("mix", "hybrid-demucs", upload=UPLOAD))
    assert "1 of 2 methods" in last.status
    assert "Hybrid Demucs: the weights are not installed. Download them on the Models page." in last.status


def test_an_answer_that_comes_late_does_not_bring_an_earlier_job_back() -> None:
    token = press(pressed("mix")).token
    runner.wait(str(token))
    assert job_control.watch(Request(), token, VISITOR, "", "")[5] == gr.skip()  # type: ignore[arg-type]


def test_karaoke_with_weights_without_vocals_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path))
    (model,) = (one for one in list_models() if one.name == "umxse")  # speech and noise
    model.folder.mkdir(parents=True)
    for file in model.files:
        (model.folder / file.name).touch()
    last = ended(*pressed("mix", "open-unmix", upload=UPLOAD, karaoke=True, **{"open-unmix": "umxse"}))
    assert "1 of 2 methods" in last.status
    assert "Open-Unmix does not give vocals" in last.status


def test_more_metrics_are_part_of_the_order_and_of_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []
    save = store.save_order

    def keep(folder: Path, order: store.JobOrder) -> None:
        save(folder, order)
        orders.append((order, store.load_order(folder)))

    monkeypatch.setattr(store, "save_order", keep)
    view = ended(*pressed("mix", more_metrics=True))
    assert "Done" in view.status
    (asked, kept), token = orders[0], str(view.token)
    assert asked.request.metrics == tuple(kept.request.metrics) == EXTRA_METRICS
    assert asked.steps == kept.steps == ["mix", f"scoring {' '.join(EXTRA_METRICS)}"]
    state = store.read_state(storage.RESULTS / token)
    assert state is not None
    assert set(state.paces) == set(asked.steps)  # further metrics take longer, and the queue learns how long
    groups = {group["id"]: group for group in storage.read_player(storage.RESULTS / token)["groups"]}
    assert groups["mix"]["scores"]["targets"]["vocals"].keys() >= set(EXTRA_METRICS)
    assert Form.from_values(pressed("mix")).request().metrics == ()


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
    "karaoke by a method without vocals": (
        ("ica",),
        {"upload": UPLOAD, "karaoke": True},
        "ICA does not give vocals",
    ),
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
    monkeypatch.setattr(runner, "QUEUE", None)  # to enter it fails with another sentence
    methods, values, sentence = REFUSED[kind]
    last = ended(*pressed(*methods, **values))  # type: ignore[arg-type]
    assert "That did not work" in last.status
    assert sentence in last.status


def field_of(view: View) -> str | None:
    """Return the field of the form at which a refusal is told; None if there is none."""
    found = re.search(r'class="refusal" hidden data-field="(\w*)"', view.status)
    return found and found[1]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("no method", "methods"),
        ("weights that are not there", "methods"),
        ("a negative start", "start"),
        ("a start after the end", "start"),
        ("an excerpt of nothing", "length"),
        ("a track that is unknown", "song"),
    ],
)
def test_a_refusal_names_its_field(kind: str, field: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path))
    methods, values, _ = REFUSED[kind]
    assert field_of(press(pressed(*methods, **values))) == field  # type: ignore[arg-type]


def test_a_refusal_after_the_queue_names_its_field(tmp_path: Path) -> None:
    short = tmp_path / "vocals.wav"
    soundfile.write(short, np.full((44100, 2), 0.1), 44100)
    whole: dict[str, Any] = {"upload": UPLOAD, "start": 0.0, "duration": None}
    assert field_of(ended(*pressed("mix", references=[str(short)], **whole))) == "references"
    assert field_of(ended(*pressed("mix", estimates=[str(short)], **whole))) == "estimates"
    assert field_of(ended(*pressed("mix", upload=UPLOAD))) is None


def test_a_bad_file_is_told_when_it_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "notes.mp3").write_bytes(b"these are my notes, not a song" * 20)
    for file, language, words in (
        (tmp_path / "notes.mp3", "en", "cannot read 'notes.mp3'"),
        (tmp_path / "notes.mp3", "de", "'notes.mp3' kann nicht gelesen werden"),
        (UPLOAD, "en", ""),
    ):
        *_, shown, zone = song_choice.describe_choice(Request(language), str(file), None, None)  # type: ignore[arg-type]
        assert shown["value"] == file.name
        assert shown["problem"].startswith(words)
        assert bool(shown["problem"]) == bool(words)
        assert (zone["song"], zone["length"]) == (file.name, "" if words else "0:11")


def test_a_list_that_was_only_opened_leaves_the_upload() -> None:
    request: Any = Request()
    kept, *_, zone = song_choice.choose_from_library(request, str(UPLOAD), None, None)
    assert (kept, zone["song"]) == (gr.skip(), UPLOAD.name)
    replaced, kind, *_, zone = song_choice.choose_from_library(request, str(UPLOAD), "Night drive", None)
    assert (replaced, kind, zone["song"]) == (None, "sample", "")


def test_a_refusal_leaves_the_progress_of_another_job_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda sentence, **_: warnings.append(sentence))
    with busy_queue(monkeypatch):
        first = press(pressed("mix", upload=UPLOAD))
        view = press(pressed(), first.token)
        assert (field_of(view), warnings) == ("methods", [])
        assert "1 ahead of you" in view.status
        assert view.token == first.token
    runner.wait(str(first.token))


class busy_queue:  # noqa: N801  # used like a function
    """A queue in which somebody else works within the block."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turns = FairQueue()
        for module in (runner, job_control):
            monkeypatch.setattr(module, "QUEUE", self.turns)

    def __enter__(self) -> FairQueue:
        self.block = self.turns.queue("somebody else")
        self.block.__enter__().seconds = 42.0
        return self.turns

    def __exit__(self, *error: Any) -> None:
        self.block.__exit__(*error)


def wait_until(token: str | None, words: str) -> View:
    """Poll as the page does until the status says something."""
    for _ in range(6000):
        view = look(token)
        if words in view.status:
            return view
        time.sleep(0.02)
    raise AssertionError(view.status)


def test_who_waits_sees_the_place_the_time_and_what_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with busy_queue(monkeypatch):
        token = press(pressed("mix", "mwf", upload=UPLOAD)).token
        view = wait_until(token, "starts in about 42 s")
        assert "1 ahead of you" in view.status
        assert "Oracle: Wiener filter: an oracle needs the true sources" in view.status
        assert view.stop["interactive"]
        assert view.timer.active
        job_control.ask_to_stop(token)
        assert not look(token).stop["interactive"]
        assert "Stopped" in wait_until(token, "Stopped").status
    assert look(token).address == "", "no link to a job that came to nothing"


def test_four_songs_of_a_visitor_are_the_limit_that_the_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    with busy_queue(monkeypatch):
        views = [press(pressed("mix", upload=UPLOAD)) for _ in range(4)]
        assert [view.run["interactive"] for view in views] == [True, True, True, False]
        assert "4 of 4 places taken" in views[-1].history
        assert views[-1].history.count("<li") == 4
        assert "4 of your requests are in the queue already" in press(pressed("mix")).status
        for view in views:
            runner.stop(view.token)
            runner.wait(str(view.token))
    assert look(None).run["interactive"]


def test_downloads_and_songs_share_a_visitors_places(monkeypatch: pytest.MonkeyPatch) -> None:
    words = i18n.Translator("en")
    with busy_queue(monkeypatch) as turns:
        monkeypatch.setattr(fetching, "QUEUE", turns)
        request = Request()
        fetches = [
            fetching.fetch_in_turn(lambda hear: None, visitor_name(VISITOR, request), words, retry="")  # type: ignore[arg-type]
            for _ in range(3)
        ]
        for fetch in fetches:
            assert "ahead of you" in next(fetch)
        assert "3 of 4 places taken" in look(None).history
        view = press(pressed("mix", upload=UPLOAD))
        assert not view.run["interactive"]
        refused = fetching.fetch_in_turn(lambda hear: None, VISITOR, words, retry="")
        assert "4 of your requests are in the queue already" in next(refused)
        del fetch, fetches  # closes them
        runner.stop(view.token)
        runner.wait(str(view.token))
    assert look(None).run["interactive"]


def test_the_history_belongs_to_one_visitor(monkeypatch: pytest.MonkeyPatch) -> None:
    token = ended(*pressed("mix", upload=UPLOAD)).token
    assert f"?result={token}" in look(None).history
    assert "Done, 1 of 1 methods finished" in look(None).history
    stranger = View(*job_control.watch(Request(), None, "w" * 22, "", ""))  # type: ignore[arg-type]
    assert "?result=" not in stranger.history
    forged = View(*job_control.watch(Request(), None, {"a": ["../.."]}, "", ""))  # type: ignore[arg-type]
    assert "?result=" not in forged.history


@pytest.mark.parametrize(
    ("language", "factor", "speed"),
    [
        ("en", 0.34, "2.9x faster than playing"),
        ("en", 0.02, "50x faster than playing"),
        ("en", 2.5, "2.5x slower than playing"),
        ("de", 0.34, "2,9x schneller als die Wiedergabe"),
        ("de", 12.0, "12x langsamer als die Wiedergabe"),
    ],
)
def test_the_status_says_seconds_left_and_speed(language: str, factor: float, speed: str) -> None:
    state = JobState(
        name="song",
        state="working",
        stage="separating",
        method="Demucs",
        seconds_left=41.6,
        device="cpu",
        real_time_factor=factor,
    )
    status = job_control.describe(state, i18n.Translator(language))
    left, device = ("42 s left", "on CPU") if language == "en" else ("noch 42 s", "auf CPU")
    for words in ("Demucs", left, device, speed):
        assert words in status


@pytest.fixture
def slow_hpss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its only segment takes until Stop has been pressed."""
    stream, ask_to_stop, pressed = HarmonicPercussive.stream, store.ask_to_stop, threading.Event()

    def slow(self: HarmonicPercussive, mixture: Any) -> Any:
        assert pressed.wait(60)
        yield from stream(self, mixture)

    def ask(folder: Path) -> None:
        ask_to_stop(folder)
        pressed.set()

    monkeypatch.setattr(HarmonicPercussive, "stream", slow)
    monkeypatch.setattr(store, "ask_to_stop", ask)


@pytest.mark.usefixtures("slow_hpss")
def test_stop_before_anything_is_finished_leaves_no_player_and_no_link() -> None:
    token = press(pressed("hpss", duration=2.0)).token
    wait_until(token, "<strong>Harmonic-percussive")
    assert token in look(token).place["value"], "the player was there"
    job_control.ask_to_stop(token)
    view = wait_until(token, "Stopped")
    assert (view.place, view.address) == (gr.skip(), "")
    assert job_control.watch(Request(), token, VISITOR, "a player", "")[4]["value"] == ""  # type: ignore[arg-type]
    assert view.go_on == gr.update(visible=True, value="Start again")
    for page in (compare.show(token, Request()), blind_test.offer(token, Request())[2]):  # type: ignore[arg-type]
        assert "Separate a song first" in page
    again = View(*job_control.go_on(Request(), view.token, VISITOR))  # type: ignore[arg-type]
    assert again.address == token
    runner.wait(str(token))
    assert "Done" in look(token).status


@pytest.mark.usefixtures("slow_hpss")
def test_stop_keeps_what_is_finished_and_go_on_does_the_rest() -> None:
    token = press(pressed("mix", "hpss", upload=UPLOAD, duration=2.0)).token
    wait_until(token, "<strong>Harmonic-percussive")
    job_control.ask_to_stop(token)
    view = wait_until(token, "Stopped")
    assert "1 of 2 methods finished" in view.status
    assert token in view.place["value"]
    assert view.go_on["visible"]
    again = View(*job_control.go_on(Request(), token, VISITOR))  # type: ignore[arg-type]
    assert again.token == token
    runner.wait(str(token))
    view = look(token)
    assert "2 of 2 methods" in view.status
    assert not view.go_on["visible"]
    assert "player.json?run=2" in view.place["value"], "the player looks again"


def test_a_failure_of_everything_leaves_no_player_and_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def stream(self: Mix, mixture: object) -> Iterator[Any]:
        raise MemoryError
        yield

    with monkeypatch.context() as patch:
        patch.setattr(Mix, "stream", stream)
        token = press(pressed("mix", upload=UPLOAD)).token
        runner.wait(str(token))
    view = look(token)
    assert "Nothing could be separated" in view.status
    assert 'aria-label="Retry Mixture ÷ 4"' in view.status
    assert (view.place, view.token, view.address) == (gr.skip(), token, "")
    assert f"?result={token}" in view.history
    event = gr.EventData(None, {"method": "mix"})
    again = View(*job_control.retry(Request(), token, VISITOR, event))  # type: ignore[arg-type]
    assert again.address == token
    runner.wait(str(token))
    assert "Done" in look(token).status
    assert token in look(token).place["value"]


def test_a_job_that_broke_can_start_again_unless_its_song_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(songs, "open_song", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
        token = press(pressed("mix", upload=UPLOAD)).token
        runner.wait(str(token))
    assert look(token).go_on == gr.update(visible=True, value="Start again")
    job_control.go_on(Request(), token, VISITOR)  # type: ignore[arg-type]
    runner.wait(str(token))
    assert "Done" in look(token).status


def test_the_history_has_no_link_to_what_came_to_nothing(tmp_path: Path) -> None:
    short = tmp_path / "vocals.wav"
    soundfile.write(short, np.full((44100, 2), 0.1), 44100)
    refused = ended(*pressed("mix", upload=UPLOAD, references=[str(short)], start=0.0, duration=None))
    assert "The true sources are" in refused.status
    assert refused.history.count("<li") == 1
    assert "?result=" not in refused.history
    assert refused.token is None


def test_a_failed_method_is_tried_again_alone_into_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, calls = HarmonicPercussive.stream, []

    def fail_once(self: HarmonicPercussive, mixture: Any) -> Any:
        calls.append(self)
        if len(calls) == 1:
            raise MemoryError
        yield from stream(self, mixture)

    def fail(self: FastICASeparator, mixture: Any) -> Any:
        raise MemoryError
        yield

    def press_retry(method: object) -> View:
        event = gr.EventData(None, {"method": method})
        return View(*job_control.retry(Request(), token, VISITOR, event))  # type: ignore[arg-type]

    monkeypatch.setattr(HarmonicPercussive, "stream", fail_once)
    monkeypatch.setattr(FastICASeparator, "stream", fail)
    view = ended(*pressed("mix", "hpss", "ica", upload=UPLOAD))
    token = view.token
    assert "1 of 3 methods" in view.status
    assert "Harmonic-percussive: the server has too little memory for this: try a shorter excerpt" in view.status
    assert 'data-method="hpss" aria-label="Retry Harmonic-percussive"' in view.status
    assert view.status.count('class="retry"') == 2
    before = (storage.RESULTS / str(token) / "mix" / "result.json").stat().st_mtime_ns
    for nonsense in ("mix", "no such", None, ["hpss"]):
        press_retry(nonsense)
        assert runner.find(token).run == 1  # type: ignore[union-attr]
    press_retry("hpss")
    runner.wait(str(token))
    view = look(token)
    assert "2 of 3 methods" in view.status
    assert 'data-method="hpss"' not in view.status
    assert 'data-method="ica"' in view.status, "the other failure was not tried and is still told"
    assert "player.json?run=2" in view.place["value"]
    folder = storage.RESULTS / str(token)
    assert [group["id"] for group in storage.read_player(folder)["groups"]] == ["song", "mix", "hpss"]
    assert (folder / "mix" / "result.json").stat().st_mtime_ns == before, "it was not separated again"
    assert "ICA" in job_control.describe(runner.find(token), i18n.Translator("de"))


def test_a_song_that_cannot_be_read_to_its_end_is_reported(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp3"
    noise.write_bytes(UPLOAD.read_bytes()[:200])
    assert "That did not work" in ended(*pressed("mix", upload=noise)).status


def test_an_oracle_works_with_the_visitors_own_sources() -> None:
    folder = UPLOAD.parent
    sources = [str(folder / f"{name}.ogg") for name in ("vocals", "drums", "bass", "other")]
    assert "Done" in ended(*pressed("irm", upload=UPLOAD, references=sources)).status


def test_an_interrupted_job_offers_to_go_on() -> None:
    folder = storage.new_folder()
    store.write_state(folder, JobState(name="song", state="working", share=0.4))
    store.release(folder)
    view = look(folder.name)
    assert "Interrupted" in view.status
    assert view.go_on["visible"]
    assert view.token == folder.name, "the link stays, to go on later"
