"""Multitracks as plain folders: ``<track>/mixture.<ext>`` with ``<source>.<ext>`` beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_references", "references_beside"]

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".m4a")
SOURCES = ("vocals", "drums", "bass", "other")


def references_beside(mixture: Path) -> dict[str, Path]:
    """The sources that lie beside a file called ``mixture``, by name; none beside any other file."""
    if mixture.stem != "mixture":
        return {}
    found = {}
    for source in SOURCES:
        for suffix in SUFFIXES:
            path = mixture.with_name(source + suffix)
            if path.is_file():
                found[source] = path
                break
    return found


def read_references(
    paths: dict[str, Path], *, frames: int, start: float = 0.0, duration: float | None = None
) -> dict[str, Tensor]:
    """Decode references of a mixture excerpt, each shape (channels, `frames`).

    Raises
    ------
    ValueError
        If one cannot be read, or is not as long as the mixture.
    """
    from separation.audio import read

    references = {}
    for source, path in paths.items():
        audio = read(path, start=start, duration=duration)
        if audio.frames != frames:
            raise ValueError(f"{path.name} has {audio.frames} samples where the mixture has {frames}")
        references[source] = audio.waveform
    return references
