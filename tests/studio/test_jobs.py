"""The studio's work, without a browser and without a server."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.studio import jobs
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jobs, "RESULTS", tmp_path / "results")
    jobs.musdb_tracks.cache_clear()
    return tmp_path / "results"


def short_song(seconds: float = 2.0) -> jobs.Song:
    return jobs.open_song("sample", next(iter(jobs.samples())), start=2.0, duration=seconds)


def test_a_sample_comes_with_its_true_sources() -> None:
    song = short_song()
    assert song.references is not None
    assert song.audio.frames == 88200
    total = sum(song.references.values())
    assert float(abs(song.audio.waveform - total).max()) < 2 / 32768


@pytest.mark.parametrize(
    ("kind", "choice", "words"),
    [
        ("upload", None, "Choose a song"),
        ("sample", "no such", "no such sample"),
        ("musdb", "no such", "no such MUSDB18 track"),
        ("upload", "/nowhere/song.wav", "no such file"),
    ],
)
def test_what_cannot_be_opened_is_said_in_a_sentence(kind: str, choice: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        jobs.open_song(kind, choice)
    assert "/nowhere" not in str(caught.value)


def test_an_excerpt_beyond_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="ends at"):
        jobs.open_song("sample", next(iter(jobs.samples())), start=500)


def test_several_methods_leave_stems_pictures_and_archives(own_results: Path) -> None:
    *_, last = jobs.separate_song(short_song(), ["mix", "ica", "irm"])
    assert [result.method.name for result in last.results] == ["mix", "ica", "irm"]
    assert not last.failed
    assert {stem.name for stem in last.known} == {"mixture", "vocals", "drums", "bass", "other"}
    for section in last.results:
        for stem in section.stems:
            assert soundfile.info(stem.path).frames == 88200
            assert stem.picture.read_bytes().startswith(b"\x89PNG")
        with zipfile.ZipFile(section.archive) as archive:
            names = {f"{stem.name}.wav" for stem in section.stems} | {"result.json"}
            assert set(archive.namelist()) == names
            assert json.loads(archive.read("result.json"))["method"] == section.method.name


def test_progress_only_grows() -> None:
    shares = [update.share for update in jobs.separate_song(short_song(), ["mix", "hpss"])]
    numbers = [share for share in shares if share is not None]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 1.0


def test_a_method_that_cannot_work_is_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    song = short_song()
    upload = jobs.Song(name="mine.wav", audio=song.audio)
    *_, last = jobs.separate_song(upload, ["irm", "hybrid-demucs", "mix"])
    assert [result.method.name for result in last.results] == ["mix"]
    assert any("true sources" in sentence for sentence in last.failed)
    assert any("models download hdemucs_high_musdb" in sentence for sentence in last.failed)


def test_closing_keeps_finished_methods_and_nothing_else(own_results: Path) -> None:
    updates = jobs.separate_song(short_song(), ["mix", "hpss"])
    for update in updates:
        if update.results and update.title == "Harmonic-percussive":
            break
    updates.close()
    folders = {path.name for path in own_results.glob("*/*") if path.is_dir()}
    assert folders == {"mix"}


def test_closing_before_anything_is_finished_leaves_nothing(own_results: Path) -> None:
    updates = jobs.separate_song(short_song(), ["hpss"])
    for update in updates:
        if update.title == "Harmonic-percussive":
            break
    updates.close()
    assert not list(own_results.glob("*"))


def test_results_are_swept_after_an_hour_and_not_before(own_results: Path) -> None:
    *_, last = jobs.separate_song(short_song(), ["mix"])
    folder = last.known[0].path.parent
    jobs.sweep()
    assert folder.is_dir()
    jobs.sweep(now=time.time() + jobs.KEEP_SECONDS + 60)
    assert not folder.exists()


def test_a_result_is_for_its_owner_only(own_results: Path) -> None:
    *_, last = jobs.separate_song(short_song(), ["mix"])
    folder = last.known[0].path.parent
    assert len(folder.name) >= 20
    assert folder.stat().st_mode & 0o077 == 0


def test_a_song_called_like_a_command_is_quoted_in_its_card() -> None:
    nasty = jobs.Song(name="x", audio=short_song().audio, file="$(rm -rf ~); ' song.wav")
    *_, last = jobs.separate_song(nasty, ["mix"])
    command = json.loads(last.results[0].result.card.read_text())["command"]
    assert """'$(rm -rf ~); '"'"' song.wav'""" in command


def test_the_command_in_the_card_repeats_the_result(tmp_path: Path) -> None:
    song = jobs.open_song("sample", next(iter(jobs.samples())), start=1.25, duration=2)
    *_, last = jobs.separate_song(song, ["hpss"])
    card = json.loads(last.results[0].result.card.read_text())
    assert card["start"] == 1.25
    words = [*shlex.split(card["command"])[1:], "--out", str(tmp_path / "again")]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    again = tmp_path / "again" / "mixture" / "hpss" / "drums.wav"
    np.testing.assert_array_equal(soundfile.read(again)[0], soundfile.read(last.results[0].result.stems["drums"])[0])


def test_nothing_of_a_visitor_stays_when_the_studio_stops(own_results: Path) -> None:
    list(jobs.separate_song(short_song(), ["mix"]))
    assert own_results.stat().st_mode & 0o077 == 0
    jobs.remove_results()
    assert not list(own_results.glob("*"))


def test_musdb_tracks_appear_when_their_root_is_named(musdb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert jobs.musdb_tracks() == {}
    jobs.musdb_tracks.cache_clear()
    monkeypatch.setenv("MUSDB_ROOT", str(musdb_root))
    names = list(jobs.musdb_tracks())
    assert len(names) == 114
    song = jobs.open_song("musdb", names[0], start=1, duration=2)
    assert song.audio.frames == 88200
    assert song.references is not None
    assert set(song.references) == {"vocals", "drums", "bass", "other"}


def test_a_wrong_musdb_root_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSDB_ROOT", str(tmp_path / "nowhere"))
    assert jobs.musdb_tracks() == {}


def test_a_very_long_name_in_any_script_still_makes_an_archive() -> None:
    long = jobs.Song(name="\N{MUSICAL SYMBOL G CLEF}" * 200 + ".wav", audio=short_song().audio)
    *_, last = jobs.separate_song(long, ["mix"])
    assert last.results[0].archive.is_file()
