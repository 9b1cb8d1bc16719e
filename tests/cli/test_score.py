"""`score` and `evaluate`: how they print and write the scores of a perfect estimate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from separation.__main__ import app


def test_a_perfect_estimate_is_inf_in_the_table_and_in_json(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).normal(scale=0.1, size=(2, 16000, 2))
    for name, samples in zip(("vocals", "drums"), noise, strict=True):
        soundfile.write(tmp_path / f"{name}.wav", samples, 8000, subtype="FLOAT")
    out = tmp_path / "scores.json"
    printed = CliRunner().invoke(app, ["score", str(tmp_path), str(tmp_path), "--out", str(out)])
    assert printed.exit_code == 0, printed.output
    assert next(line for line in printed.stdout.splitlines() if line.startswith("vocals")).split()[1] == "inf"
    assert json.loads(out.read_text())["targets"]["vocals"]["SDR"] == "inf"
    assert json.loads(out.read_text())["targets"]["vocals"]["frames"][0]["SDR"] == "inf"


def test_evaluate_keeps_perfect_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mix` estimates a quarter of the mixture, which is right for the vocals here."""
    import museval

    monkeypatch.setattr("separation.evaluation.projection.TAPS", 16)  # quicker, and as perfect
    noise = np.random.default_rng(5).integers(-99, 99, size=(16000, 2)) / 1024
    for number in range(6):
        folder = tmp_path / "set" / f"Song {number}"
        folder.mkdir(parents=True)
        for name, gain in {"vocals": 1, "other": 3}.items():
            soundfile.write(folder / f"{name}.wav", gain * noise, 8000, subtype="DOUBLE")
    arguments = ["--root", str(tmp_path / "set"), "--method", "mix", "--out", str(tmp_path / "scores")]
    printed = CliRunner().invoke(app, ["evaluate", *arguments])
    assert printed.exit_code == 0, printed.output
    assert next(line for line in printed.stdout.splitlines() if line.startswith("vocals")).split()[:4] == [
        "vocals", "inf", "inf", "to"
    ]  # fmt: skip
    document = json.loads(CliRunner().invoke(app, ["evaluate", *arguments, "--json"]).stdout)
    assert document["median"]["vocals"]["SDR"] == document["tracks"][0]["targets"]["vocals"]["SDR"] == "inf"
    assert (tmp_path / "scores" / "mix" / "summary.csv").read_text().splitlines()[1].split(",")[5] == "inf"
    written = json.loads(Path(document["tracks"][0]["file"]).read_text())
    assert written["targets"][0]["frames"][0]["metrics"]["SDR"] == written["targets"][0]["SI-SDR"] == np.inf
    store = museval.EvalStore()
    store.add_eval_dir(tmp_path / "scores" / "mix")
    assert store.agg_frames_tracks_scores()["vocals"]["SDR"] == np.inf
