"""What docs/hosting.md promises to a host: limits and their variables, the queue, times, and an idle server."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys

import gradio
import gradio.queueing
import pytest

from separation.studio import app
from separation.studio.jobs import queue, runner, store
from tests.conftest import ROOT

HOSTING = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
PRINT_LIMITS = "import dataclasses, json; from separation.studio.limits import LIMITS as l; print(json.dumps(vars(l)))"

#: Variable -> the field of the limits, and what one unit of the variable is in the field's unit.
FIELDS = {
    "STEMSCOPE_MAX_MB": ("file_bytes", 1e6),
    "STEMSCOPE_MAX_MINUTES": ("seconds", 60),
    "STEMSCOPE_MAX_CHANNELS": ("channels", 1),
    "STEMSCOPE_MAX_HZ": ("sample_rate", 1),
    "STEMSCOPE_MAX_DECODED_MB": ("decoded_bytes", 1e6),
}


def limits(**variables: str) -> dict[str, float]:
    """Return the limits of a studio that starts with these variables."""
    environment = {name: value for name, value in os.environ.items() if name not in FIELDS} | variables
    command = [sys.executable, "-c", PRINT_LIMITS]
    found: dict[str, float] = json.loads(
        subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    )
    return found


def test_the_table_of_limits_states_their_defaults() -> None:
    rows = re.findall(r"^\|[^|]+\| ([\d,]+)[^|]*\| `(STEMSCOPE_MAX_\w+)` \|$", HOSTING, re.MULTILINE)
    assert {name for _, name in rows} == set(FIELDS)
    found = limits()
    for value, name in rows:
        field, unit = FIELDS[name]
        assert found[field] == float(value.replace(",", "")) * unit


def test_variables_set_the_limits() -> None:
    values = dict(zip(FIELDS, ("7.5", "3", "2", "48000", "90"), strict=True))
    found = limits(**values)
    for name, value in values.items():
        field, unit = FIELDS[name]
        assert found[field] == float(value) * unit


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "many"])
def test_a_limit_that_is_no_positive_number_stops_the_start(value: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        limits(STEMSCOPE_MAX_HZ=value)
    assert f"STEMSCOPE_MAX_HZ must be a number above 0, got '{value}'" in error.value.stderr.decode()


def test_the_queue_and_its_times_are_as_documented() -> None:
    text = " ".join(HOSTING.split())
    assert f"At most four requests of one visitor and {queue.MAX_WAITING} in total are accepted" in text
    assert queue.MAX_PER_VISITOR == 4
    assert f"process has not touched `job.json` for {store.LOST_SECONDS:g} seconds" in text
    studio = " ".join((ROOT / "docs" / "studio.md").read_text(encoding="utf-8").split())
    assert "A waiting job is cancelled if no page has shown it for five minutes." in studio
    assert runner.UNWATCHED_SECONDS == 5 * 60


def test_gradio_does_not_give_up_a_slow_start() -> None:
    """With its private argument `_frontend`, it does not ask for the first page within three seconds."""
    source = inspect.getsource(gradio.Blocks.launch)
    assert source.count("_frontend") == 2, "the argument, and the check"
    assert "if _frontend and not networking.url_ok(self.local_url)" in source
    assert "_frontend=False" in inspect.getsource(app.launch)


def test_the_pause_of_gradios_queue_still_exists() -> None:
    """It is a private attribute: if it is renamed, an idle server wakes a thousand times a second again."""
    assert "sleep(self.sleep_when_free)" in inspect.getsource(gradio.queueing.Queue)
    assert "_queue.sleep_when_free = 0.01" in inspect.getsource(app.launch)
