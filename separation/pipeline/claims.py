"""Claims on result folders: of several machines that are given the same song, one separates it and the others wait."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from separation.pipeline.storage import Location, Url

__all__ = ["claim"]

_POLL_SECONDS = 0.2
_RENEW_SECONDS = 15.0
_EXPIRE_SECONDS = 60.0  # without renewal; the holder has died


@contextmanager
def claim(folder: Location, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Within the context, no other process of any machine claims the folder.

    A claim in a file system is a lock, which the system releases when its holder dies. A claim in an object store is
    an object that is created exclusively and renewed; without renewal it expires after a minute.

    Parameters
    ----------
    folder : path or Url
        A result folder; it need not exist.
    waiting : callable
        Called again and again while another process holds the claim. It may raise an error to give up.
    """
    with _lock(folder, waiting) if isinstance(folder, Path) else _object(folder, waiting):
        yield


@contextmanager
def _lock(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    path = folder.with_name(f".{folder.name}.claim")
    lock = FileLock(path)
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        while not lock.is_locked:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=_POLL_SECONDS)
            except FileNotFoundError:  # the last holder has just removed the empty folder
                continue
            except Timeout:
                waiting()
        yield
    finally:
        if lock.is_locked and os.name != "nt":  # a waiting process notices that its lock file was deleted
            path.unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # a folder that is no longer empty is kept
            for parent in missing:
                parent.rmdir()


@contextmanager
def _object(folder: Url, waiting: Callable[[], None]) -> Iterator[None]:
    place = Url(f"{folder.url.rpartition('/')[0]}/.{folder.name}.claim")
    _create(place, waiting)
    over = threading.Event()
    thread = threading.Thread(target=_renew, args=(place, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        place.unlink()


def _create(place: Url, waiting: Callable[[], None]) -> None:
    """Create the object, as soon as there is none or the one there has not been renewed for long.

    Its content is compared, not its time: clocks of machines differ.
    """
    seen, since = "", time.monotonic()
    while True:
        with suppress(FileExistsError):
            place.write(secrets.token_bytes(8).hex().encode(), create=True)
            return
        waiting()
        with suppress(FileNotFoundError):
            content = place.read_text("utf-8")
            if content != seen:
                seen, since = content, time.monotonic()
            elif time.monotonic() - since > _EXPIRE_SECONDS:
                place.unlink()
                continue
        time.sleep(_POLL_SECONDS)


def _renew(place: Url, over: threading.Event) -> None:
    while not over.wait(_RENEW_SECONDS):
        with suppress(OSError):  # a lost claim costs a repeated song, never a wrong result
            place.write(secrets.token_bytes(8).hex().encode())
