"""What the benchmark of whole processes measures, and its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.processes import commands, measure, table

MEGABYTES = 150
WORK = f"""
import time
held = b"x" * ({MEGABYTES} << 20)
while time.process_time() < 0.3:
    pass
"""


def test_time_and_memory_are_those_of_the_process_alone(tmp_path: Path) -> None:
    held = b"x" * (4 * MEGABYTES << 20)  # of this process, which does not count
    usage = measure(["-S", "-c", WORK], checkout=tmp_path, caches=tmp_path)
    assert MEGABYTES < usage["megabytes"] < 2 * MEGABYTES
    assert 0.3 <= usage["processor_seconds"] < 2
    assert usage["seconds"] >= 0.3
    assert held


def test_the_checkout_and_the_caches_are_those_given(tmp_path: Path) -> None:
    (tmp_path / "separation.py").write_text(
        "import os, pathlib; pathlib.Path('seen').write_text(os.environ['SEPARATION_HOME'])"
    )
    measure(["-m", "separation"], checkout=tmp_path, caches=tmp_path / "caches")
    assert (tmp_path / "seen").read_text() == str(tmp_path / "caches")


def test_a_process_that_fails_ends_the_benchmark_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such song"):
        measure(["-c", "raise SystemExit('no such song')"], checkout=tmp_path, caches=tmp_path)


def test_no_process_finds_the_results_of_an_earlier_one(tmp_path: Path) -> None:
    folders = [
        words[words.index("--out") + 1]
        for words in commands(tmp_path, tmp_path, tmp_path / "1").values()
        if "--out" in words
    ]
    assert len(set(folders)) == len(folders) == 4


def test_the_table_has_a_line_per_command_and_version() -> None:
    usage = {"seconds": 1.234, "processor_seconds": 5.0, "megabytes": 600.4}
    lines = table({"a": {"now": usage}, "b": {"before": usage, "now": usage}}).splitlines()
    assert [line.split() for line in lines[1:]] == [
        [*name, "1.23", "s", "5.00", "s", "600", "MB"] for name in (["a"], ["b,", "before"], ["b,", "now"])
    ]
