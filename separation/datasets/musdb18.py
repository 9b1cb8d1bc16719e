"""MUSDB18 in all its forms, through the `musdb` package.

`musdb` and its `stempeg` are imported only when a data set is opened: they need the
executables ``ffmpeg`` and ``ffprobe`` at import time.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import soundfile

from separation.sources import SOURCES

if TYPE_CHECKING:
    import musdb

__all__ = ["Track", "list_tracks", "open_musdb", "tracks"]

STEMS = ("mixture", "drums", "bass", "other", "vocals")  # in the order of a .stem.mp4's streams
SUBSETS = ("train", "test")


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
        Names of the references that can be read.
    path : Path
        The ``.stem.mp4`` file, or the folder of WAV files.
    """

    name: str
    subset: str
    path: Path
    sources: tuple[str, ...] = SOURCES

    @property
    def duration(self) -> float:
        """Seconds, from the file's header."""
        if self.path.is_dir():
            return float(soundfile.info(self.path / "mixture.wav").duration)
        import av

        with av.open(str(self.path), format="mov") as container:
            return (container.duration or 0) / av.time_base

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        """Decode everything.

        Returns
        -------
        mixture : array, shape (channels, time), float32
        references : dict of str to array, each shape (channels, time), float32
        sample_rate : int
            Hz.
        """
        if self.path.is_dir():
            read = {name: soundfile.read(self.path / f"{name}.wav", dtype="float32") for name in STEMS}
            rate = read["mixture"][1]
            by_name = {name: wave.T for name, (wave, _) in read.items()}
        else:
            stempeg = _with_ffmpeg("stempeg")
            # 16 bits, as musdb reads: what all published scores were computed on.
            stems, rate = stempeg.read_stems(str(self.path), dtype=np.float32, ffmpeg_format="s16le")
            by_name = dict(zip(STEMS, stems.transpose(0, 2, 1), strict=True))
        return by_name.pop("mixture"), {source: by_name[source] for source in self.sources}, int(rate)


def _with_ffmpeg(package: str) -> Any:
    try:
        return import_module(package)
    except (ImportError, RuntimeError, OSError) as error:
        raise ValueError(f"reading MUSDB18 needs ffmpeg and ffprobe (Debian: apt install ffmpeg): {error}") from error


def open_musdb(root: str | Path, *, wav: bool = False, subset: str | None = None, split: str | None = None) -> musdb.DB:
    """Open a MUSDB18 folder.

    Parameters
    ----------
    root : path
        Holds ``train`` and/or ``test``.
    wav : bool
        The data set is MUSDB18-HQ: folders of WAV files instead of ``.stem.mp4``.
    subset : "train" or "test", optional
        Both by default.
    split : "train" or "valid", optional
        With ``subset="train"``: all but `musdb`'s 14 validation tracks, or only these.

    Raises
    ------
    ValueError
        If the folder holds no tracks, or ffmpeg is missing.
    """
    if subset not in (None, *SUBSETS) or split not in (None, "train", "valid") or (split and subset != "train"):
        given = f"got subset={subset!r}, split={split!r}"
        raise ValueError(f"subset must be train or test, and split, of train alone, train or valid; {given}")
    root = _folder(root)
    musdb = _with_ffmpeg("musdb")
    return musdb.DB(root=str(root), is_wav=wav, subsets=[subset] if subset else ["train", "test"], split=split)


def _folder(root: str | Path) -> Path:
    root = Path(root).expanduser()
    if not root.is_dir():
        raise ValueError(f"no folder {root.name!r}: --root or MUSDB_ROOT must name one with MUSDB18's train and test")
    if not any((root / subset).is_dir() for subset in SUBSETS):
        raise ValueError(f"{root.name!r} holds neither a train nor a test folder, as MUSDB18 does")
    return root


def tracks(
    root: str | Path,
    *,
    wav: bool = False,
    subset: str | None = None,
    split: str | None = None,
    or_none: bool = False,
) -> list[Track]:
    """The tracks of a MUSDB18 folder; arguments and errors as for :func:`open_musdb`.

    With `or_none` it is no error if that split is empty.
    """
    database = open_musdb(root, wav=wav, subset=subset, split=split)
    found = [Track(name=track.name, subset=track.subset, path=_place(track.path)) for track in database]
    return found or ([] if or_none else _refuse_empty(Path(root), wav=wav))


def _place(path: str) -> Path:
    """`musdb` names a WAV track by its mixture, here it is the folder."""
    return Path(path).parent if path.endswith(".wav") else Path(path)


def list_tracks(root: str | Path, *, wav: bool | None = None) -> list[Track]:
    """The tracks of a MUSDB18 folder by their file names alone: at once, and without ffmpeg.

    `wav` chooses MUSDB18-HQ's folders or ``.stem.mp4`` files; None takes both. Raises ValueError
    if there are none.
    """
    root = _folder(root)
    files = [] if wav else [(path, path.name.removesuffix(".stem.mp4")) for path in root.glob("*/*.stem.mp4")]
    folders = [] if wav is False else [(path.parent, path.parent.name) for path in root.glob("*/*/mixture.wav")]
    found = [Track(name=name, subset=path.parent.name, path=path) for path, name in files + folders]
    found = sorted((track for track in found if track.subset in SUBSETS), key=lambda track: (track.subset, track.name))
    return found or _refuse_empty(root, wav=bool(wav))


def _refuse_empty(root: Path, *, wav: bool) -> NoReturn:
    kind = "WAV folders (MUSDB18-HQ)" if wav else ".stem.mp4 files; for MUSDB18-HQ's WAV folders say --wav"
    raise ValueError(f"{root.name!r} holds no tracks: looked for {kind}")
