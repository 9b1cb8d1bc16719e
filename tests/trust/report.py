"""The report of ``make test-trust``: a line for each attack or fault, with its outcome.

Tests add their own lines with the `record_attack` fixture of :mod:`tests.trust.conftest`. The others are reported
under their names.
"""

from __future__ import annotations

import pytest

_failed: set[str] = set()
_counts: dict[str, int] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "setup" and report.passed:
        return
    lines = [str(value) for name, value in report.user_properties if name == "trust"]
    if report.when == "call":
        for line in lines:
            print(f"\n{line}", end="", flush=True)
    outcome = {"passed": "held", "failed": "FAILED"}.get(report.outcome, report.outcome)
    if report.skipped and isinstance(report.longrepr, tuple):
        outcome = f"skipped: {report.longrepr[2].removeprefix('Skipped: ')}"
    if (report.when == "call" and not lines) or not report.passed:
        name = report.nodeid.partition("[")[0].rpartition("::")[2].removeprefix("test_").replace("_", " ")
        key = f"{name} -> {outcome}"
        _counts[key] = _counts.get(key, 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("held before, and still")
    for line, count in _counts.items():
        terminalreporter.line(line if count == 1 else f"{line} ({count} cases)")
