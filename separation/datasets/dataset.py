"""Where tracks to train on come from: MUSDB18 in its three forms, or plain folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.datasets.musdb18 import Track, tracks
from separation.datasets.stem_folders import FolderTrack, folder_tracks

__all__ = ["Dataset", "fingerprint", "open_dataset"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Tracks that belong together.

    Attributes
    ----------
    name : str
        Of its folder; what configs call it.
    train, valid : sequences of tracks
        What to learn from, and what to judge by; `valid` may be empty.
    """

    name: str
    train: Sequence[Track | FolderTrack]
    valid: Sequence[Track | FolderTrack]


def open_dataset(root: str | Path, *, wav: bool = False) -> Dataset:
    """The training data in a folder.

    A folder laid out as MUSDB18 or (`wav`, or found out) MUSDB18-HQ is read through `musdb`, with its fixed
    14 validation tracks, those of them that are there; anything else is taken as
    ``<track>/<source>.<ext>``, or such folders in ``train`` and ``valid``. The test split is never touched.

    Raises
    ------
    ValueError
        If there is no such folder, or nothing in it to train on.
    """
    folder = Path(root).expanduser().absolute()
    if not folder.is_dir():
        raise ValueError(f"no folder {str(root)!r}")
    train = folder / "train"
    valid = folder / "valid"
    wav = wav or (any(train.glob("*/mixture.wav")) and not valid.is_dir())
    if wav or any(train.glob("*.stem.mp4")):
        return Dataset(
            name=folder.name,
            train=tracks(folder, wav=wav, subset="train", split="train"),
            valid=tracks(folder, wav=wav, subset="train", split="valid", or_none=True),
        )
    found = folder_tracks(train if train.is_dir() else folder)
    if not found:
        raise ValueError(f"{folder.name!r} holds neither MUSDB18's train folder nor folders with <source>.wav")
    return Dataset(name=folder.name, train=found, valid=folder_tracks(valid) if valid.is_dir() else [])


def fingerprint(collections: Sequence[Dataset]) -> str:
    """A short name for exactly these files, for folders that hold what was made of them."""
    rows = [
        (collection.name, track.name, path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for collection in collections
        for track in collection.train
        for path in ([track.path] if track.path.is_file() else sorted(track.path.glob("[!.]*")))
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
