"""MUSDB18 and MUSDB18-HQ: listing their tracks by file names, and reading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from separation.audio.stem_mp4 import TRACKS, read_stem_mp4, stem_mp4_duration
from separation.datasets.stem_audio import read_stems, stem_duration
from separation.datasets.stem_files import StemFiles, find_stems, list_visible, subset_folders, visible_folders
from separation.datasets.stem_map import normal_name
from separation.sources import SOURCES

__all__ = ["VALIDATION", "Track", "check_selection", "has_hq_tracks", "has_stem_mp4", "tracks"]

SUBSETS = ("train", "test")
_SUFFIX = ".stem.mp4"

#: The tracks of the train folder by which models are chosen, as in `musdb`.
VALIDATION = (
    "ANiMAL - Rockshow",
    "Actions - One Minute Smile",
    "Alexander Ross - Goodbye Bolero",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Fergessen - Nos Palpitants",
    "James May - On The Line",
    "Johnny Lokke - Promises & Lies",
    "Leaf - Summerghost",
    "Meaxic - Take A Step",
    "Patrick Talbot - A Reason To Leave",
    "Skelpolu - Human Mistakes",
    "Traffic Experiment - Sirens",
    "Triviul - Angelsaint",
    "Young Griffo - Pennies",
)


@dataclass(frozen=True, kw_only=True)
class Track:
    """One multitrack of a data set.

    Attributes
    ----------
    name : str
        "Artist - Title".
    subset : str
        "train" or "test".
    sources : tuple of str
        Names of the references.
    path : Path
        The ``.stem.mp4`` file, or the folder of WAV files.
    """

    name: str
    subset: str
    path: Path
    sources: tuple[str, ...] = SOURCES

    @property
    def duration(self) -> float:
        """Duration in seconds, from the headers of its files; raises ValueError if one cannot be used."""
        return stem_duration(self._files()) if self.path.is_dir() else stem_mp4_duration(self.path)

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        """Decode the mixture and its references.

        Returns
        -------
        mixture : array, shape (channels, time), float32
        references : dict of str to array, each shape (channels, time), float32
        sample_rate : int
            Hz.

        Raises
        ------
        ValueError
            If a file cannot be read, or the stems do not fit each other.
        """
        by_name, rate = read_stems(self._files()) if self.path.is_dir() else read_stem_mp4(self.path)
        return by_name.pop("mixture"), {source: by_name[source] for source in self.sources}, rate

    def _files(self) -> StemFiles:
        """Return the files of the mixture and all sources; raise ValueError if one is missing."""
        files = find_stems(self.path, names=TRACKS)
        missing = [name for name in TRACKS if name not in files.targets]
        if missing:
            raise ValueError(f"no file for {' and '.join(missing)}")
        return files.checked()


# Listing tracks.


def has_stem_mp4(folder: Path) -> bool:
    """Return whether a train or test folder holds ``.stem.mp4`` files."""
    return bool(_files_in(folder))


def has_hq_tracks(folder: Path) -> bool:
    """Return whether a train or test folder holds tracks of MUSDB18-HQ: a mixture and four sources."""
    return any(set(TRACKS) <= set(_stems_in(path) or ()) for path in visible_folders(folder))


def tracks(
    root: str | Path,
    *,
    wav: bool | None = False,
    subset: str | None = None,
    split: str | None = None,
    or_none: bool = False,
) -> list[Track]:
    """List the tracks of a MUSDB18 folder by file names only, sorted by subset and name.

    Damaged files are included: their duration is unavailable, and reading them raises an error. Hidden files are not.

    Parameters
    ----------
    root : path
        A folder with ``train``, ``test`` or both.
    wav : bool, optional
        The data set is MUSDB18-HQ: folders of WAV files instead of ``.stem.mp4``. None lists both.
    subset : "train" or "test", optional
        Both by default.
    split : "train" or "valid", optional
        With ``subset="train"``, all but the 14 validation tracks, or only these.
    or_none : bool
        Return an empty list instead of raising an error if there are no tracks.

    Raises
    ------
    ValueError
        If there is no train or test folder, or if it holds no tracks.
    """
    check_selection(subset, split)
    root = _folder(root)
    selected = []
    for name, folder in _subsets(root).items():
        if subset not in (None, name):
            continue
        files = [] if wav else [(path, path.name[: -len(_SUFFIX)]) for path in _files_in(folder)]
        folders = [] if wav is False else [(path, path.name) for path in _folders_in(folder)]
        selected += [Track(name=title, subset=name, path=path) for path, title in files + folders]
    if split is not None:
        validation = {normal_name(name) for name in VALIDATION}
        selected = [track for track in selected if (normal_name(track.name) in validation) == (split == "valid")]
    selected.sort(key=lambda track: (track.subset, track.name))
    return selected or ([] if or_none else _raise_no_tracks(root, wav=bool(wav)))


def check_selection(subset: str | None, split: str | None) -> None:
    """Raise ValueError if MUSDB18 has no such part."""
    if subset not in (None, *SUBSETS) or split not in (None, "train", "valid") or (split and subset != "train"):
        raise ValueError(
            "subset must be train or test; split must be train or valid and requires subset train; "
            f"got subset={subset!r}, split={split!r}"
        )


def _folder(root: str | Path) -> Path:
    root = Path(root).expanduser()
    if not root.is_dir():
        raise ValueError(f"no folder {root.name!r}: --root or MUSDB_ROOT must name one with MUSDB18's train and test")
    if not _subsets(root):
        raise ValueError(f"{root.name!r} holds neither a train nor a test folder, as MUSDB18 does")
    return root


def _subsets(root: Path) -> dict[str, Path]:
    return {subset: folder for subset, folder in subset_folders(root).items() if subset in SUBSETS}


def _files_in(folder: Path) -> list[Path]:
    return [path for path in list_visible(folder) if path.name.lower().endswith(_SUFFIX)]


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in visible_folders(folder) if _stems_in(path) != []]


def _stems_in(folder: Path) -> list[str] | None:
    """Return the stems whose files a folder holds; None if it cannot be read."""
    try:
        return list(find_stems(folder, names=TRACKS).targets)
    except ValueError:
        return None


def _raise_no_tracks(root: Path, *, wav: bool) -> NoReturn:
    kind = "WAV folders (MUSDB18-HQ)" if wav else ".stem.mp4 files (for MUSDB18-HQ's WAV folders, pass --wav)"
    raise ValueError(f"{root.name!r} holds no tracks: looked for {kind}")
