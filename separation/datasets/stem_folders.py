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
    """Return the files of the sources next to a file called ``mixture``; None if no such files exist.

    Raises
    ------
    ValueError
        If a source has two files.
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
        Targets with files; empty if they cannot be determined, in which case :meth:`files` raises an error.
    subset : str
        The folder that contains it, "train", "valid" or "test"; "" in a set without such folders.
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
            If ``stems.toml`` does not fit them, a source has two files, or no source has any.
        """
        stems = find_stems(self.path, stem_map=stem_map_of(self.path)).checked()
        if not stems.targets:
            raise ValueError("no source has a file")
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

    Tracks whose files cannot be used are included; reading them raises an error.

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
    """Decode the references of a mixture, or of an excerpt of it.

    Parameters
    ----------
    stems : StemFiles
    frames : int
        Length of the mixture, or of the excerpt, in samples.
    start, duration : float
        The excerpt in seconds; the whole mixture by default.

    Returns
    -------
    dict of str to Tensor, each of shape (channels, `frames`), float32

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
