"""The check of a GPU runs on a CPU, small, and prints a valid document."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest
import torch

from tests.benchmarks.gpu import table
from tests.benchmarks.gpu_separation import measure_separation
from tests.benchmarks.gpu_training import covered


def test_overlapping_spans_are_counted_once() -> None:
    assert covered([(5.0, 7.0), (0.0, 2.0), (1.0, 3.0), (1.0, 2.0)]) == 5.0
    assert covered([]) == 0.0


def test_the_table_has_a_line_per_number() -> None:
    lines = table({"what": "", "a": {"b": 1.23456, "c": None}, "d": {"skipped": "no time"}}).splitlines()
    assert [line.split(maxsplit=3) for line in lines] == [["a", "/", "b", "1.235"], ["d", "/", "skipped", "no time"]]


def test_no_measurement_starts_after_the_deadline() -> None:
    found = measure_separation(torch.device("cpu"), small=True, deadline=time.monotonic())
    assert found == {method: {"skipped": "the time is over"} for method in ("open-unmix", "spleeter")}


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
    for method in ("open-unmix", "spleeter"):
        assert document["separation"][method]["3 s"]["real_time_factor"] > 0
    assert document["evaluation"]["largest_difference_db"] < 1e-6
    assert "separation / open-unmix / 3 s / seconds" in done.stderr
