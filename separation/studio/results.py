"""Where results lie, and for how long: one folder per run, under a name that nobody can guess."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["KEEP_SECONDS", "RESULTS", "find", "in_order", "new_folder", "read_player", "remove_results", "sweep"]

RESULTS = Path(tempfile.gettempdir()) / f"stemscope-{os.getuid()}"
KEEP_SECONDS = 3600.0

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
_own_folders: list[Path] = []


def new_folder() -> Path:
    """A folder for one run that only this user can look into."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    if RESULTS.stat().st_uid != os.getuid():
        raise OSError(errno.EPERM, "the folder for results belongs to somebody else")
    RESULTS.chmod(0o700)
    folder = RESULTS / secrets.token_urlsafe(16)
    folder.mkdir(mode=0o700)
    _own_folders.append(folder)
    return folder


def find(token: str | None) -> Path | None:
    """The folder of a result, None if there is none by that name or its hour is over.

    Whatever comes from a page is looked at before it becomes part of a path.
    """
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return None
    folder = RESULTS / token
    return folder if folder.is_dir() else None


def read_player(folder: Path) -> dict[str, Any]:
    """A result's ``player.json``: see :class:`separation.studio.player.Player`; ValueError if it is not there."""
    try:
        document = json.loads((folder / "player.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError("this result is not there any more") from error
    assert isinstance(document, dict)
    return document


def remove_results() -> None:
    """Remove what this process has made: nothing of a visitor stays when the studio stops."""
    while _own_folders:
        shutil.rmtree(_own_folders.pop(), ignore_errors=True)


def sweep(now: float | None = None) -> None:
    """Remove results that are older than an hour."""
    now = time.time() if now is None else now
    for folder in RESULTS.glob("*"):
        try:
            if now - folder.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process was faster
            continue


def in_order(sources: Iterable[str]) -> list[str]:
    """As people expect them: vocals, drums, bass, other, then whatever else there is."""
    usual = ("vocals", "drums", "bass", "other")
    return sorted(sources, key=lambda source: usual.index(source) if source in usual else len(usual))
