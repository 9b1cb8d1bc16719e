"""Data sets to train on or to score: MUSDB18 in its three forms, or plain folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from separation.datasets.musdb18 import Track, check_selection, has_hq_tracks, has_stem_mp4, tracks
from separation.datasets.stem_files import SUBSETS, find_stems, is_hidden, stem_map_of, subset_folders
from separation.datasets.stem_folders import FolderTrack, folder_tracks
from separation.datasets.stem_map import MAP_FILE
from separation.sources import SOURCES

__all__ = ["Dataset", "find_tracks", "fingerprint", "open_dataset", "unused_files"]


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

    A folder with the layout of MUSDB18 or MUSDB18-HQ (detected, or declared by `wav`) is MUSDB18,
    with as many of its fixed 14 validation tracks as exist. Any other folder must hold
    ``<track>/<source>.<ext>``, directly or in the folders ``train`` and ``valid``. The test split is never read.

    Raises
    ------
    ValueError
        If the folder does not exist or holds no training tracks.
    """
    folder = Path(root).expanduser().absolute()
    if not folder.is_dir():
        raise ValueError(f"no folder {str(root)!r}")
    parts = subset_folders(folder)
    train = parts.get("train")
    wav = wav or (train is not None and _is_hq(folder, train))
    if wav or (train is not None and has_stem_mp4(train)):
        return Dataset(
            name=folder.name,
            train=tracks(folder, wav=wav, subset="train", split="train"),
            valid=tracks(folder, wav=wav, subset="train", split="valid", or_none=True),
        )
    train_tracks = folder_tracks(train or folder)
    if not train_tracks:
        raise ValueError(f"{folder.name!r} holds neither MUSDB18's train folder nor folders with <source>.wav")
    return Dataset(
        name=folder.name, train=train_tracks, valid=folder_tracks(parts["valid"]) if "valid" in parts else []
    )


def find_tracks(
    root: str | Path, *, wav: bool = False, subset: str | None = None, split: str | None = None
) -> Sequence[Track | FolderTrack]:
    """List the tracks of a data set to score: MUSDB18 in its three forms, or plain folders.

    Plain folders are ``<track>/<source>.<ext>`` in ``train``, ``valid`` and ``test``, or directly in `root`, where
    all tracks are found whatever `subset` is. The parameters are those of :func:`separation.datasets.musdb18.tracks`;
    for plain folders, the split "valid" is the folder ``valid``.

    Raises
    ------
    ValueError
        If the folder does not exist or holds no tracks.
    """
    check_selection(subset, split)
    folder = Path(root).expanduser().absolute()
    parts = [*subset_folders(folder).values()] if folder.is_dir() else []
    wav = wav or any(_is_hq(folder, part) for part in parts)
    if not folder.is_dir() or wav or any(has_stem_mp4(part) for part in parts):
        return tracks(root, wav=wav, subset=subset, split=split)
    plain = [track for part in parts or [folder] for track in folder_tracks(part)]
    if not parts and not plain:
        layouts = "neither a train nor a test folder, as MUSDB18 does, nor folders with <source>.wav"
        raise ValueError(f"{folder.name!r} holds {layouts}")
    if not plain:  # raise the error that describes MUSDB18's layout
        return tracks(root, wav=wav, subset=subset, split=split)
    names: Sequence[str] = SUBSETS
    if subset == "train":
        names = [split] if split else ["train", "valid"]
    elif subset is not None:
        names = [subset]
    chosen = [track for track in plain if track.subset in ("", *names)]
    if not chosen:
        raise ValueError(f"{folder.name!r} holds no tracks in {' or '.join(names)}")
    return chosen


def unused_files(tracks: Sequence[Track | FolderTrack]) -> str | None:
    """Return a sentence on the audio files of plain folders that belong to no source; None if there are none."""
    unused = []
    for track in tracks:
        if isinstance(track, FolderTrack):
            with suppress(ValueError):  # a bad track, reported when it is read
                unused += [f"{track.name}/{path.name}" for path in track.files().unused]
    if not unused:
        return None
    return (
        f"audio files other than {', '.join(SOURCES)} are not used, "
        f"such as {unused[0]!r} ({len(unused)} in all): {MAP_FILE} can assign them to targets"
    )


def _is_hq(root: Path, part: Path) -> bool:
    return has_hq_tracks(part) and "valid" not in subset_folders(root) and not (root / MAP_FILE).is_file()


def fingerprint(datasets: Sequence[Dataset]) -> str:
    """Return a hash of the names, sizes and times of the training files, to name folders derived from them.

    The content of ``stems.toml`` is included.
    """
    rows = [(dataset.name, track.name, *row) for dataset in datasets for track in dataset.train for row in _rows(track)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _rows(track: Track | FolderTrack) -> Iterator[tuple[Any, ...]]:
    if track.path.is_file():
        yield _row(track.path)
        return
    paths = [path for path in sorted(track.path.iterdir()) if not is_hidden(path.name)]
    with suppress(ValueError):  # a bad track, for which its files suffice
        stem_map = stem_map_of(track.path) if isinstance(track, FolderTrack) else None
        if stem_map is not None:
            yield tuple(asdict(stem_map).items())
            paths += find_stems(track.path, stem_map=stem_map).files
    yield from map(_row, paths)


def _row(path: Path) -> tuple[Any, ...]:
    try:
        state = path.stat()
    except OSError:  # a broken link
        return (path.name,)
    return path.name, state.st_size, state.st_mtime_ns
