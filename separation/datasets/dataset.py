"""Data sets to train on: MUSDB18 in its three forms, or plain folders."""

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
    """A data set: training and validation tracks.

    Attributes
    ----------
    name : str
        The name of its folder, by which configs refer to it.
    train, valid : sequences of tracks
        Training and validation tracks; `valid` may be empty.
    """

    name: str
    train: Sequence[Track | FolderTrack]
    valid: Sequence[Track | FolderTrack]


def open_dataset(root: str | Path, *, wav: bool = False) -> Dataset:
    """Open the data set in a folder.

    A folder with the layout of MUSDB18 or MUSDB18-HQ (detected, or declared by `wav`) is read through `musdb`,
    with as many of its fixed 14 validation tracks as exist. Any other folder must hold
    ``<track>/<source>.<ext>``, directly or in the folders ``train`` and ``valid``. The test split is never read.

    Raises
    ------
    ValueError
        If there is no such folder, or if it holds no training tracks.
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
    train_tracks = folder_tracks(train if train.is_dir() else folder)
    if not train_tracks:
        raise ValueError(f"{folder.name!r} holds neither MUSDB18's train folder nor folders with <source>.wav")
    return Dataset(name=folder.name, train=train_tracks, valid=folder_tracks(valid) if valid.is_dir() else [])


def fingerprint(datasets: Sequence[Dataset]) -> str:
    """Return a hash of the names, sizes and times of the training files, to name folders derived from them."""
    rows = [
        (dataset.name, track.name, path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for dataset in datasets
        for track in dataset.train
        for path in ([track.path] if track.path.is_file() else sorted(track.path.glob("[!.]*")))
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
