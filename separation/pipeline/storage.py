"""Locations of songs and results: paths, URLs such as ``s3://bucket/folder`` through fsspec, and songs in memory."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["Content", "Location", "Url", "local_file", "location", "read_json"]

_ERRNO: dict[type[OSError], int] = {  # s3fs gives the class only
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    PermissionError: errno.EACCES,
}

_EXTRAS = {"s3fs": "s3", "fsspec": "cluster"}  # package -> the extra that installs it


@dataclass(frozen=True)
class Url:
    """A file or folder in storage that fsspec reaches, with the methods of :class:`pathlib.Path` that results need.

    Errors of the storage are OSErrors. Endpoint and credentials come from the environment: fsspec's and botocore's
    variables, such as ``AWS_ENDPOINT_URL`` and ``AWS_ACCESS_KEY_ID``.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str | PurePath) -> Url:
        return Url(f"{self.url.rstrip('/')}/{name if isinstance(name, str) else name.as_posix()}")

    @property
    def name(self) -> str:
        """The last part, as :attr:`pathlib.PurePath.name`; without the query of a web address, such as a signature."""
        web = self.url.startswith(("http://", "https://"))
        path = unquote(urlsplit(self.url).path) if web else self.url
        return path.rstrip("/").rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return PurePosixPath(self.name).stem

    @cached_property
    def _storage(self) -> tuple[Any, str]:
        """The file system, and the path on it. Listings are not cached: other machines write too."""
        from fsspec.core import url_to_fs

        return url_to_fs(self.url, use_listings_cache=False)

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}  # a connection belongs to its process

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__.update(state)

    @contextmanager
    def _errors(self) -> Iterator[tuple[Any, str]]:
        """Yield the file system and the path; turn its errors into OSErrors that name the URL."""
        try:
            yield self._storage
        except OSError as error:
            code = error.errno or next((code for kind, code in _ERRNO.items() if isinstance(error, kind)), None)
            raise OSError(code, os.strerror(code) if code else _message(error), str(self)) from error
        except Exception as error:  # those of botocore, httpx and others have no common base
            raise OSError(None, _message(error), str(self)) from error

    def is_dir(self) -> bool:
        """Return whether files lie below this URL."""
        with self._errors() as (system, path):
            return bool(system.isdir(path))

    def is_file(self) -> bool:
        """Return whether this is a file."""
        with self._errors() as (system, path):
            return bool(system.isfile(path))

    def read_text(self, encoding: str) -> str:
        """Return a file's text."""
        with self._errors() as (system, path):
            return str(system.cat_file(path).decode(encoding))

    def write(self, data: bytes, *, create: bool = False) -> None:
        """Write a file in one step; with `create`, raise FileExistsError if it exists."""
        with self._errors() as (system, path):
            system.pipe_file(path, data, mode="create" if create else "overwrite")

    def stat(self) -> Any:
        """Return an object with `st_size` and `st_mtime_ns`; raise FileNotFoundError if there is no such file."""
        with self._errors() as (system, path):
            info = system.info(path)
        changed = info.get("LastModified") or info.get("mtime") or info.get("created") or 0  # HTTP states none
        seconds = changed.timestamp() if isinstance(changed, datetime) else float(changed)
        return SimpleNamespace(st_size=info["size"], st_mtime_ns=round(seconds * 1e9))

    def files(self) -> list[PurePosixPath]:
        """Return the paths of all files below this URL, relative to it."""
        with self._errors() as (system, path):
            root = path.rstrip("/")
            return [PurePosixPath(found.removeprefix(root).lstrip("/")) for found in system.find(path)]

    def names(self) -> set[str]:
        """Return the names of the files in this folder; none if it does not exist."""
        return {str(file) for file in self.files() if len(file.parts) == 1}

    def download(self, file: Path) -> None:
        """Copy this file to a local one."""
        with self._errors() as (system, path):
            system.get_file(path, str(file))

    def upload(self, file: Path) -> None:
        """Replace this file by a local one, in one step."""
        with self._errors() as (system, path):
            system.put_file(str(file), path)

    def unlink(self) -> None:
        """Remove this file if it exists."""
        with self._errors() as (system, path):
            try:
                system.rm_file(path)
            except FileNotFoundError:
                return


def _message(error: Exception) -> str:
    """Return an error's message on one line; for a missing package, with the command that installs it."""
    message = " ".join(str(error).split()) or type(error).__name__
    extra = next((extra for name, extra in _EXTRAS.items() if name in message), None)
    if isinstance(error, ImportError) and extra:
        message += f": in the project's folder, run pip install '.[{extra}]'"
    return message


@dataclass(frozen=True)
class Content:
    """The content of a song's file, sent to a worker that shares no storage with its client."""

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name

    def stat(self) -> Any:
        """Return an object with `st_size`, and an `st_mtime_ns` that differs for every content."""
        digest = hashlib.sha256(self.data).digest()
        return SimpleNamespace(st_size=len(self.data), st_mtime_ns=int.from_bytes(digest[:7], "big"))

    def download(self, file: Path) -> None:
        """Write a local file."""
        file.write_bytes(self.data)


Location = Path | Url


def location(text: str | os.PathLike[str]) -> Location:
    """Return a URL for text such as ``s3://bucket/folder``, and a path for all other text and ``file:///folder``."""
    text = os.fspath(text)
    scheme, separator, _ = text.partition("://")
    if not separator or not scheme.replace("+", "").isalnum():
        return Path(text)
    if scheme == "file":
        return Path(unquote(urlsplit(text).path))
    return Url(text)


@contextmanager
def local_file(place: Location | Content) -> Iterator[Path]:
    """Yield a path from which a file can be read: its own, or that of a temporary copy of the same name."""
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="stemscope-") as folder:
        file = Path(folder) / PurePosixPath(place.name).name
        place.download(file)
        yield file


def read_json(place: Location) -> Any:
    """Return the content of a JSON file; None if it is missing or not JSON."""
    try:
        return json.loads(place.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
