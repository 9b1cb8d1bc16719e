"""MUSDB18 and MUSDB18-HQ, through the `musdb` package.

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
        """Duration in seconds, from the file's header."""
        if self.path.is_dir():
            return float(soundfile.info(self.path / "mixture.wav").duration)
        import av

        with av.open(str(self.path), format="mov") as container:
            return (container.duration or 0) / av.time_base

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        """Decode the mixture and its references.

        Returns
        -------
        mixture : array, shape (channels, time), float32
        references : dict of str to array, each shape (channels, time), float32
        sample_rate : int
            Hz.
        """
        if self.path.is_dir():
            read = {name: soundfile.read(self.path / f"{name}.wav", dtype="float32", always_2d=True) for name in STEMS}
            rate = read["mixture"][1]
            by_name = {name: wave.T for name, (wave, _) in read.items()}
        else:
            stempeg = _with_ffmpeg("stempeg")
            # musdb reads 16 bits, and all published scores were computed on them.
            stems, rate = stempeg.read_stems(str(self.path), dtype=np.float32, ffmpeg_format="s16le")
            by_name = dict(zip(STEMS, stems.transpose(0, 2, 1), strict=True))
        return by_name.pop("mixture"), {source: by_name[source] for source in self.sources}, int(rate)


def _with_ffmpeg(package: str) -> Any:
    try:
        return import_module(package)
    except (ImportError, RuntimeError, OSError) as error:
        raise ValueError(
            f"reading MUSDB18 requires ffmpeg and ffprobe (Debian: apt install ffmpeg): {error}"
        ) from error


def open_musdb(root: str | Path, *, wav: bool = False, subset: str | None = None, split: str | None = None) -> musdb.DB:
    """Open a MUSDB18 folder.

    Parameters
    ----------
    root : path
        A folder with ``train``, ``test`` or both.
    wav : bool
        The data set is MUSDB18-HQ: folders of WAV files instead of ``.stem.mp4``.
    subset : "train" or "test", optional
        Both by default.
    split : "train" or "valid", optional
        With ``subset="train"``, all but `musdb`'s 14 validation tracks, or only these.

    Raises
    ------
    ValueError
        If there is no train or test folder, or if ffmpeg is missing.
    """
    if subset not in (None, *SUBSETS) or split not in (None, "train", "valid") or (split and subset != "train"):
        raise ValueError(
            "subset must be train or test; split must be train or valid and requires subset train; "
            f"got subset={subset!r}, split={split!r}"
        )
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
    """Return the tracks of a MUSDB18 folder; for arguments and errors see :func:`open_musdb`.

    No tracks are an error unless `or_none`.
    """
    database = open_musdb(root, wav=wav, subset=subset, split=split)
    selected = [Track(name=track.name, subset=track.subset, path=_track_path(track.path)) for track in database]
    return selected or ([] if or_none else _raise_no_tracks(Path(root), wav=wav))


def _track_path(path: str) -> Path:
    """Return the path of a track from `musdb`'s, which is the mixture's for WAV tracks."""
    return Path(path).parent if path.endswith(".wav") else Path(path)


def list_tracks(root: str | Path, *, wav: bool | None = None) -> list[Track]:
    """List the tracks of a MUSDB18 folder by file names only, without ffmpeg.

    `wav` selects MUSDB18-HQ's folders or ``.stem.mp4`` files; None selects both.

    Raises
    ------
    ValueError
        If there are no tracks.
    """
    root = _folder(root)
    files = [] if wav else [(path, path.name.removesuffix(".stem.mp4")) for path in root.glob("*/*.stem.mp4")]
    folders = [] if wav is False else [(path.parent, path.parent.name) for path in root.glob("*/*/mixture.wav")]
    listed = [Track(name=name, subset=path.parent.name, path=path) for path, name in files + folders]
    listed = [track for track in listed if track.subset in SUBSETS]
    return sorted(listed, key=lambda track: (track.subset, track.name)) or _raise_no_tracks(root, wav=bool(wav))


def _raise_no_tracks(root: Path, *, wav: bool) -> NoReturn:
    kind = "WAV folders (MUSDB18-HQ)" if wav else ".stem.mp4 files (for MUSDB18-HQ's WAV folders, pass --wav)"
    raise ValueError(f"{root.name!r} holds no tracks: looked for {kind}")
