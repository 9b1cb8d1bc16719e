"""Result folders in shared storage: written locally, then uploaded so that ``result.json`` comes last.

Object stores cannot replace a folder in one step. Without ``result.json`` a folder holds no result. Before anything
else changes, a journal lists the files of the upload, so that the next run may replace what a killed one left.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from separation.pipeline.ownership import RESULT_FILE, listed_files
from separation.pipeline.storage import Location, Url, read_json

__all__ = ["staged_folder"]

_JOURNAL = ".upload.json"


@contextmanager
def staged_folder(folder: Location, *, keep: bool) -> Iterator[Path]:
    """Yield a local folder for a result, and upload the result when the block succeeds; a path is yielded unchanged.

    Parameters
    ----------
    folder : path or Url
    keep : bool
        Whether the new result keeps stems of the earlier one, which are then downloaded.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="stemscope-") as temporary:
        local = Path(temporary) / folder.name
        ours = listed_files(folder) | _journal(folder)
        existing = folder.names() - {_JOURNAL}
        _mirror(folder, local, existing, ours, keep=keep)
        try:
            yield local
        except OSError as error:
            if error.filename is not None:  # the name that the user knows
                error.filename = os.fsdecode(error.filename).replace(str(local), str(folder))
            raise
        _publish(local, folder, ours & existing)


def _mirror(folder: Url, local: Path, existing: set[str], ours: set[str], *, keep: bool) -> None:
    """Copy kept stems into the local folder, and create empty files under the names of foreign files."""
    foreign = existing - ours
    if foreign or (keep and existing):
        local.mkdir()
    for name in foreign:
        (local / name).touch()
    for name in existing & ours if keep and RESULT_FILE in existing else ():
        (folder / name).download(local / name)


def _publish(local: Path, folder: Url, replaced: set[str]) -> None:
    names = listed_files(local)
    stems = sorted(name for name in names - {RESULT_FILE} if (local / name).is_file())
    (folder / _JOURNAL).write(json.dumps(sorted(names | replaced)).encode())
    try:
        if RESULT_FILE in replaced:
            (folder / RESULT_FILE).unlink()
        for name in stems:
            (folder / name).upload(local / name)
        for name in replaced - names:
            (folder / name).unlink()
        (folder / RESULT_FILE).upload(local / RESULT_FILE)
    except BaseException:
        with suppress(OSError):
            for name in names:
                (folder / name).unlink()
            (folder / _JOURNAL).unlink()
        raise
    (folder / _JOURNAL).unlink()


def _journal(folder: Url) -> set[str]:
    names = read_json(folder / _JOURNAL)
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
