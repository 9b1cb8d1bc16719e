"""Log-WMSE is relative to the track's own mixture where there is one, as in the repository that defines it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from separation.audio.signal import Signal
from separation.evaluation.evaluate import Job, evaluate_track
from separation.evaluation.folder_scores import score_folders
from separation.evaluation.museval_json import read_result
from separation.separators.base import Separator
from tests.conftest import ROOT
from tests.evaluation.extra_metric_cases import RATE, cases

GOLDEN = json.loads((ROOT / "tests" / "golden" / "extra_metrics.json").read_text(encoding="utf-8"))["scores"]
REFERENCE, ESTIMATE, MIXTURE = cases()["leaky"]  # the mixture holds a second source, which has no reference
EXPECTED = GOLDEN["leaky"]["log_wmse"]


@pytest.fixture(autouse=True)
def short_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """BSSEval's filters of 16 taps instead of 512 take no time."""
    monkeypatch.setattr("separation.evaluation.projection.TAPS", 16)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name, wave in (("references", REFERENCE), ("estimates", ESTIMATE)):
        write(tmp_path / name / "vocals.wav", wave)
    return tmp_path / "references", tmp_path / "estimates"


def write(path: Path, wave: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, wave.T, rate, subtype="FLOAT")


def log_wmse(document: dict[str, Any]) -> float:
    value: float = document["targets"]["vocals"]["log_wmse"]
    return value


def test_score_uses_the_mixture_among_the_references(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "Mixture.wav", MIXTURE)
    document = score_folders(*folders, metrics=["log_wmse"])
    assert log_wmse(document) == pytest.approx(EXPECTED, rel=1e-4)
    assert document["notes"] == ["log_wmse is relative to the track's mixture"]


@pytest.mark.parametrize(
    ("wave", "rate", "reason"),
    [
        (None, RATE, None),
        (MIXTURE, 48000, "'mixture.wav' has 48000 Hz where the references have 44100"),
        (MIXTURE[:1], RATE, "'mixture.wav' has 1 channel where the references have 2"),
        (MIXTURE[:, 1:], RATE, "'mixture.wav' has 132299 samples where the references have 132300"),
    ],
    ids=["none", "rate", "channels", "length"],
)
def test_score_uses_the_sum_if_no_mixture_fits(
    folders: tuple[Path, Path], wave: np.ndarray | None, rate: int, reason: str | None
) -> None:
    if wave is not None:
        write(folders[0] / "mixture.wav", wave, rate)
    document = score_folders(*folders, metrics=["log_wmse"])
    assert abs(log_wmse(document) - EXPECTED) > 0.5, "the reference alone is quieter than the mixture"
    unused = [f"the mixture is not used: {reason}"] if reason else []
    assert document["notes"] == [*unused, "log_wmse is relative to the sum of the references"]


def test_other_metrics_do_not_read_the_mixture(folders: tuple[Path, Path]) -> None:
    (folders[0] / "mixture.wav").write_bytes(b"")
    assert score_folders(*folders, metrics=["fullness"])["notes"] == []


@dataclass(frozen=True)
class Mastered:
    """A track whose mixture is not the sum of its sources."""

    name: str = "song"
    subset: str = "test"

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        return MIXTURE, {"vocals": REFERENCE}, RATE


class Leaky(Separator):
    """The estimate that belongs to the track."""

    name = "mix"
    sources = ("vocals",)

    def _stream(self, mixture: Signal) -> Iterator[torch.Tensor]:
        yield torch.from_numpy(ESTIMATE)[None]


def test_evaluate_uses_the_mixture_that_it_separates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("separation.evaluation.evaluate.load", lambda *_, **__: Leaky())
    track: Any = Mastered()
    nothing: dict[str, Any] = {"model": None, "device": "cpu", "options": (), "provenance": ()}
    job = Job(track=track, file=tmp_path / "song.json", method="mix", metrics=("log_wmse",), **nothing)
    assert evaluate_track(job).error is None
    found = read_result(job.file)
    assert found.whole["vocals"]["log_wmse"] == pytest.approx(EXPECTED, rel=1e-4)
    assert "log_wmse is relative to the track's mixture" in found.provenance["notes"]
