"""Paths that are too long, or that the system refuses in another way, are one line; long names of tracks are scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.bad_files import errors, write_track
from tests.cli.helpers import error_line, separation

LONG = "q" * 300


@pytest.fixture(autouse=True)
def short_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("separation.evaluation.projection.TAPS", 16)


@pytest.mark.parametrize(
    "arguments",
    [
        ("tracks", "--root", LONG),
        ("evaluate", "--root", LONG, "-m", "mix", "--out", "out"),
        ("score", LONG, LONG),
        ("plot", LONG, "--out", "figure.png"),
        ("train", "open-unmix", "--root", LONG, "--out", "run"),
        ("separate", LONG, "-m", "mix"),
        ("separate", "song.wav", "-m", "open-unmix", "--model", LONG),
        ("separate", "song.wav", "-m", f"{LONG}.toml"),
        ("models", "export", LONG),
    ],
    ids=lambda arguments: " ".join(arguments).replace(LONG, "LONG"),
)
def test_a_path_that_is_too_long_is_refused_in_one_line(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = error_line(separation(*arguments))
    assert LONG in line
    assert "Traceback" not in line


def test_a_cache_folder_that_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    outcome = separation("models", "list", environment={"SEPARATION_HOME": str(tmp_path / LONG)})
    assert "File name too long" in error_line(outcome)


def test_long_names_of_tracks_are_scored_and_too_long_ones_are_named(tmp_path: Path) -> None:
    """The file of scores is 5 letters longer than the folder, and the temporary file longer still."""
    longest, too_long = "x" * 250, "y" * 251
    for seed, name in enumerate((longest, too_long)):
        write_track(tmp_path / "set" / name, seed=seed)
    for _ in range(2):
        outcome = separation("evaluate", "--root", tmp_path / "set", "-m", "mix", "--out", tmp_path / "out", "--json")
        (line,) = errors(outcome)
        assert line.startswith(f"error: {too_long}: {tmp_path}")
        assert line.endswith(f"{too_long}.json: File name too long")
        assert [track["name"] for track in outcome.document["tracks"]] == [longest]
    assert [path.name for path in (tmp_path / "out" / "mix" / "test").iterdir()] == [f"{longest}.json"]
