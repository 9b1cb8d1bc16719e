"""`score`: what it prints for a perfect estimate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
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
