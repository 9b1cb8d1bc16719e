"""The check of a GPU runs on a CPU, small, prints a valid document, and fails if a figure or a part does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
import torch

from separation.evaluation.bss_eval import Scores
from tests.benchmarks import gpu, gpu_separation
from tests.benchmarks.gpu import check, compare_scores, table
from tests.benchmarks.gpu_parts import attempt, failures, finite, verdicts
from tests.benchmarks.gpu_separation import NETWORKS, PRESETS, measure_separation
from tests.benchmarks.gpu_training import covered, measure_training

CPU = torch.device("cpu")
LATE = {"skipped": "the time is over"}


def test_overlapping_spans_are_counted_once() -> None:
    assert covered([(5.0, 7.0), (0.0, 2.0), (1.0, 3.0), (1.0, 2.0)]) == 5.0
    assert covered([]) == 0.0


def test_the_table_has_a_line_per_number() -> None:
    lines = table({"what": "", "a": {"b": 1.23456, "c": None}, "d": {"skipped": "no time"}}).splitlines()
    assert [line.split(maxsplit=3) for line in lines] == [["a", "/", "b", "1.235"], ["d", "/", "skipped", "no time"]]
    assert table({"failures": ["a: 1"]}) == "failed: a: 1"


def test_no_measurement_starts_after_the_deadline() -> None:
    found = measure_separation(CPU, small=True, deadline=time.monotonic())
    assert found == dict.fromkeys((*NETWORKS, *PRESETS), LATE)
    trained = measure_training(CPU, small=True, steps=1, deadline=time.monotonic())
    assert [part[side] for part in trained.values() for side in ("ours", "plain")] == [LATE] * 4


def raising(error: Exception) -> Any:
    def measure(*_: object, **__: object) -> dict[str, Any]:
        raise error

    return measure


def test_missing_packages_are_skipped_and_other_errors_recorded() -> None:
    assert attempt(raising(ImportError("No module named 'x'"))) == {"skipped": "No module named 'x'"}
    assert attempt(raising(RuntimeError("CUDA error\nmore"))) == {"error": "RuntimeError: CUDA error"}
    assert attempt(raising(torch.OutOfMemoryError())) == {"error": "OutOfMemoryError: "}
    assert attempt(lambda: {"a": 1}) == {"a": 1}


def test_a_part_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "measure_training", raising(RuntimeError("no kernel")))
    monkeypatch.setattr(gpu, "evaluation", lambda *_, **__: {"audio_seconds": 3.0})
    times = gpu_separation._times
    monkeypatch.setattr(gpu_separation, "NETWORKS", ("open-unmix", "demucs"))
    monkeypatch.setattr(gpu_separation, "PRESETS", ())
    monkeypatch.setattr(
        gpu_separation,
        "_times",
        lambda one, *more: raising(ValueError("bad"))() if one.name == "demucs" else times(one, *more),
    )
    document = check(CPU, small=True, only=["training", "evaluation", "separation"])
    assert document["training"] == {"error": "RuntimeError: no kernel"}
    assert document["evaluation"] == {"audio_seconds": 3.0}
    assert document["separation"]["open-unmix"]["3 s"]["real_time_factor"] > 0
    assert document["separation"]["demucs"] == {"error": "ValueError: bad"}
    assert document["failures"] == ["training: RuntimeError: no kernel", "separation / demucs: ValueError: bad"]


def test_undefined_scores_are_compared() -> None:
    values = torch.tensor([[1.0, 2.0, torch.nan], [3.0, 4.0, torch.nan]])
    one = Scores(SDR=values, ISR=values, SIR=values, SAR=values, permutation=(0, 1))
    assert compare_scores(one, one) == {
        "same_undefined": True,
        "largest_difference_db": dict.fromkeys(("SDR", "ISR", "SIR", "SAR"), 0.0),
    }
    nothing = compare_scores(one, replace(one, SIR=torch.full_like(values, torch.nan)))
    assert nothing["same_undefined"] is False
    assert nothing["largest_difference_db"] == {"SDR": 0.0, "ISR": 0.0, "SIR": None, "SAR": 0.0}
    assert compare_scores(one, replace(one, SAR=values + 0.5))["largest_difference_db"]["SAR"] == 0.5


def document_with(*, busy: float | None, agreement: float, difference: float | None, same: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "training": {"demucs": {"ours": {"busy": busy}}},
        "separation": {"roformer": {"agreement_fp32_db": agreement, "agreement_bf16_db": 40.0}},
        "evaluation": {"largest_difference_db": {"SDR": difference}, "same_undefined": same},
    }
    return document | {"verdicts": verdicts(document)}


def test_every_threshold_can_be_missed() -> None:
    good = document_with(busy=0.95, agreement=120.0, difference=1e-8, same=True)
    assert failures(good) == []
    assert all(one["passed"] for one in good["verdicts"].values())
    nan = float("nan")
    assert len(failures(document_with(busy=0.89, agreement=99.0, difference=1e-3, same=False))) == 4
    assert len(failures(document_with(busy=nan, agreement=nan, difference=None, same=True))) == 3
    unmeasured = document_with(busy=None, agreement=120.0, difference=0.0, same=True)
    assert failures(unmeasured) == []
    assert unmeasured["verdicts"]["busy share, training demucs"]["passed"] is None


def test_numbers_that_json_lacks_are_written_as_text() -> None:
    assert finite({"a": {"b": float("nan")}, "c": float("inf"), "d": 1.0}) == {"a": {"b": "nan"}, "c": "inf", "d": 1.0}


@pytest.mark.slow  # fast tests of what it measures: those of training, separators and BSSEval
def test_the_check_runs_on_a_cpu() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--device", "cpu"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(done.stdout, parse_constant=refuse)
    for recipe in ("open-unmix", "demucs"):
        assert document["training"][recipe]["ours"]["examples_per_second"] > 0
        assert document["training"][recipe]["plain"]["examples_per_second"] > 0
    for method in (*NETWORKS, *PRESETS):
        assert document["separation"][method]["3 s"]["real_time_factor"] > 0
    assert document["evaluation"]["same_undefined"] is True
    assert document["verdicts"]["difference in dB, SAR"]["passed"] is True
    assert document["failures"] == []
    assert "separation / open-unmix / 3 s / seconds" in done.stderr
