"""Uploaded stems: several files, or ZIP archives of them. Names and contents are untrusted."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from separation.archives import zip_errors
from separation.audio.files import read
from separation.audio.signal import Audio
from separation.audio.stream import AudioError
from separation.audio.suffixes import SUFFIXES
from separation.datasets.stem_files import is_hidden
from separation.datasets.stem_map import normal_name
from separation.studio.limits import LIMITS

__all__ = ["exact_seconds", "read_stems", "unpack"]

MOST_FILES = 64
_BLOCK = 1 << 20


def unpack(files: Sequence[str | Path], folder: Path, *, suffixes: Collection[str] = SUFFIXES) -> dict[str, Path]:
    """Return the usable files by their name without folder and suffix.

    ZIP archives are unpacked into `folder` under numbers, so that no untrusted name becomes a path. Folders, links
    and files of other kinds are skipped.

    Raises
    ------
    ValueError
        If no file is usable, two files have the same name, or an archive is damaged or too large.
    """
    found: dict[str, Path] = {}
    left = LIMITS.decoded_bytes  # of all archives together
    for file in map(Path, files):
        if zipfile.is_zipfile(file):
            for name, path in _unzip(file, folder, len(found), suffixes, left):
                left -= path.stat().st_size
                _add(found, name, path)
        elif file.suffix.lower() in suffixes and not is_hidden(file.name):
            _add(found, file.stem, file)
    if not found:
        raise ValueError(f"the upload contains no file that ends in {', '.join(sorted(suffixes))}")
    return found


def _add(found: dict[str, Path], name: str, path: Path) -> None:
    if name in found:
        raise ValueError(f"two files are called {name!r}")
    if len(found) >= MOST_FILES:
        raise ValueError(f"the upload contains more than {MOST_FILES} files")
    found[name] = path


def _unzip(file: Path, folder: Path, number: int, suffixes: Collection[str], left: float) -> list[tuple[str, Path]]:
    """Unpack the usable files of an archive, at most `left` bytes, under numbers from `number`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    try:
        with zip_errors(), zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if _is_meant(member, suffixes)]
            if number + len(members) > MOST_FILES:
                raise ValueError(f"the upload contains more than {MOST_FILES} files")
            for place, member in enumerate(members, start=number):
                inside = PurePosixPath(member.filename)
                path = folder / f"{place}{inside.suffix.lower()}"
                with archive.open(member) as source, path.open("wb") as target:
                    while block := source.read(_BLOCK):  # the size in the header may be wrong
                        left -= len(block)
                        if left < 0:
                            raise _too_large()
                        target.write(block)
                found.append((inside.stem, path))
    except zipfile.BadZipFile as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ValueError(f"{file.name!r} is not a ZIP file that can be read") from error
    except ValueError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return found


def _too_large() -> ValueError:
    return ValueError(f"together the files unpack to more than {LIMITS.decoded_bytes / 1e6:g} MB, the limit")


def _is_meant(member: zipfile.ZipInfo, suffixes: Collection[str]) -> bool:
    inside = PurePosixPath(member.filename)
    hidden = is_hidden(inside.name) or "__MACOSX" in inside.parts
    link = stat.S_ISLNK(member.external_attr >> 16)
    return not (member.is_dir() or hidden or link) and inside.suffix.lower() in suffixes


def read_stems(
    files: Sequence[str | Path], folder: Path, *, start: float = 0.0, duration: float | None = None
) -> dict[str, Audio]:
    """Decode the stems in files or archives, by name in lower case; a file called mixture is left out.

    Raises
    ------
    ValueError
        As in :func:`unpack`, or if a stem cannot be read or is damaged, or the stems differ in length, sample rate or
        channels.
    """
    found: dict[str, Path] = {}
    for name, path in unpack(files, folder).items():
        _add(found, normal_name(name), path)
    found.pop("mixture", None)
    limits = replace(LIMITS, file_bytes=LIMITS.decoded_bytes)  # decoded, it may be larger than an upload
    stems: dict[str, Audio] = {}
    for name, path in found.items():
        try:
            stems[name] = read(path, start=start, duration=duration, limits=limits, strict=True)
        except AudioError as error:  # under the visitor's name for it
            raise AudioError(str(error).replace(repr(path.name), repr(name), 1)) from error
        if sum(4 * stem.waveform.numel() for stem in stems.values()) > LIMITS.decoded_bytes:
            raise _too_large()
    if not stems:
        raise ValueError("the upload contains a mixture but no stems")
    first, *others = stems
    for name in others:
        _refuse_different(name, stems[name], first, stems[first])
    return stems


def _refuse_different(name: str, one: Audio, first: str, other: Audio) -> None:
    if one.sample_rate != other.sample_rate:
        raise ValueError(f"{name!r} has {one.sample_rate} Hz where {first!r} has {other.sample_rate} Hz")
    if one.channels != other.channels:
        raise ValueError(f"{name!r} has {one.channels} channels where {first!r} has {other.channels}")
    if one.frames != other.frames:
        lead = (one.frames - other.frames) / one.sample_rate
        raise ValueError(
            f"{name!r} is {exact_seconds(abs(lead))} s {'longer' if lead > 0 else 'shorter'} than {first!r}"
        )


def exact_seconds(seconds: float) -> str:
    """Write seconds with hundredths, or with millionths where only these differ from 0."""
    return f"{seconds:.2f}" if seconds >= 0.01 else f"{seconds:.6f}"
