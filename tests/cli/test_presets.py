"""`separate`: presets and two stems, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from separation.__main__ import app

RATE = 44100


@pytest.fixture
def song(tmp_path: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal((RATE, 2))
    soundfile.write(tmp_path / "song.wav", noise, RATE, subtype="PCM_24")
    return tmp_path / "song.wav"


def separate(song: Path, *arguments: str) -> dict[str, Any]:
    """Return ``result.json``, and that the command went well."""
    out = song.parent / "out"
    outcome = CliRunner().invoke(app, ["separate", str(song), *arguments, "--out", str(out), "--json"])
    assert outcome.exit_code == 0, outcome.stderr
    (result,) = json.loads(outcome.stdout)["results"]
    card: dict[str, Any] = json.loads(Path(result["card"]).read_text())
    return card


def test_two_stems_are_vocals_and_instrumental(song: Path) -> None:
    card = separate(song, "-m", "mix", "--two-stems", "vocals")
    folder = song.parent / "out" / "song" / "mix"
    assert card["stems"] == {"vocals": "vocals.wav", "instrumental": "instrumental.wav"}
    vocals, instrumental, mixture = (
        soundfile.read(path)[0] for path in (folder / "vocals.wav", folder / "instrumental.wav", song)
    )
    np.testing.assert_allclose(vocals, mixture / 4, atol=1e-4)
    np.testing.assert_allclose(vocals + instrumental, mixture, atol=1e-4)


def test_two_stems_and_all_stems_are_different_results(song: Path) -> None:
    separate(song, "-m", "mix", "--two-stems", "vocals")
    card = separate(song, "-m", "mix")
    assert set(card["stems"]) == {"vocals", "drums", "bass", "other"}
    again = separate(song, "-m", "mix")
    assert again == card, "it was finished already"


def test_a_preset_file_is_a_method(song: Path) -> None:
    preset = song.parent / "halves.toml"
    preset.write_text('combine = "mean"\n[parts.a]\nmethod = "mix"\nweights = { vocals = 1, bass = 1 }\n')
    card = separate(song, "--method", str(preset))
    assert card["method"] == "halves"
    assert card["stems"] == {"vocals": "vocals.wav", "bass": "bass.wav"}
    assert (song.parent / "out" / "song" / "halves" / "bass.wav").is_file()


def test_an_edited_preset_file_is_another_method(song: Path) -> None:
    preset = song.parent / "mine.toml"
    for text, stems in (
        ('combine = "mean"\n[parts.a]\nmethod = "mix"\nweights = { vocals = 1, bass = 1 }\n', {"vocals", "bass"}),
        ('combine = "mean"\n[parts.a]\nmethod = "hpss"\nweights = { vocals = 1, bass = 1 }\n', {"vocals", "bass"}),
        ('first_installed = ["mix"]\n', {"vocals", "drums", "bass", "other"}),
        ('first_installed = ["hpss"]\n', {"vocals", "drums", "bass", "other"}),
    ):
        preset.write_text(text)
        card = separate(song, "--method", str(preset))
        assert (card["method"], set(card["stems"])) == ("mine", stems)
        again = separate(song, "--method", str(preset))
        assert again == card, "it was finished already"
        sound = soundfile.read(song.parent / "out" / "song" / "mine" / "vocals.wav")[0]
        equals_mix = np.allclose(sound, soundfile.read(song)[0] / 4, atol=1e-4)
        assert equals_mix == ("mix" in text), "it was separated again"


def test_best_offline_is_the_default(song: Path) -> None:
    card = separate(song)
    assert (card["method"], card["model"]) == ("best-offline", "spleeter-2stems + open-unmix-compact")
    assert set(card["stems"]) == {"vocals", "drums", "bass", "other"}
