"""One studio for all attacks, the report of each attack, and checks that messages reveal nothing."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT
from tests.studio.server import Server, running
from tests.trust.visitor import Answer, Visitor

#: Low, so that files beyond them are quick to create.
LIMITS = {"STEMSCOPE_MAX_MB": "4", "STEMSCOPE_MAX_MINUTES": "1", "STEMSCOPE_MAX_DECODED_MB": "60"}
SECRET = f"hunter2-{secrets.token_hex(8)}"

RecordAttack = Callable[[str, str], None]


@pytest.fixture
def record_attack(record_property: Callable[[str, object], None]) -> RecordAttack:
    """Add an attack and its outcome to the report."""
    return lambda attack, outcome: record_property("trust", f"{attack} -> {outcome}")


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running studio with low limits, and with a secret."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "secret.txt").write_text(SECRET)
    soundfile.write(folder / "other.wav", tone(1234.0, 2.0), 44100)
    with running(folder, quick=True, STEMSCOPE_SECRET=SECRET, **LIMITS) as server:
        yield server


@pytest.fixture
def visitor(studio: Server) -> Iterator[Visitor]:
    visitor = Visitor(studio.url)
    yield visitor
    visitor.close()


def tone(pitch: float, seconds: float, rate: int = 44100, channels: int = 2) -> np.ndarray:
    """(time, channels)"""
    wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


def refusal_message(answer: Answer, folder: Path) -> str:
    """Return the message of a refusal, which must be one line and reveal nothing about the machine."""
    assert answer.error, f"neither a result nor a sentence: {answer}"
    assert_reveals_nothing(answer.error, folder)
    assert "\n" not in answer.error.strip()
    assert len(answer.error) < 400
    return answer.error


def assert_reveals_nothing(text: str, folder: Path) -> None:
    """Check that a text for visitors contains no path, no environment variable and no traceback."""
    for word in (str(folder), str(ROOT), str(Path.home()) + "/", "site-packages", "Traceback", SECRET, "STEMSCOPE_"):
        assert word not in text, (word, text)
    assert not re.search(r"File \".*\", line \d+", text)


def remaining_files(server: Server) -> set[str]:
    """Return the files on the studio's disk, except uploads, its own records and the states of jobs."""
    own = server.folder / f"stemscope-{os.getuid()}-uploads"
    ours = {server.folder / name for name in ("secret.txt", "other.wav", "server.log", "home")}
    found = set()
    # Path.rglob fails if the server removes a folder meanwhile.
    for path in (Path(place, name) for place, _, names in os.walk(server.folder) for name in names):
        if path.name in ("job.json", "watched") or path.suffix == ".jobs":
            continue
        if path.is_file() and not path.is_relative_to(own) and not any(path.is_relative_to(one) for one in ours):
            found.add(str(path.relative_to(server.folder)))
    return found
