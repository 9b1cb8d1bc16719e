"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["AtomicFolder", "atomic_write"]

_LOCK = ".lock"  # held in a temporary folder by the process that writes to it


@contextmanager
def atomic_write(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path next to it, renamed to `path` when the block succeeds.

    The data is on disk before the rename, so that `path` is never half-written, not even after a
    power failure. The temporary file is removed on any error; one left by a killed process is
    overwritten by the next write, unless `shared`, which lets several processes write at once.
    """
    token = f".{secrets.token_hex(4)}" if shared else ""
    draft = path.with_name(f".{path.name}{token}.part")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


class AtomicFolder:
    """A temporary sibling of a folder, renamed into place by :meth:`commit` or removed on exit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> AtomicFolder:
        self._committed = False
        self._made: list[Path] = []
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(errno.EEXIST, "a file is in the way of the folder for the stems", str(self.folder))
        try:
            for parent in _missing(self.folder.parent):
                parent.mkdir(exist_ok=True)
                self._made.append(parent)
            _remove_abandoned(self.folder)
            self.path = self.folder.with_name(f".{self.folder.name}-{secrets.token_hex(4)}")
            self.path.mkdir()
            self._lock = FileLock(self.path / _LOCK)
            self._lock.acquire()
        except BaseException:
            self._remove_parents()
            raise
        return self

    def commit(self) -> None:
        self._committed = True

    def __exit__(self, kind: object, *rest: object) -> None:
        published = False
        try:
            self._lock.release()
            if kind is None and self._committed:
                (self.path / _LOCK).unlink(missing_ok=True)
                self._publish()
                published = True
        finally:
            if not published:
                shutil.rmtree(self.path, ignore_errors=True)
                self._remove_parents()

    def _publish(self) -> None:
        old = self.path.with_name(f"{self.path.name}.old")
        try:
            if self.folder.exists():
                self.folder.replace(old)
            self.path.replace(self.folder)
        except BaseException:
            if old.exists() and not self.folder.exists():
                old.replace(self.folder)
            raise
        finally:
            shutil.rmtree(old, ignore_errors=True)

    def _remove_parents(self) -> None:
        for parent in reversed(self._made):  # a folder that others use meanwhile stays
            try:
                parent.rmdir()
            except OSError:
                break


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary folders of killed processes, whose locks are free."""
    for draft in folder.parent.glob(f".{glob.escape(folder.name)}-" + "[0-9a-f]" * 8):
        lock = FileLock(draft / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        lock.release()
        shutil.rmtree(draft, ignore_errors=True)


def _missing(folder: Path) -> list[Path]:
    """Return the parents of a folder that do not exist yet, outermost first."""
    missing: list[Path] = []
    while not folder.exists():
        missing.insert(0, folder)
        folder = folder.parent
    return missing
