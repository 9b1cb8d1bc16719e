"""`evaluate` and `plot` with presets, and the note on models that have seen the test set."""

from __future__ import annotations

import json
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
        "note: hdemucs_high_musdb_plus was trained on MUSDB18's test set, so these scores do not show its quality"
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


def test_a_preset_and_a_preset_file_are_evaluated_and_plotted(root: Path, tmp_path: Path) -> None:
    path, weights = tmp_path / "halves.toml", ", ".join(f"{source} = 1" for source in SOURCES)
    path.write_text(f'combine = "mean"\n[parts.one]\nmethod = "mix"\nweights = {{ {weights} }}\n')
    out = tmp_path / "scores"
    documents = {}
    for name, method in (("mix", "mix"), ("halves", path), ("fast", "fast")):
        outcome = evaluate(root, out, "-m", method)
        assert outcome.exit_code == 0, outcome.stderr
        documents[name] = json.loads(outcome.stdout)
        assert documents[name]["method"] == name
        assert (out / name / "test" / "Band - Song.json").is_file()
    sdr = {name: [document["median"][source]["SDR"] for source in SOURCES] for name, document in documents.items()}
    assert sdr["halves"] == pytest.approx(sdr["mix"], abs=1e-3)
    assert sdr["fast"] != pytest.approx(sdr["mix"], abs=0.1)
    figure = tmp_path / "violins.png"
    plotted = run("plot", out / "halves", out / "fast", "--out", figure, "--json")
    assert plotted.exit_code == 0, plotted.stderr
    assert set(json.loads(plotted.stdout)["targets"]["vocals"]["methods"]) == {"halves", "fast"}
    assert figure.stat().st_size > 1000
