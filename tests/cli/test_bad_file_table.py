"""What every command does with every kind of bad file: run, and compared with the table in docs/data.md."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.separators.mixture import Mix
from separation.studio.errors import visitor_message
from separation.studio.inputs import songs
from tests.cli import bad_files as bad
from tests.cli.helpers import RATE, Outcome, separation
from tests.conftest import ROOT
from tests.training.conftest import TINY_OPEN_UNMIX, toml

#: A command that runs on a folder with a bad vocals.wav, and says what became of it.
Command = Callable[[Callable[[Path], None], Path], str]


def unfinished(folder: Path) -> None:
    """As a recorder leaves it that has lost its power: the header holds no lengths yet."""
    content = bytearray((folder / "vocals.wav").read_bytes())
    content[4:8] = bytes(4)
    at = content.index(b"data") + 4
    content[at : at + 4] = bytes(4)
    (folder / "vocals.wav").write_bytes(content)


def silent(folder: Path) -> None:
    soundfile.write(folder / "vocals.wav", np.zeros((RATE // 2, 2)), RATE)


def one_sample(folder: Path) -> None:
    soundfile.write(folder / "vocals.wav", bad.noise(0, frames=1), RATE)


ROWS = {
    "empty": bad.empty,
    "not audio": bad.text,
    "truncated": bad.cut,
    "a header that was never completed": unfinished,
    "a broken link": bad.dangling,
    "a folder or a pipe in its place": bad.folder_instead,
    "NaN or infinite samples": bad.nan,
    "silent": silent,
    "one sample": one_sample,
    "shorter than the other stems": bad.shorter,
    "mono among stereo": bad.mono,
    "another sample rate": bad.slower,
    "two files for one target": bad.add_duplicate,
}


def song_of(folder: Path) -> Path:
    """The bad file, as a song of its own."""
    return next(path for path in sorted(folder.iterdir()) if path.stem == "vocals")


def in_words(outcome: Outcome, *, if_bad: str) -> str:
    """Say what a command did; it names the bad file and goes on with the others."""
    lines = bad.errors(outcome)
    notes = [line for line in outcome.stderr.splitlines() if "vocals" in line.lower() and line.startswith("note: ")]
    if outcome.code:
        assert lines
        assert "vocals" in lines[0].lower()
        return if_bad if outcome.code == 1 else "refused"
    return "read, with a warning" if lines else "read, with a note" if notes else "read"


def separate(spoil: Callable[[Path], None], place: Path) -> str:
    folder = bad.write_track(place / "songs")
    spoil(folder)
    return in_words(
        separation("separate", song_of(folder), folder / "drums.wav", "-m", "mix", "--out", place / "out"),
        if_bad="skipped",
    )


def a_set(spoil: Callable[[Path], None], place: Path, *parts: str) -> Path:
    for seed, name in enumerate(parts):
        bad.write_track(place / "set" / name, seed=seed)
    for name in parts[::2]:
        spoil(place / "set" / name)
    return place / "set"


def tracks(spoil: Callable[[Path], None], place: Path) -> str:
    root = a_set(spoil, place, "test/A", "test/B")
    return in_words(separation("tracks", "--root", root), if_bad="reported").replace("read", "listed")


def evaluate(spoil: Callable[[Path], None], place: Path) -> str:
    root = a_set(spoil, place, "test/A", "test/B")
    return in_words(separation("evaluate", "--root", root, "-m", "mix", "--out", place / "out"), if_bad="track skipped")


def train(spoil: Callable[[Path], None], place: Path) -> str:
    root = a_set(spoil, place, "train/A", "train/B", "valid/V", "valid/W")
    config = place / "mine.toml"
    config.write_text(toml(TINY_OPEN_UNMIX | {"epochs": 1, "epoch_steps": 1}))
    arguments = ["--out", str(place / "run"), "--config", str(config), "--device", "cpu", "--target", "vocals"]
    return in_words(separation("train", "open-unmix", "--root", root, *arguments), if_bad="track skipped")


def score(spoil: Callable[[Path], None], place: Path, spoilt: str) -> str:
    references, estimates = (bad.write_track(place / name) for name in ("references", "estimates"))
    spoil(place / spoilt)
    return in_words(separation("score", references, estimates), if_bad="skipped")


def in_the_studio(spoil: Callable[[Path], None], place: Path, *, is_song: bool) -> str:
    """As an uploaded song, or as one of its true sources."""
    folder = bad.write_track(place / "uploads")
    spoil(folder)
    song = songs.open_song("upload", str(song_of(folder) if is_song else folder / "drums.wav"))
    try:
        if not is_song:
            song = songs.with_references(song, [str(path) for path in sorted(folder.iterdir())])
        list(Mix(sample_rate=song.audio.sample_rate).stream(song.audio))
        return "read, with a warning" if song.audio.warnings else "read"
    finally:
        song.close()


def studio(spoil: Callable[[Path], None], place: Path, *, is_song: bool) -> str:
    try:
        return in_the_studio(spoil, place, is_song=is_song)
    except (ValueError, OSError) as error:
        assert visitor_message(error)
        return "refused"


COLUMNS: dict[str, Command] = {
    "`separate`": separate,
    "`tracks`": tracks,
    "`evaluate`": evaluate,
    "`train`": train,
    "`score`: estimate": lambda spoil, place: score(spoil, place, "estimates"),
    "`score`: reference": lambda spoil, place: score(spoil, place, "references"),
    "studio: song": lambda spoil, place: studio(spoil, place, is_song=True),
    "studio: true source": lambda spoil, place: studio(spoil, place, is_song=False),
}


@pytest.mark.slow  # a hundred runs; test_bad_sets.py holds what each of them says
def test_the_table_of_bad_files_is_what_the_commands_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("separation.evaluation.projection.TAPS", 16)
    lines = [f"| the file is | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for row, spoil in ROWS.items():
        cells = []
        for number, command in enumerate(COLUMNS.values()):
            place = tmp_path / str(number)
            place.mkdir()
            cells.append(command(spoil, place))
            shutil.rmtree(place)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    assert table in (ROOT / "docs" / "data.md").read_text(encoding="utf-8"), f"\n{table}"
