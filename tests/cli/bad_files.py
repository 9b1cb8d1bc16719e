"""Tracks with one bad file, and the errors that a command reports."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

from tests.cli.helpers import RATE, SOURCES, Outcome


def noise(seed: int, *, frames: int = RATE // 2, channels: int = 2) -> np.ndarray:
    wave: np.ndarray = np.random.default_rng(seed).uniform(-0.2, 0.2, (frames, channels))
    return wave


def write_track(folder: Path, *, seed: int = 0, frames: int = RATE // 2) -> Path:
    folder.mkdir(parents=True)
    for number, source in enumerate(SOURCES):
        soundfile.write(folder / f"{source}.wav", noise(10 * seed + number, frames=frames), RATE, subtype="FLOAT")
    return folder


# -- what can be wrong with one file ---------------------------------------------------------------


def empty(folder: Path) -> None:
    (folder / "vocals.wav").write_bytes(b"")


def text(folder: Path) -> None:
    (folder / "vocals.wav").write_text("la la la")


def cut(folder: Path) -> None:
    content = (folder / "vocals.wav").read_bytes()
    (folder / "vocals.wav").write_bytes(content[: len(content) // 2])


def cut_mp3(folder: Path) -> None:
    """Players play what is there; a data set needs all of it."""
    (folder / "vocals.wav").unlink()
    soundfile.write(folder / "vocals.mp3", noise(0), RATE)
    content = (folder / "vocals.mp3").read_bytes()
    (folder / "vocals.mp3").write_bytes(content[: len(content) // 3])


def nan(folder: Path) -> None:
    wave = noise(0)
    wave[99, 1] = np.nan
    soundfile.write(folder / "vocals.wav", wave, RATE, subtype="FLOAT")


def infinite(folder: Path) -> None:
    wave = noise(0)
    wave[99, 1] = np.inf
    soundfile.write(folder / "vocals.wav", wave, RATE, subtype="FLOAT")


def add_duplicate(folder: Path) -> None:
    soundfile.write(folder / "Vocals.ogg", noise(5), RATE)


def shorter(folder: Path) -> None:
    soundfile.write(folder / "vocals.wav", noise(0, frames=1000), RATE)


def mono(folder: Path) -> None:
    soundfile.write(folder / "vocals.wav", noise(0, channels=1), RATE)


def slower(folder: Path) -> None:
    soundfile.write(folder / "vocals.wav", noise(0), 22050)


def dangling(folder: Path) -> None:
    (folder / "vocals.wav").unlink()
    (folder / "vocals.wav").symlink_to(folder / "gone.wav")


def folder_instead(folder: Path) -> None:
    (folder / "vocals.wav").unlink()
    (folder / "vocals.wav").mkdir()


def pipe(folder: Path) -> None:
    (folder / "vocals.wav").unlink()
    os.mkfifo(folder / "vocals.wav")


def errors(outcome: Outcome) -> list[str]:
    """The lines about what is wrong; there is no traceback."""
    assert "Traceback" not in outcome.stderr
    return [line for line in outcome.stderr.splitlines() if line.startswith(("error: ", "warning: "))]
