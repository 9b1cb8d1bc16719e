"""Errors of damaged ZIP archives."""

from __future__ import annotations

import errno
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["zip_errors"]

#: zipfile lets through what its decoders, encodings and passwords raise.
_DAMAGED = (zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, UnicodeError)


@contextmanager
def zip_errors() -> Iterator[None]:
    """Turn all errors of an archive that is damaged, encrypted or of an unknown kind into BadZipFile.

    An OSError of the disk stays as it is.
    """
    try:
        yield
    except _DAMAGED as error:
        raise zipfile.BadZipFile(str(error)) from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # of bz2, or for a damaged offset
            raise
        raise zipfile.BadZipFile(str(error)) from error
