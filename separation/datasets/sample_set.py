"""The sample set of MUSDB18: excerpts of 7 seconds, downloaded from its authors.

Rafii, Liutkus, Stöter, Mimilakis, Bittner, 2017, doi:10.5281/zenodo.1117372. `musdb` offers the same file.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from separation.archives import zip_errors
from separation.weights.catalogue import cache_dir
from separation.weights.download import DownloadCallback, receive_file

__all__ = ["URL", "download_sample_set", "sample_set_folder"]

URL = "https://github.com/sigsep/sigsep-mus-db/releases/download/v0.4.0/MUSDB18-7-STEMS.zip"

_SUFFIX = ".stem.mp4"
_MOST_BYTES = 4 << 30  # unpacked


def sample_set_folder() -> Path | None:
    """Return the folder of the downloaded sample set, or None if it is not there."""
    folder = _folder()
    return folder if folder.is_dir() else None


def _folder() -> Path:
    return cache_dir() / "musdb18-7s"


def download_sample_set(progress: DownloadCallback | None = None) -> Path:
    """Download the sample set into the cache folder, unless it is there, and return its folder.

    An interrupted download resumes. ``STEMSCOPE_SAMPLE_SET_URL`` names another address, such as a mirror.

    Raises
    ------
    ValueError
        If it cannot be downloaded, stored or unpacked.
    """
    folder = _folder()
    archive = folder.with_suffix(".zip")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(archive.with_suffix(".lock"), timeout=0):
            if not folder.is_dir():
                part = archive.with_suffix(".zip.part")
                url = os.environ.get("STEMSCOPE_SAMPLE_SET_URL") or URL
                receive_file(url, part, archive.name, progress, setting="STEMSCOPE_SAMPLE_SET_URL")
                _unpack(part, folder)
                part.unlink()
    except Timeout as error:
        raise ValueError("the sample set is being downloaded by another process; wait for it") from error
    except OSError as error:
        raise ValueError(f"cannot store the sample set in the cache folder: {error.strerror}") from error
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the tracks; a damaged archive is removed, so that the next try starts again."""
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        with zip_errors(), zipfile.ZipFile(archive) as content:
            tracks = [member for member in content.infolist() if _is_track(PurePosixPath(member.filename))]
            if not tracks or sum(member.file_size for member in tracks) > _MOST_BYTES:
                raise zipfile.BadZipFile("no tracks, or too many")
            for member in tracks:
                inside = PurePosixPath(member.filename)
                path = draft / inside.parent.name / inside.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
        draft.replace(folder)
    except zipfile.BadZipFile as error:
        archive.unlink(missing_ok=True)
        raise ValueError("the downloaded sample set is damaged; try again") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_track(path: PurePosixPath) -> bool:
    hidden = path.name.startswith(".") or "__MACOSX" in path.parts
    return path.name.endswith(_SUFFIX) and path.parent.name in ("train", "test") and not hidden
