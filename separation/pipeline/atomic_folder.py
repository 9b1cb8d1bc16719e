"""Replace a result folder in one step, without losing other files in it.

The new result is written to a hidden sibling of the folder, the draft. Files in the folder that the new result
does not replace are hard-linked into the draft. Then the two folders are exchanged, in one system call on Linux.
A process that is killed leaves the old or the new folder complete, and its hidden sibling is cleaned up by the
next run: every file in it that belongs to no result is moved back.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["AtomicFolder", "Listing", "refuse_foreign"]

_LOCK = ".lock"  # in every draft, held by the process that writes to it

Listing = Callable[[Path], Collection[str]]
"""Returns the names of the files in a folder that belong to the result in it."""


class AtomicFolder:
    """A draft of a folder. :meth:`publish` replaces the folder by the draft; otherwise the draft is removed on exit.

    Any number of processes may have drafts of one folder at once; they publish one after the other.

    Parameters
    ----------
    folder : path
        The result folder; a symbolic link is followed.
    listing : callable
        Returns the names of a result's files, given its folder. Only these files are ever replaced or removed.
    """

    def __init__(self, folder: Path, listing: Listing) -> None:
        self.folder = folder
        self._listing = listing

    def __enter__(self) -> AtomicFolder:
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(errno.EEXIST, "the folder for the stems would replace a file", str(self.folder))
        self._target = Path(os.path.realpath(self.folder))
        self._published = False
        self._new_parents: list[Path] = []
        self.path = self._target.with_name(f".{self._target.name}-{secrets.token_hex(4)}")
        self._draft_lock = FileLock(self.path / _LOCK)
        try:
            for parent in _missing(self._target.parent):
                parent.mkdir(exist_ok=True)
                self._new_parents.append(parent)
            with self._errors_name_the_folder(), _folder_lock(self._target):
                _recover(self._target, self._listing)
                self.path.mkdir()
                self._draft_lock.acquire()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._published:
            self._discard()

    def publish(self, finish: Callable[[], None]) -> None:
        """Replace the folder by the draft.

        Parameters
        ----------
        finish : callable
            Writes the draft's last files. No other process publishes to the folder at the same time.

        Raises
        ------
        FileExistsError
            If a file of the draft exists in the folder and the folder's listing does not name it.
        """
        with self._errors_name_the_folder(), _folder_lock(self._target):
            finish()
            refuse_foreign(self.folder, [path.name for path in self.path.iterdir()], self._listing)
            self._draft_lock.release()  # Windows cannot rename a folder with an open file
            replacing = self._target.is_dir()
            if replacing:
                _link_others(self._target, self.path, self._listing)
                self.path.chmod(stat.S_IMODE(self._target.stat().st_mode) | stat.S_IWUSR)
                _exchange_or_rename(self.path, self._target)
            else:
                self.path.replace(self._target)
            self._published = True
            with suppress(OSError):  # the result is complete; the next run cleans up
                (self._target / _LOCK).unlink(missing_ok=True)
                if replacing:
                    _remove_old(self.path, self._target, self._listing)

    def _discard(self) -> None:
        self._draft_lock.release()
        _remove_draft(self.path)
        for parent in reversed(self._new_parents):  # a folder that is no longer empty is kept
            try:
                parent.rmdir()
            except OSError:
                break

    @contextmanager
    def _errors_name_the_folder(self) -> Iterator[None]:
        """Put the folder that the user gave into errors that name a temporary file."""
        try:
            yield
        except OSError as error:
            if error.filename is None or self._is_temporary(Path(os.fsdecode(error.filename))):
                error.filename, error.filename2 = str(self.folder), None
            raise

    def _is_temporary(self, path: Path) -> bool:
        return path.name.startswith(f".{self._target.name}") or self.path in path.parents


def refuse_foreign(folder: Path, names: Collection[str], listing: Listing) -> None:
    """Raise FileExistsError if one of the files exists in a folder whose result does not list it."""
    listed = listing(folder)
    for name in sorted(names):
        if name not in listed and name != _LOCK and os.path.lexists(folder / name):
            raise FileExistsError(
                errno.EEXIST,
                "this file exists and is not listed in a result.json next to it; move it, or choose another folder",
                str(folder / name),
            )


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Wait until no other process publishes to the folder or cleans up next to it."""
    path = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(path)
    with lock:
        try:
            yield
        finally:
            if os.name != "nt":  # a waiting process notices that its lock file was deleted
                path.unlink(missing_ok=True)


def _link_others(folder: Path, draft: Path, listing: Listing) -> None:
    """Hard-link all files into the draft that it does not replace, so that they exist at every moment.

    Where hard links are not possible, the files are moved by :func:`_remove_old` instead.
    """
    (folder / _LOCK).unlink(missing_ok=True)
    replaced = set(listing(folder)) - set(listing(draft))
    for path in folder.iterdir():
        copy = draft / path.name
        if path.name in replaced or os.path.lexists(copy):
            continue
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, copy, symlinks=True, copy_function=_link)
            else:
                _link(path, copy)
        except (OSError, shutil.Error) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            if copy.is_dir() and not copy.is_symlink():
                shutil.rmtree(copy)


def _link(source: str | Path, copy: str | Path) -> str:
    os.link(source, copy, follow_symlinks=False)
    return str(copy)


def _remove_old(old: Path, folder: Path, listing: Listing) -> None:
    """Remove the replaced folder, after moving files that are neither listed nor in the new folder into the new one."""
    listed, kept = set(listing(old)), set(listing(folder))
    for path in old.iterdir():
        if path.name in listed - kept:
            path.unlink()
        else:
            _move_or_drop(path, folder / path.name, listed=path.name in listed)
    with suppress(OSError):  # files that exist in both folders and differ are kept
        old.rmdir()


def _move_or_drop(path: Path, target: Path, *, listed: bool = False) -> None:
    if not os.path.lexists(target):
        path.replace(target)
    elif path.is_dir() and not path.is_symlink():
        if target.is_dir():
            for inside in path.iterdir():
                _move_or_drop(inside, target / inside.name)
            with suppress(OSError):
                path.rmdir()
    elif listed or os.path.samestat(path.lstat(), target.lstat()):
        path.unlink()


def _recover(folder: Path, listing: Listing) -> None:
    """Clean up after killed processes: remove their drafts, and move back files that belong in the folder."""
    hidden = f".{glob.escape(folder.name)}-" + "[0-9a-f]" * 8
    for old in folder.parent.glob(f"{hidden}.old"):
        if folder.exists():
            _remove_old(old, folder, listing)
        else:  # killed between the two renames
            old.replace(folder)
    for path in folder.parent.glob(hidden):
        if not (path / _LOCK).exists():  # the replaced folder after an exchange
            _remove_old(path, folder, listing)
            continue
        lock = FileLock(path / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        lock.release()
        _remove_draft(path)


def _remove_draft(draft: Path) -> None:
    """Remove a draft and, last, its lock: without a lock it would be mistaken for a replaced folder."""
    if not draft.is_dir():
        return
    for path in draft.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != _LOCK:
            path.unlink(missing_ok=True)
    shutil.rmtree(draft, ignore_errors=True)


def _exchange_or_rename(draft: Path, folder: Path) -> None:
    """Exchange the draft and the folder."""
    if _exchange(draft, folder):
        return
    old = draft.with_name(f"{draft.name}.old")
    folder.replace(old)
    try:
        draft.replace(folder)
    except BaseException:
        old.replace(folder)
        raise
    old.replace(draft)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; return False if the system or the file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # the C library lacks it
        return False
    current_folder, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(current_folder, os.fsencode(first), current_folder, os.fsencode(second), exchange) == 0)


def _missing(folder: Path) -> list[Path]:
    """Return the parents of a folder that do not exist yet, outermost first."""
    missing: list[Path] = []
    while not folder.exists():
        missing.insert(0, folder)
        folder = folder.parent
    return missing
