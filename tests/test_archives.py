"""Damaged ZIP archives raise one error, whatever is damaged."""

from __future__ import annotations

import errno
import io
import random
import zipfile
from pathlib import Path

import pytest

from separation.archives import zip_errors

KINDS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
NAME = "Übung.wav"


def archive(kind: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as target:
        target.writestr(NAME, random.Random(0).randbytes(2000) + bytes(2000))
    return content.getvalue()


def unpack(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    with zip_errors(), zipfile.ZipFile(path) as content:
        for member in content.infolist():
            content.read(member)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_damaged_byte_is_one_kind_of_error(kind: int, tmp_path: Path) -> None:
    whole, draw, damaged = archive(kind), random.Random(0), 0
    unpack(whole, tmp_path / "whole.zip")
    for position in [*range(0, len(whole), 7), *range(len(whole) - 150, len(whole))]:
        data = bytearray(whole)
        data[position] ^= draw.randrange(1, 256)
        try:
            unpack(bytes(data), tmp_path / "damaged.zip")
        except zipfile.BadZipFile:
            damaged += 1
    assert damaged > 300  # of those in the content, all; not all of the dates and other fields matter


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_truncated_archive_is_damaged(kind: int, tmp_path: Path) -> None:
    whole = archive(kind)
    for length in range(0, len(whole), 50):
        with pytest.raises(zipfile.BadZipFile):
            unpack(whole[:length], tmp_path / "cut.zip")


def test_encrypted_content_counts_as_damaged(tmp_path: Path) -> None:
    data = bytearray(archive(zipfile.ZIP_STORED))
    data[6] |= 1  # in the header of the file
    data[data.rfind(b"PK\1\2") + 8] |= 1  # and in the list of files
    with pytest.raises(zipfile.BadZipFile, match="encrypted"):
        unpack(bytes(data), tmp_path / "damaged.zip")


def test_errors_of_the_disk_are_not_those_of_the_archive(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), zip_errors(), zipfile.ZipFile(tmp_path / "missing.zip"):
        pass
    with pytest.raises(OSError, match="full") as raised, zip_errors():
        raise OSError(errno.ENOSPC, "the disk is full")
    assert raised.value.errno == errno.ENOSPC
