"""`tracks` lists the tracks of a data set."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest

from tests.cli.helpers import SOURCES, error_line, python_m_separation, separation, write_song
from tests.weights.helpers import serving


def write_musdb(root: Path) -> None:
    for place in ("train/A - First", "train/B - Second", "test/C - Third"):
        for stem in ("mixture", *SOURCES):
            write_song(root / place / f"{stem}.wav", frames=4410)


def test_tracks_lists_a_data_set(musdb_root: Path, tmp_path: Path) -> None:
    for subset in ("train", "test"):  # two clips of each, since every file is opened
        (tmp_path / subset).mkdir()
        for clip in sorted((musdb_root / subset).glob("*.stem.mp4"))[:2]:
            (tmp_path / subset / clip.name).symlink_to(clip)
    outcome = separation("tracks", "--root", tmp_path, "--json")
    assert outcome.code == 0
    document = outcome.document
    assert document["root"] == str(tmp_path)
    files = {(path.parent.name, path.name.removesuffix(".stem.mp4")) for path in tmp_path.rglob("*.stem.mp4")}
    assert len(files) == 4
    assert {(track["subset"], track["name"]) for track in document["tracks"]} == files
    for track in document["tracks"]:
        assert track.keys() >= {"name", "subset", "duration", "sources"}
        assert track["sources"] == list(SOURCES)
        assert 5 < track["duration"] < 8


def test_the_root_may_come_from_the_environment(tmp_path: Path) -> None:
    write_musdb(tmp_path)
    environment = {"MUSDB_ROOT": str(tmp_path)}
    document = separation("tracks", "--wav", "--json", environment=environment).document
    assert [(track["subset"], track["name"], track["duration"]) for track in document["tracks"]] == [
        ("test", "C - Third", 0.1),
        ("train", "A - First", 0.1),
        ("train", "B - Second", 0.1),
    ]
    lines = separation("tracks", "--wav", environment=environment).stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("test") and lines[0].endswith("C - Third")


def test_a_missing_data_set_is_refused(tmp_path: Path) -> None:
    assert "no folder 'nowhere'" in error_line(separation("tracks", "--root", tmp_path / "nowhere"))
    (tmp_path / "Artist" / "Song").mkdir(parents=True)
    write_song(tmp_path / "Artist" / "Song" / "vocals.wav", frames=441)
    said = error_line(separation("tracks", "--root", tmp_path))
    assert "neither a train nor a test folder, as MUSDB18 does, nor folders with <source>.wav" in said
    (tmp_path / "train").mkdir()
    assert "holds no tracks" in error_line(separation("tracks", "--root", tmp_path, "--json"))
    outcome = separation("tracks", environment={"MUSDB_ROOT": ""})
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "--download" in error_line(outcome)


def test_the_sample_set_is_downloaded_and_listed(tmp_path: Path, musdb_root: Path) -> None:
    track = next((musdb_root / "test").glob("*.stem.mp4"))
    with serving() as server:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.write(track, f"test/{track.name}")
        server.files["/set.zip"] = content.getvalue()
        environment = {
            "MUSDB_ROOT": "",
            "SEPARATION_HOME": str(tmp_path),
            "STEMSCOPE_SAMPLE_SET_URL": f"{server.url}/set.zip",
            "no_proxy": "*",
        }
        listed = [
            separation("tracks", *options, "--json", environment=environment).document["tracks"]
            for options in (("--download",), ())  # it is found again without the option
        ]
    for tracks in listed:
        assert [one["name"] for one in tracks] == [track.name.removesuffix(".stem.mp4")]


def test_names_of_any_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may contain line breaks, or bytes that are not text in the encoding of the terminal."""
    monkeypatch.setattr("separation.evaluation.projection.TAPS", 16)
    names = ["-dash", "new\nline", "sur\udcff", "\N{MULTIPLE MUSICAL NOTES}"]
    for name in names:
        for source in SOURCES:
            write_song(tmp_path / "song.wav", frames=4410)
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "song.wav").rename(tmp_path / "set" / name / f"{source}.wav")
    done = python_m_separation("tracks", "--root", tmp_path / "set", environment={"PYTHONIOENCODING": "ascii"})
    assert (done.code, done.stderr) == (0, "")
    listed = [line.split("  ")[-1] for line in done.stdout.splitlines()]
    assert listed == ["-dash", "new\\nline", "sur\\udcff", "\\U0001f3b6"]
    done = separation("evaluate", "--root", tmp_path / "set", "-m", "mix", "--out", tmp_path / "out", "--json")
    assert [track["name"] for track in done.document["tracks"]] == names
    rows = list(csv.reader((tmp_path / "out" / "mix" / "summary.csv").open(encoding="utf-8", errors="surrogateescape")))
    assert {row[3] for row in rows[1:]} == set(names)
