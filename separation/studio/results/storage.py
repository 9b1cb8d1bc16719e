"""Result folders: one per job, under an unguessable name, removed after an hour."""

from __future__ import annotations

import errno
import getpass
import json
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "KEEP_SECONDS",
    "RESULTS",
    "UPLOADS",
    "find_playable",
    "find_result",
    "hidden_folder",
    "new_folder",
    "prepare_folders",
    "private_folder",
    "read_player",
    "remove_expired",
    "remove_folder",
    "scratch",
    "seconds_left",
    "sort_sources",
    "write_document",
    "write_player",
]

_USER = os.getuid() if hasattr(os, "getuid") else getpass.getuser()  # Windows has no user numbers
#: ``STEMSCOPE_RESULTS`` is a folder that several studios, or a studio and the workers of a cluster, share.
RESULTS = Path(os.environ.get("STEMSCOPE_RESULTS") or Path(tempfile.gettempdir()) / f"stemscope-{_USER}").absolute()
UPLOADS = Path(tempfile.gettempdir()) / f"stemscope-{_USER}-uploads"
KEEP_SECONDS = 3600.0

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


def prepare_folders() -> None:
    """Create the folders and remove expired results. Other results survive a restart or a crash of the studio."""
    private_folder(UPLOADS)
    private_folder(RESULTS)
    remove_expired()


def private_folder(folder: Path) -> Path:
    """Create a folder that only this user can read; raise OSError if another user owns it."""
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise OSError(errno.EPERM, "a folder of the studio belongs to another user")
    folder.chmod(0o700)
    return folder


def new_folder() -> Path:
    """Create a folder under an unguessable name."""
    folder = private_folder(RESULTS) / secrets.token_urlsafe(16)
    folder.mkdir(mode=0o700)
    return folder


@contextmanager
def scratch() -> Iterator[Path]:
    """Provide a temporary folder within the block; :func:`remove_expired` removes it if the process is killed."""
    folder = new_folder()
    try:
        yield folder
    finally:
        remove_folder(folder)


def hidden_folder() -> Path:
    """Return the folder of what belongs to results but is not served."""
    return RESULTS / "hidden"


def find_result(token: str | None) -> Path | None:
    """Return the folder of a result, or None if it does not exist or has expired.

    The token comes from a page, so it is validated before it becomes part of a path.
    """
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return None
    folder = RESULTS / token
    return folder if folder.is_dir() else None


def find_playable(token: str | None) -> Path | None:
    """Return the folder of a result that has something to hear; None for a job that has not begun or has failed."""
    folder = find_result(token)
    return folder if folder is not None and (folder / "player.json").exists() else None


def seconds_left(folder: Path, now: float | None = None) -> float:
    """Return the seconds until a result expires; raise OSError if it is gone. Its hour begins when the work ends."""
    now = time.time() if now is None else now
    return max(0.0, folder.stat().st_mtime + KEEP_SECONDS - now)


def read_player(folder: Path) -> dict[str, Any]:
    """Return a result's ``player.json``; raise ValueError if it is missing."""
    try:
        document = json.loads((folder / "player.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError("this result no longer exists") from error
    assert isinstance(document, dict)
    return document


def write_player(folder: Path, document: Mapping[str, Any]) -> None:
    """Write a result's ``player.json``."""
    write_document(folder / "player.json", document)


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as JSON atomically; a page or another process may be reading it."""
    draft = path.with_name(f".{path.name}.{threading.get_ident()}")
    try:
        draft.write_text(json.dumps(document, ensure_ascii=True, allow_nan=False), encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def remove_folder(place: Path) -> None:
    """Remove a folder, or a file in its place."""
    if place.is_file():  # Gradio leaves an empty folder per call with a file
        place.unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)


def remove_expired(now: float | None = None) -> None:
    """Remove results and uploads older than an hour, of any process; a list of jobs stays as long as one of them."""
    now = time.time() if now is None else now
    places = [*RESULTS.glob("*"), *hidden_folder().glob("*"), *UPLOADS.glob("*")]
    for place in sorted(places, key=lambda place: place.suffix == ".jobs"):  # the lists after what they list
        try:
            if now - place.stat().st_mtime > KEEP_SECONDS and not _lists_results(place):
                remove_folder(place)
        except OSError:  # another process has removed it
            continue


def _lists_results(place: Path) -> bool:
    """Return whether a file is a visitor's list of jobs, one of which still exists."""
    return place.suffix == ".jobs" and any(find_result(token) for token in place.read_text("utf-8").split())


def sort_sources(sources: Iterable[str]) -> list[str]:
    """Sort source names: vocals, drums, bass, other, then the others in the given order."""
    usual = ("vocals", "drums", "bass", "other")
    return sorted(sources, key=lambda source: usual.index(source) if source in usual else len(usual))
