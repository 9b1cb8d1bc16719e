"""Atomic writing of files."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_write"]

_LONGEST = 200  # bytes of a name that becomes part of a temporary one; file systems allow 255


@contextmanager
def atomic_write(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path next to it, renamed to `path` when the block succeeds.

    The data is on disk before the rename, so that `path` is never half-written, not even after a
    power failure. The temporary file is removed on any error; one left by a killed process is
    overwritten by the next write, unless `shared`, which lets several processes write at once. An OSError
    names `path`, not the temporary file.
    """
    token = f".{secrets.token_hex(4)}" if shared else ""
    name = os.fsencode(path.name)
    short = path.name if len(name) <= _LONGEST else hashlib.sha256(name).hexdigest()
    draft = path.with_name(f".{short}{token}.part")
    try:
        yield draft
        with draft.open("r+b") as file:  # Windows flushes only files that are open for writing
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(draft):
            error.filename, error.filename2 = str(path), None  # the name that the user knows
        raise
