"""Runs of the command line, in this process or in one of their own, and songs to run it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import soundfile
from typer.testing import CliRunner

from separation.__main__ import app

RATE = 44100
SOURCES = ("vocals", "drums", "bass", "other")


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Standard output, which must be one JSON document, in the strict sense, and nothing else."""

        def refuse(constant: str) -> NoReturn:
            raise AssertionError(f"{constant} is not JSON")

        return json.loads(self.stdout, parse_constant=refuse)


def separation(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Outcome:
    """In this process, which is quick."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def python_m_separation(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Outcome:
    """In a process of its own, as users run it."""
    command = [sys.executable, "-m", "separation", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env={**os.environ, **(environment or {})}
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def error_line(outcome: Outcome) -> str:
    """The one line with which the command line refuses."""
    assert outcome.code == 2
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def write_song(
    path: Path, *, frames: int = 22050, channels: int = 2, level: float = 0.3, rate: int = RATE, seed: int = 0
) -> np.ndarray:
    """Even noise, with 16 bits; (time, channels)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise: np.ndarray = np.random.default_rng(seed).uniform(-level, level, (frames, channels))
    noise = np.round(noise * 32768) / 32768
    soundfile.write(path, noise, rate, subtype="PCM_16", format="WAV")
    return noise
