"""`score`, `evaluate` and `plot` with --metrics and --verify."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from separation.__main__ import app

RATE = 8000
ALL = ["bleedless", "fullness", "l1_freq", "aura_stft", "log_wmse"]


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tracks of two sources, and a folder of estimates for the first one."""
    root = tmp_path_factory.mktemp("set")
    for number in range(2):
        noise = np.random.default_rng(number).normal(scale=0.1, size=(2, 2 * RATE, 1))
        for name, samples in zip(("vocals", "drums"), noise, strict=True):
            (root / f"song {number}").mkdir(exist_ok=True)
            soundfile.write(root / f"song {number}" / f"{name}.wav", samples, RATE)
            if number == 0:
                (root.parent / "estimates").mkdir(exist_ok=True)
                soundfile.write(root.parent / "estimates" / f"{name}.wav", 0.8 * samples + 0.1 * noise.sum(0), RATE)
    return root


def test_score_prints_the_chosen_metrics(data: Path) -> None:
    folders = data / "song 0", data.parent / "estimates"
    table = command("score", *folders, "--metrics", "fullness,bleedless").stdout.splitlines()
    assert table[0].split()[:8] == ["SDR", "ISR", "SIR", "SAR", "uSDR", "SI-SDR", "bleedless", "fullness"]
    assert 0 < float(table[1].split()[7]) < 100
    document = json.loads(command("score", *folders, "--metrics", "all", "--json").stdout)
    assert set(ALL) < set(document["targets"]["vocals"])
    assert "all others over the whole track" in document["aggregation"]
    plain = json.loads(command("score", *folders, "--json").stdout)
    assert not set(ALL) & set(plain["targets"]["vocals"])
    assert "verification" not in plain


def test_score_reports_the_difference_from_museval(data: Path) -> None:
    folders = data / "song 0", data.parent / "estimates"
    document = json.loads(command("score", *folders, "--verify", "--json").stdout)
    assert all(value < 1e-6 for value in document["verification"]["largest_difference"].values())
    text = command("score", *folders, "--verify").stdout
    assert "museval 0.4.1, 2 frames: largest difference in dB: SDR" in text


def test_an_unknown_metric_is_refused_before_anything_is_scored(data: Path, tmp_path: Path) -> None:
    for words in (["score", data, data], ["evaluate", "--root", data, "--out", tmp_path, "-m", "mix"]):
        done = command(*words, "--metrics", "pesq")
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("error: unknown metric 'pesq'")


def test_evaluate_adds_metrics_and_verification_to_finished_tracks(data: Path, tmp_path: Path) -> None:
    words = ["evaluate", "--root", data, "--out", tmp_path, "-m", "mix"]
    assert command(*words).exit_code == 0
    again = command(*words, "--metrics", "log_wmse,bleedless", "--verify", 1, "--json")
    assert again.exit_code == 0, again.stderr
    document = json.loads(again.stdout)
    assert document["verification"]["tracks"] == 1
    differences = document["verification"]["largest_difference"]
    assert all(differences[name] < 1e-6 for name in ("SDR", "ISR", "SIR"))
    assert differences["SAR"] is None  # the mixture has no artifacts
    values = [track["targets"]["vocals"]["bleedless"] for track in document["tracks"]]
    assert document["median"]["vocals"]["bleedless"] == pytest.approx(np.median(values))
    header = (tmp_path / "mix" / "summary.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith("uSDR,SI-SDR,bleedless,log_wmse")
    stored = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert "2 of 2 tracks were finished earlier" in command(*words, "--metrics", "bleedless").stderr
    third = command(*words, "--verify", 1)
    assert "2 of 2 tracks were finished earlier" in third.stderr
    assert "1 tracks verified: museval 0.4.1, 2 frames" in third.stdout
    assert third.stdout.splitlines()[1].split() == ["SDR", "ISR", "SIR", "SAR", "bleedless", "log_wmse"]
    assert stored == {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    figure = tmp_path / "figure.svg"
    plotted = command("plot", tmp_path / "mix", "--out", figure, "--metric", "bleedless", "--json")
    assert plotted.exit_code == 0, plotted.stderr
    assert json.loads(plotted.stdout)["unit"] == ""
    assert "(dB)" not in figure.read_text(encoding="utf-8")
    missing = command("plot", tmp_path / "mix", "--out", figure, "--metric", "fullness")
    assert missing.exit_code == 2
    assert "there is no fullness to draw" in missing.stderr


@pytest.mark.parametrize("order", [("fullness", "l1_freq"), ("l1_freq", "fullness")])
def test_evaluate_keeps_the_metrics_and_the_verification_of_earlier_runs(
    data: Path, tmp_path: Path, order: tuple[str, str]
) -> None:
    words = ["evaluate", "--root", data, "--out", tmp_path, "-m", "mix", "--json"]
    first, second = (("--metrics", metric) for metric in order)
    before = json.loads(command(*words, *first, "--verify", 1).stdout)
    after = json.loads(command(*words, *second).stdout)
    assert after["verification"]["tracks"] == before["verification"]["tracks"] == 1
    for old, new in zip(before["tracks"], after["tracks"], strict=True):
        assert list(new["targets"]["vocals"])[-2:] == ["fullness", "l1_freq"]
        assert old["targets"]["vocals"].items() < new["targets"]["vocals"].items()
