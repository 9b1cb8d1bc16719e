"""Detect truncated files from the lengths in their containers' headers.

Decoders read truncated files to their end without a warning. Nothing is decoded here, and only the
bytes that are examined are read.
"""

from __future__ import annotations

import mmap
import os
from typing import IO

__all__ = ["is_truncated", "mp3_has_length", "ogg_is_chained", "read_bytes_at"]

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"  # top-level elements of a Matroska or WebM file
_MP4_BOXES = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"mfra", b"sidx", b"udta"}


def read_bytes_at(file: IO[bytes], position: int, count: int) -> bytes:
    """Return `count` bytes from a position in a file, leaving the file's own position unchanged."""
    own = file.tell()
    file.seek(position)
    found = file.read(count)
    file.seek(own)
    return found


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def is_truncated(file: IO[bytes]) -> bool:
    """Return whether the last part of a container extends beyond the end of the file."""
    head = read_bytes_at(file, 0, 8)
    if head.startswith(b"OggS"):
        return _last_ogg_page_is_cut(file)
    if head[4:] in _MP4_BOXES:
        return _last_mp4_box_is_cut(file)
    return head.startswith(_EBML) and _matroska_is_cut(file)


def _last_ogg_page_is_cut(file: IO[bytes]) -> bool:
    tail = read_bytes_at(file, max(0, _size(file) - (1 << 17)), 1 << 17)  # a page has at most 65,307 bytes
    page = tail.rfind(b"OggS")
    if page < 0:
        return True
    header = tail[page : page + 27]
    lacing = tail[page + 27 : page + 27 + header[26]] if len(header) == 27 else b""
    return len(header) < 27 or len(lacing) < header[26] or page + 27 + len(lacing) + sum(lacing) > len(tail)


def _last_mp4_box_is_cut(file: IO[bytes]) -> bool:
    size, position = _size(file), 0
    while position < size:
        head = read_bytes_at(file, position, 16)
        if len(head) < 8 or head[4:8] not in _MP4_BOXES:
            return False  # trailing data: all boxes were complete
        length = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
        if length < 8:
            return False  # 0 means up to the end of the file
        position += length
    return position > size


def _matroska_is_cut(file: IO[bytes]) -> bool:
    size, position = _size(file), 0
    while position < size:
        head = read_bytes_at(file, position, 12)  # four bytes of name, one to eight of length
        width = 9 - head[4].bit_length() if len(head) == 12 else 9
        if head[:4] not in (_EBML, _SEGMENT) or width > 8:
            return False
        largest = (1 << 7 * width) - 1
        length = int.from_bytes(head[4 : 4 + width], "big") & largest
        if length == largest:
            return False  # unknown size: a live stream
        position += 4 + width + length
    return position > size


def mp3_has_length(file: IO[bytes]) -> bool:
    """Return whether an MP3's first frame is an index with the number of frames.

    Without one, libsndfile can only estimate the length.
    """
    head = read_bytes_at(file, 0, 10)
    first = 0
    if head.startswith(b"ID3"):
        first = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    frame = read_bytes_at(file, first, 200)
    index = max(frame.find(b"Xing"), frame.find(b"Info"))
    flags, count = (int.from_bytes(frame[index + at : index + at + 4], "big") for at in (4, 8))
    return index > 0 and bool(flags & 1) and count > 0


def ogg_is_chained(file: IO[bytes]) -> bool:
    """Return whether an Ogg file has another stream after its first ones.

    The first pages of all streams that play at once come before any other page.
    """
    first, others = b"OggS\0\x02", (b"OggS\0\x00", b"OggS\0\x01", b"OggS\0\x04", b"OggS\0\x05")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        pages = [position for page in others if (position := content.find(page)) >= 0]
        return bool(pages) and content.rfind(first) > min(pages)
