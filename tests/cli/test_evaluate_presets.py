"""`evaluate` and `plot` with presets, and the note on models that have seen the test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from separation.__main__ import app
from separation.weights import catalogue

RATE = 44100
SOURCES = ("vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MUSDB18-HQ with one test track of 2 s."""
    folder = tmp_path_factory.mktemp("hq") / "test" / "Band - Song"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    stems = {source: 0.05 * random.standard_normal((2 * RATE, 1)) for source in SOURCES}
    for name, wave in {**stems, "mixture": sum(stems.values())}.items():
        soundfile.write(folder / f"{name}.wav", wave, RATE, subtype="PCM_16")
    return folder.parent.parent


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def evaluate(root: Path, out: Path, *more: object) -> Result:
    return run("evaluate", "--root", root, "--wav", "--out", out, "--json", *more)


def test_a_model_trained_on_the_test_set_is_noted(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = (
        "note: hdemucs_high_musdb_plus was trained on MUSDB18's test set: its scores here do not tell its quality"
    )
    arguments = ("-m", "hybrid-demucs", "--model", "hdemucs_high_musdb_plus")
    said = evaluate(root, tmp_path / "scores", *arguments).stderr  # the model is not installed, which is said later
    assert said.startswith(sentence)
    assert said.count("was trained on") == 1
    assert "was trained on" not in evaluate(root, tmp_path / "scores", "-m", "hybrid-demucs").stderr
    (tmp_path / "plain" / "Band - Song").parent.mkdir()
    (tmp_path / "plain" / "Band - Song").symlink_to(root / "test" / "Band - Song")
    plain = run("evaluate", "--root", tmp_path / "plain", "--out", tmp_path / "scores", *arguments)
    assert "was trained on" not in plain.stderr, "other data than MUSDB18"
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "is_installed", lambda name: name == "hdemucs_high_musdb_plus")
        assert sentence in evaluate(root, tmp_path / "scores", "-m", "best").stderr
