"""Files that consist of several complete files joined end to end, as ``cat`` writes them.

Decoders silently play only the first one. Ogg has chains of its own: see :mod:`separation.audio.ogg`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import IO, Literal

from separation.audio.integrity import MOST_CHUNKS
from separation.audio.stream import AudioError

__all__ = ["extra_data", "joined_files"]

_STREAMINFO = b"fLaC\0\0\0\x22"  # how FLAC files begin: magic number, and the header of the first metadata block
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
_MOST_FILES = 1000

ByteOrder = Literal["little", "big"]


def joined_files(file: IO[bytes]) -> list[tuple[int, int]]:
    """Return the byte range, start and stop, of each joined WAV, AIFF, FLAC or MP4 file.

    A single file, or a file of another format, is one range.

    Raises
    ------
    AudioError
        If there are more than 1000.
    """
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        later = list(islice(_later_starts(content), _MOST_FILES))
        if len(later) == _MOST_FILES:
            raise AudioError(f"it consists of more than {_MOST_FILES} files joined end to end")
        return list(pairwise([0, *later, len(content)]))


def extra_data(file: IO[bytes]) -> int | None:
    """Return the first byte of a WAV file's second data chunk, None if it has only one; decoders read the last one."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:4] != b"RIFF":
            return None
        position, found = 12, False
        for _ in range(MOST_CHUNKS):
            if position + 8 > len(content):
                break
            if content[position : position + 4] == b"data":
                if found:
                    return position
                found = True
            position += _chunk_size(content, position, "little")
    return None


def _later_starts(content: mmap.mmap) -> Iterator[int]:
    """Yield the first byte of the second and all later files."""
    kind = content[:4]
    if kind == b"fLaC":
        position = content.find(_STREAMINFO, 1)
        while position > 0:
            yield position
            position = content.find(_STREAMINFO, position + 1)
    elif kind in (b"RIFF", b"FORM"):
        byte_order: ByteOrder = "little" if kind == b"RIFF" else "big"
        position = 0
        while int.from_bytes(content[position + 4 : position + 8], byte_order) not in _UNKNOWN_SIZES:
            position += _chunk_size(content, position, byte_order)
            if content[position : position + 4] != kind or content[position + 8 : position + 12] != content[8:12]:
                return
            yield position
    elif content[4:8] == b"ftyp":
        yield from _later_mp4_files(content)


def _chunk_size(content: mmap.mmap, position: int, byte_order: ByteOrder) -> int:
    """Return the size of a RIFF or AIFF chunk with its header; chunks are padded to an even size."""
    size = int.from_bytes(content[position + 4 : position + 8], byte_order)
    return 8 + size + size % 2


def _later_mp4_files(content: mmap.mmap) -> Iterator[int]:
    position = 0
    for _ in range(MOST_CHUNKS):
        if position + 16 > len(content):
            return
        short = content[position : position + 4]
        length = int.from_bytes(content[position + 8 : position + 16] if short == b"\0\0\0\1" else short, "big")
        if length < 8:  # 0 means up to the end of the file
            return
        position += length
        if content[position + 4 : position + 8] == b"ftyp":
            yield position
