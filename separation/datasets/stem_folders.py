"""Multitracks as plain folders: ``<track>/<source>.<ext>``, optionally with ``mixture.<ext>``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from separation.datasets.stem_audio import read_stems, stem_duration
from separation.datasets.stem_files import SUBSETS, StemFiles, find_stems, stem_map_of, visible_folders
from separation.datasets.stem_map import normal_name

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["FolderTrack", "folder_tracks", "read_references", "references_beside"]


def references_beside(mixture: Path) -> StemFiles | None:
    """Return the files of the sources next to a file called ``mixture``; None if there are none.

    Raises
    ------
    ValueError
        If two files are one source.
    """
    if normal_name(mixture.stem) != "mixture" or not mixture.parent.is_dir():
        return None
    stems = find_stems(mixture.parent, stem_map=stem_map_of(mixture.parent)).checked()
    return stems if stems.targets else None


@dataclass(frozen=True, kw_only=True)
class FolderTrack:
    """A folder with at least one source; the mixture is the sum of its sources.

    Attributes
    ----------
    name : str
    path : Path
    sources : tuple of str
        The targets of which there are files; empty if they cannot be told, as :meth:`files` says.
    subset : str
        "train", "valid" or "test", the folder that it is in; "" in a set without such folders.
    """

    name: str
    path: Path
    sources: tuple[str, ...]
    subset: str = ""

    def files(self) -> StemFiles:
        """Return the files of the sources.

        Raises
        ------
        ValueError
            If ``stems.toml`` does not fit them, two files are one source, or there are none.
        """
        stems = find_stems(self.path, stem_map=stem_map_of(self.path)).checked()
        if not stems.targets:
            raise ValueError("there is no file for any source")
        return stems

    @property
    def duration(self) -> float:
        """Duration in seconds, from the headers of its files; raises ValueError if one cannot be used."""
        return stem_duration(self.files())

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        """Decode all sources, as :meth:`separation.datasets.musdb18.Track.read` does.

        Raises
        ------
        ValueError
            If a source cannot be read, or the sources differ in length, number of channels or sample rate.
        """
        references, sample_rate = read_stems(self.files())
        return sum(references.values()), references, sample_rate  # type: ignore[return-value]


def folder_tracks(root: Path) -> list[FolderTrack]:
    """Return the folders in `root` that hold a source, sorted by name.

    Tracks whose files cannot be used are among them: reading them says why.

    Raises
    ------
    ValueError
        If the set's ``stems.toml`` cannot be used.
    """
    subset = normal_name(root.name) if normal_name(root.name) in SUBSETS else ""
    stem_map_of(root)
    tracks = []
    for folder in visible_folders(root):
        try:
            sources = tuple(find_stems(folder, stem_map=stem_map_of(folder)).targets)
        except ValueError:
            tracks.append(FolderTrack(name=folder.name, path=folder, sources=(), subset=subset))
        else:
            if sources:
                tracks.append(FolderTrack(name=folder.name, path=folder, sources=sources, subset=subset))
    return tracks


def read_references(
    stems: StemFiles, *, frames: int, start: float = 0.0, duration: float | None = None
) -> dict[str, Tensor]:
    """Decode the references of a mixture, or of an excerpt of it, each of shape (channels, `frames`).

    Raises
    ------
    ValueError
        If one cannot be read, or if its length differs from the mixture's.
    """
    import torch

    references, _ = read_stems(stems, start=start, duration=duration)
    for target, reference in references.items():
        if reference.shape[1] != frames:
            names = " + ".join(stems.label(path) for path in stems.targets[target])
            raise ValueError(f"{names} has {reference.shape[1]} samples, but the mixture has {frames}")
    return {target: torch.from_numpy(reference) for target, reference in references.items()}
