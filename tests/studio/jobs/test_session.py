"""The studio's work, without a browser and without a server."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from separation.__main__ import app
from separation.audio.signal import Audio
from separation.evaluation.metrics import EXTRA_METRICS
from separation.studio.inputs import songs
from separation.studio.inputs.request import SeparationRequest
from separation.studio.jobs import session, store
from separation.studio.results import storage
from tests.conftest import ROOT
from tests.studio.conftest import run_session, short_song

pytestmark = pytest.mark.usefixtures("own_results")


def player(update: session.SessionUpdate) -> dict[str, dict[str, object]]:
    """The groups of a result's document, by name."""
    return {group["id"]: group for group in storage.read_player(update.folder)["groups"]}


def unscored(start: float = 2.0) -> songs.Song:
    """A song without references: scoring it would take longer than separating it."""
    return dataclasses.replace(short_song(start=start), references=None)


def test_several_methods_give_stems_audio_spectrograms_scores_and_archives() -> None:
    last = run_session(short_song(1.0), "mix", "ica", "irm")
    assert [result.method for result in last.results] == ["mix", "ica", "irm"]
    assert not last.failed
    groups = player(last)
    assert list(groups) == ["song", "references", "mix", "ica", "irm"]
    for result in last.results:
        tracks = {track["name"]: track for track in groups[result.method]["tracks"]}  # type: ignore[attr-defined]
        assert set(tracks) == {*result.stems, "residual"}
        for track in tracks.values():
            assert track["ready"] == 48000  # all of 1 s at 48 kHz
            assert (last.folder / track["picture"]).read_bytes().startswith(b"\x89PNG")
            assert (last.folder / track["opus"]).stat().st_size == track["offsets"][-1] > 0
        archives = list((last.folder / result.method).glob("*.zip"))
        with zipfile.ZipFile(archives[0]) as archive:
            assert set(archive.namelist()) == {f"{stem}.wav" for stem in result.stems} | {"result.json"}
    oracle = groups["irm"]["scores"]["targets"]["vocals"]["SDR"]  # type: ignore[index]
    assert oracle > groups["mix"]["scores"]["targets"]["vocals"]["SDR"] + 5  # type: ignore[index]
    matched = groups["ica"]["scores"]["stems"]  # type: ignore[index]
    assert set(matched.values()) == {"component 1", "component 2"}
    assert matched.keys() == groups["ica"]["scores"]["targets"].keys()  # type: ignore[index]


def test_further_metrics_are_computed_on_request_and_only_with_true_sources() -> None:
    asked = ("fullness", "log_wmse")
    scores = player(run_session(short_song(1.0), "mix", "ica", metrics=asked))
    for method in ("mix", "ica"):
        for target in scores[method]["scores"]["targets"].values():  # type: ignore[index]
            assert {name for name in target if name in EXTRA_METRICS} == set(asked)
            assert 0 < target["fullness"] < 100
    plain = player(run_session(short_song(1.0), "mix"))["mix"]["scores"]["targets"]["vocals"]  # type: ignore[index]
    assert not set(EXTRA_METRICS) & set(plain)
    assert player(run_session(unscored(), "mix", metrics=asked))["mix"]["scores"] is None


def test_a_lossy_reference_does_not_change_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above its cut-off BSSEval's filters would be undefined: ISR of an oracle then falls below -20 dB."""
    monkeypatch.setattr("separation.evaluation.projection.TAPS", 512)  # few taps would not show it
    scores = player(run_session(short_song(2), "irm"))["irm"]["scores"]["targets"]  # type: ignore[index]
    assert min(scores[target]["ISR"] for target in scores) > 0


def test_progress_never_decreases() -> None:
    shares = [update.share for update in session.separate_song(unscored(), SeparationRequest(methods=["mix", "hpss"]))]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_stages_are_reported_during_the_work() -> None:
    updates = [
        u for u in session.separate_song(unscored(), SeparationRequest(methods=["hpss"])) if u.stage == "separating"
    ]
    assert updates[-1].method == "Harmonic-percussive"
    assert updates[-1].share == pytest.approx(0.95 * 0.95)  # the rest is for writing and scoring
    assert updates[-1].device == "cpu"
    assert updates[-1].real_time_factor is not None
    assert updates[-1].real_time_factor > 0


def test_stems_are_playable_before_a_method_is_finished() -> None:
    ready = []
    song = open_long()
    for update in session.separate_song(song, SeparationRequest(methods=["hpss"])):
        if update.stage == "separating" and update.real_time_factor:
            group = player(update).get("hpss")
            ready.append(group["tracks"][0]["ready"] if group else 0)  # type: ignore[index]
    assert 0 < ready[0] < ready[-1] == song.audio.frames * 48000 / 44100


def open_long() -> songs.Song:
    """24 s of noise: several segments for every method."""
    noise = 0.1 * torch.randn(2, 24 * 44100, generator=torch.Generator().manual_seed(0))
    return songs.Song(name="noise.wav", audio=Audio(waveform=noise, sample_rate=44100))


def test_a_failing_method_is_named_and_the_others_continue() -> None:
    upload = songs.Song(name="mine.wav", audio=unscored().audio)
    last = run_session(upload, "irm", "hybrid-demucs", "mix")
    assert [result.method for result in last.results] == ["mix"]
    assert "true sources" in last.failed["irm"]
    assert "the weights cannot be used: they are missing" in last.failed["hybrid-demucs"]
    assert list(player(last)) == ["song", "mix"]


def test_stopping_keeps_finished_methods_only() -> None:
    updates = session.separate_song(short_song(), SeparationRequest(methods=["mix", "hpss"]))
    for update in updates:
        if update.results and update.method == "Harmonic-percussive" and update.real_time_factor:
            break
    updates.close()
    document = storage.read_player(update.folder)
    assert [group["id"] for group in document["groups"]] == ["song", "references", "mix"]
    assert not document["working"]
    assert not (update.folder / "hpss").exists()
    assert not (update.folder / "listen" / "hpss").exists()


def test_stopping_before_any_method_is_finished_leaves_nothing(own_results: Path) -> None:
    updates = session.separate_song(unscored(), SeparationRequest(methods=["hpss"]))
    for update in updates:
        if update.method == "Harmonic-percussive":
            break
    updates.close()
    assert not list(own_results.glob("*"))


@pytest.mark.parametrize(("methods", "words"), [([], "at least one"), (["no such"], "does not exist")])
def test_invalid_requests_are_refused(methods: list[str], words: str) -> None:
    with pytest.raises(songs.StudioError, match=words):
        run_session(unscored(), *methods)


def test_stems_can_be_made_to_sum_to_the_mixture() -> None:
    last = run_session(unscored(), "hpss", sum_to_mixture=True)
    residual = last.results[0].residual_db
    assert residual is None or residual < -100  # what 24 bits leave
    assert "--sum-to-mixture" in json.loads(last.results[0].card.read_text())["command"]


def test_karaoke_gives_two_stems_and_refuses_methods_without_vocals() -> None:
    last = run_session(unscored(), "mix", "ica", karaoke=True)
    (result,) = last.results
    assert list(result.stems) == ["vocals", "instrumental"]
    assert "--two-stems vocals" in json.loads(result.card.read_text())["command"]
    assert last.failed == {
        "ica": "ICA: ica has no stem 'vocals' to separate from the rest; it gives component 1, component 2"
    }


def test_options_and_weights_reach_the_method() -> None:
    last = run_session(unscored(), "open-unmix", options={"open-unmix": {"iterations": 0}})
    card = json.loads(last.results[0].card.read_text())
    assert card["options"]["iterations"] == 0
    assert "--option iterations=0" in card["command"]


def test_uploaded_estimates_are_listed_as_a_method() -> None:
    song = short_song(1.0)
    assert song.references is not None
    halves = {name: waveform / 2 for name, waveform in song.references.items()}
    last = run_session(dataclasses.replace(song, estimates=halves), yours="Half <b>")
    group = player(last)["yours"]
    assert group["title"] == "Half <b>"
    # Half of everything leaves half of the mixture.
    assert group["details"]["residual_db"] == pytest.approx(-6.02, abs=0.02)  # type: ignore[index]
    assert group["scores"]["targets"]["vocals"]["SI-SDR"] > 60  # type: ignore[index]
    assert group["scores"]["targets"]["vocals"]["SDR"] == pytest.approx(6.02, abs=0.05)  # type: ignore[index]


def test_results_expire_after_an_hour() -> None:
    folder = run_session(unscored(), "mix").folder
    storage.remove_expired()
    assert folder.is_dir()
    assert storage.find_result(folder.name) == folder
    storage.remove_expired(now=time.time() + storage.KEEP_SECONDS + 60)
    assert not folder.exists()
    assert storage.find_result(folder.name) is None


def test_a_visitors_list_stays_as_long_as_one_of_the_results() -> None:
    folder = run_session(unscored(), "mix").folder
    store.remember("visitor", folder)
    long_ago = time.time() - storage.KEEP_SECONDS - 60
    (listed,) = storage.RESULTS.glob("*.jobs")
    os.utime(listed, (long_ago, long_ago))
    storage.remove_expired()
    assert listed.is_file()
    os.utime(folder, (long_ago, long_ago))
    storage.remove_expired()
    assert not listed.exists()


@pytest.mark.parametrize("token", [None, "", "..", "../../../../etc", "a" * 22, "x" * 21 + "/", 7])
def test_invalid_tokens_find_no_result(token: object) -> None:
    assert storage.find_result(token) is None  # type: ignore[arg-type]


def test_result_folders_are_readable_by_the_server_user_only() -> None:
    folder = run_session(unscored(), "mix").folder
    assert len(folder.name) >= 20
    assert folder.stat().st_mode & 0o077 == 0


def test_song_names_are_quoted_in_the_command_of_result_json() -> None:
    nasty = songs.Song(name="x", audio=unscored().audio, file="$(rm -rf ~); ' song.wav")
    command = json.loads(run_session(nasty, "mix").results[0].card.read_text())["command"]
    assert """'$(rm -rf ~); '"'"' song.wav'""" in command


def test_a_song_that_is_called_like_an_option_is_a_file_in_the_command() -> None:
    song = songs.Song(name="x", audio=unscored().audio, file="--out=x.wav")
    command = json.loads(run_session(song, "mix").results[0].card.read_text())["command"]
    assert shlex.split(command)[3:5] == ["separate", "./--out=x.wav"]


def test_the_command_in_result_json_reproduces_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = run_session(unscored(start=1.25), "hpss", sum_to_mixture=True)
    card = json.loads(last.results[0].card.read_text())
    assert card["start"] == 1.25
    python, *module, command = shlex.split(card["command"])[:4]
    assert (python, module, command) == ("python", ["-m", "separation"], "separate")
    words = [*shlex.split(card["command"])[3:], "--out", str(tmp_path / "again")]
    monkeypatch.chdir(ROOT)
    assert CliRunner().invoke(app, words).exit_code == 0
    again = tmp_path / "again" / "mixture" / "hpss" / "drums.wav"
    np.testing.assert_array_equal(soundfile.read(again)[0], soundfile.read(last.results[0].stems["drums"])[0])


def test_results_are_for_the_studio_s_user_only(own_results: Path) -> None:
    run_session(unscored(), "mix")
    assert own_results.stat().st_mode & 0o077 == 0


def test_very_long_names_in_any_script_can_be_archived() -> None:
    long = songs.Song(name="\N{MUSICAL SYMBOL G CLEF}" * 200 + ".wav", audio=unscored().audio)
    assert list((run_session(long, "mix").folder / "mix").glob("*.zip"))


def test_stem_names_may_contain_any_characters() -> None:
    song = short_song()
    third = song.audio.read(0, song.audio.frames) / 3
    strange = {"../..": third, "a/b": third, "x" * 300: third}
    last = run_session(dataclasses.replace(song, estimates=strange, references=None))
    tracks = player(last)["yours"]["tracks"]
    assert {track["name"] for track in tracks} == {*strange, "residual"}  # type: ignore[attr-defined]
    for track in tracks:  # type: ignore[attr-defined]
        assert (last.folder / track["opus"]).resolve().is_relative_to(last.folder)
