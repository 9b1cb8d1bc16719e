"""Jobs for tests, and waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from separation.studio.inputs.request import SeparationRequest
from separation.studio.jobs import runner
from separation.studio.jobs.store import JobOrder, JobState
from tests.conftest import SAMPLES

UPLOAD = SAMPLES / "night-drive" / "mixture.flac"


def order(*methods: str, seconds: Any = 1.0, **song: Any) -> JobOrder:
    """An upload without true sources: scoring would take longer than separating."""
    choice = {"kind": "upload", "choice": str(UPLOAD), "references": None, "estimates": None}
    return JobOrder(
        song={**choice, "start": 1.0, "duration": seconds, **song},
        name="mixture.flac",
        request=SeparationRequest(methods=methods),
        seconds=seconds,
    )


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    for _ in range(round(seconds / 0.02)):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def state_of(token: str) -> JobState:
    state = runner.find(token)
    assert state is not None
    return state
