"""MUSDB18 in all its forms, through the `musdb` package.

`musdb` is imported only when a data set is opened: it needs the executables
``ffmpeg`` and ``ffprobe`` at import time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import musdb

__all__ = ["SOURCES", "Track", "open_musdb", "tracks"]

SOURCES = ("vocals", "drums", "bass", "other")


@dataclass(frozen=True, kw_only=True)
class Track:
    """One multitrack of a data set.

    Attributes
    ----------
    name : str
        "Artist - Title".
    subset : str
        "train" or "test".
    duration : float
        Seconds.
    sources : tuple of str
        Names of the references that can be read.
    path : Path
        The ``.stem.mp4`` file, or the folder of WAV files.
    """

    name: str
    subset: str
    duration: float
    sources: tuple[str, ...]
    path: Path
    handle: Any = None

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        """Decode everything.

        Returns
        -------
        mixture : array, shape (channels, time), float32
        references : dict of str to array, each shape (channels, time), float32
        sample_rate : int
            Hz.
        """
        if self.path.is_file():  # one decoding for all five streams, where musdb would run one for each
            stems = self.handle.stems.astype(np.float32)  # (mixture, drums, bass, other, vocals; time, channels)
            by_name = dict(zip(("mixture", "drums", "bass", "other", "vocals"), stems, strict=True))
            mixture = by_name["mixture"].T
            references = {source: by_name[source].T for source in self.sources}
        else:
            mixture = self.handle.audio.astype(np.float32).T
            references = {source: self.handle.targets[source].audio.astype(np.float32).T for source in self.sources}
        return mixture, references, int(self.handle.rate)


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
    root = Path(root).expanduser()
    if not root.is_dir():
        raise ValueError(
            f"no folder {str(root)!r}: --root or MUSDB_ROOT must name a folder with MUSDB18's train and test"
        )
    if not any((root / name).is_dir() for name in ("train", "test")):
        raise ValueError(f"{root.name!r} holds neither a train nor a test folder, as MUSDB18 does")
    try:
        import musdb
    except (ImportError, RuntimeError, OSError) as error:
        raise ValueError(
            f"reading MUSDB18 needs ffmpeg and ffprobe: install them (Debian: apt install ffmpeg); {error}"
        ) from error
    return musdb.DB(root=str(root), is_wav=wav, subsets=[subset] if subset else ["train", "test"], split=split)


def tracks(root: str | Path, *, wav: bool = False, subset: str | None = None, split: str | None = None) -> list[Track]:
    """The tracks of a MUSDB18 folder; arguments and errors as for :func:`open_musdb`."""
    database = open_musdb(root, wav=wav, subset=subset, split=split)
    found = [
        Track(
            name=track.name,
            subset=track.subset,
            duration=float(track.duration),
            sources=SOURCES,
            path=Path(track.path),
            handle=track,
        )
        for track in database
    ]
    if not found:
        kind = "WAV folders (MUSDB18-HQ)" if wav else ".stem.mp4 files; for MUSDB18-HQ's WAV folders say --wav"
        raise ValueError(f"{Path(root).name!r} holds no tracks: looked for {kind}")
    return found
