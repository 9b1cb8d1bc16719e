"""Multitracks as plain folders: ``<track>/<source>.<ext>``, optionally with ``mixture.<ext>``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from separation.sources import SOURCES

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["FolderTrack", "folder_tracks", "read_references", "references_beside"]

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".m4a")


def references_beside(mixture: Path) -> dict[str, Path]:
    """Return the files of the sources next to a file called ``mixture``, by name; none for any other file."""
    return _sources_in(mixture.parent) if mixture.stem == "mixture" else {}


def _sources_in(folder: Path) -> dict[str, Path]:
    paths = {}
    for source in SOURCES:
        for suffix in SUFFIXES:
            path = folder / (source + suffix)
            if path.is_file():
                paths[source] = path
                break
    return paths


@dataclass(frozen=True, kw_only=True)
class FolderTrack:
    """A folder with at least one source; the mixture is the sum of its sources."""

    name: str
    path: Path
    sources: tuple[str, ...]

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        """Decode all sources, as :meth:`separation.datasets.musdb18.Track.read` does.

        Raises
        ------
        ValueError
            If the sources differ in length, number of channels or sample rate.
        """
        from separation.audio.files import read

        files = {source: read(path) for source, path in _sources_in(self.path).items()}
        formats = {(audio.sample_rate, *audio.waveform.shape) for audio in files.values()}
        if len(formats) != 1:
            raise ValueError(f"the stems in {self.name!r} differ in length, number of channels or sample rate")
        references = {source: audio.waveform.numpy() for source, audio in files.items()}
        return sum(references.values()), references, formats.pop()[0]  # type: ignore[return-value]


def folder_tracks(root: Path) -> list[FolderTrack]:
    """Return the folders in `root` that hold a source, sorted by name."""
    folders = [
        FolderTrack(name=p.name, path=p, sources=tuple(_sources_in(p))) for p in sorted(root.iterdir()) if p.is_dir()
    ]
    return [track for track in folders if track.sources]


def read_references(
    paths: dict[str, Path], *, frames: int, start: float = 0.0, duration: float | None = None
) -> dict[str, Tensor]:
    """Decode the references of a mixture, or of an excerpt of it, each of shape (channels, `frames`).

    Raises
    ------
    ValueError
        If one cannot be read, or if its length differs from the mixture's.
    """
    from separation.audio.files import read

    references = {}
    for source, path in paths.items():
        audio = read(path, start=start, duration=duration)
        if audio.frames != frames:
            raise ValueError(f"{path.name} has {audio.frames} samples, but the mixture has {frames}")
        references[source] = audio.waveform
    return references
