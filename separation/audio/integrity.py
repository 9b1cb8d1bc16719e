"""Detect truncated and unfinished files from the lengths in their containers' headers.

Decoders read truncated files to their end without a warning. Nothing is decoded here, and only the
bytes that are examined are read.
"""

from __future__ import annotations

import mmap
import os
from typing import IO

__all__ = [
    "MOST_CHUNKS",
    "file_size",
    "is_for_sndfile",
    "is_truncated",
    "is_unfinished",
    "mp3_length",
    "read_bytes_at",
    "unfinished_au",
    "w64_frames",
]

#: Examined in one file. A crafted file of 200 MB may consist of 25 million empty chunks, which take minutes.
MOST_CHUNKS = 100_000

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"  # top-level elements of a Matroska or WebM file
_EXTENSIBLE, _MPEG_CODINGS = b"\xfe\xff", (b"\x50\0", b"\x55\0")  # codings of WAV files
#: First bytes of a frame: DTS with 16 and 14 bits in both byte orders, and S/PDIF.
_FRAMES_AS_PCM = (b"\x7f\xfe\x80\1", b"\xfe\x7f\1\x80", b"\x1f\xff\xe8\0", b"\xff\x1f\0\xe8", b"\x72\xf8\x1f\x4e")
_MP4_BOXES = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"mfra", b"sidx", b"udta"}


def read_bytes_at(file: IO[bytes], position: int, count: int) -> bytes:
    """Return `count` bytes from a position in a file, leaving the file's own position unchanged."""
    original = file.tell()
    file.seek(position)
    data = file.read(count)
    file.seek(original)
    return data


def file_size(file: IO[bytes]) -> int:
    """Return the size of a file in bytes."""
    return os.fstat(file.fileno()).st_size


def is_truncated(file: IO[bytes]) -> bool:
    """Return whether an MP4, Matroska, WebM, AVI or MP3 file is shorter than its header says."""
    head = read_bytes_at(file, 0, 12)
    if head[4:8] in _MP4_BOXES:
        return _last_mp4_box_is_cut(file)
    if head.startswith(b"RIFF") and head[8:] == b"AVI ":
        return 8 + int.from_bytes(head[4:8], "little") > file_size(file)
    if _is_mpeg_audio(file):
        return _mp3_is_cut(file)
    return head.startswith(_EBML) and _matroska_is_cut(file)


def _last_mp4_box_is_cut(file: IO[bytes]) -> bool:
    size, position = file_size(file), 0
    for _ in range(MOST_CHUNKS):
        if position >= size:
            break
        head = read_bytes_at(file, position, 16)
        if len(head) < 8 or head[4:8] not in _MP4_BOXES:
            return False  # trailing data: all boxes were complete
        length = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
        if length < 8:
            return False  # 0 means up to the end of the file
        position += length
    return position > size


def _matroska_is_cut(file: IO[bytes]) -> bool:
    size, position = file_size(file), 0
    for _ in range(MOST_CHUNKS):
        if position >= size:
            break
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


def _id3_size(file: IO[bytes]) -> int:
    """Return the size of an ID3v2 tag at the beginning of a file, 0 if there is none."""
    head = read_bytes_at(file, 0, 10)
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))


def is_for_sndfile(file: IO[bytes]) -> bool:
    """Return whether libsndfile should decode a file, judged by its first bytes and by a WAV's codec.

    libsndfile's MP3 decoder prints to standard error and stops at the first damaged frame.
    """
    tag = _id3_size(file)
    head = read_bytes_at(file, tag, 4096)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"riff"):
        position = head.find(b"fmt ")
        start = position + (24 if head.startswith(b"riff") else 8)  # chunks of W64 have longer names and sizes
        coding = head[start : start + 2] if position > 0 else b""
        coding = head[start + 24 : start + 26] if coding == _EXTENSIBLE else coding
        return coding not in _MPEG_CODINGS and not _disguised(file, tag + head.find(b"data") + 8)
    return head[:4] in (b"FORM", b"caff", b"fLaC", b".snd", b"dns.")


def _disguised(file: IO[bytes], position: int) -> bool:
    """Return whether data declared as PCM are DTS or S/PDIF frames, as recorded from a CD or a digital cable."""
    return read_bytes_at(file, position, 1 << 16).lstrip(b"\0").startswith(_FRAMES_AS_PCM)


def _is_mpeg_audio(file: IO[bytes]) -> bool:
    """Return whether the first frame, after an ID3 tag, is one of MPEG audio."""
    head = read_bytes_at(file, _id3_size(file), 2)
    return len(head) == 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0


def mp3_length(file: IO[bytes]) -> int | None:
    """Return the number of samples, with the encoder's delay, by an MP3's index frame; None without one."""
    index, frame = _mp3_index(file)
    if not index[7:8] or not index[7] & 1:
        return None
    return int.from_bytes(index[8:12], "big") * (1152 if frame[1] & 8 else 576) or None  # MPEG 1 or 2


def _mp3_is_cut(file: IO[bytes]) -> bool:
    """Return whether the file is shorter than the index in its first frame says."""
    index, _ = _mp3_index(file)
    counts = [int.from_bytes(index[at : at + 4], "big") for at in (8, 12)]  # frames and bytes, if both are present
    return index[7:8] != b"" and index[7] & 3 == 3 and _id3_size(file) + counts[1] > file_size(file)


def _mp3_index(file: IO[bytes]) -> tuple[bytes, bytes]:
    """Return the index in an MP3's first frame, empty if it has none, and the first bytes of the frame."""
    frame = read_bytes_at(file, _id3_size(file), 200)
    position = max(frame.find(b"Xing"), frame.find(b"Info"))
    return frame[position:] if position >= 4 else b"", frame


def is_unfinished(file: IO[bytes]) -> bool:
    """Return whether a WAV or AU holds audio but its header announces none, since it was never finished."""
    if unfinished_au(file):
        return True
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        position = content.find(b"data", 0, 1 << 16)
        if content[:4] not in (b"RIFF", b"RF64") or position < 0 or any(content[position + 4 : position + 8]):
            return False
        position += 8
        for _ in range(MOST_CHUNKS):  # after a chunk that is really empty, only other chunks may follow
            if position + 8 > len(content):
                break
            if not content[position : position + 4].isascii():
                return True
            position += 8 + int.from_bytes(content[position + 4 : position + 8], "little")
        return position != len(content)


def unfinished_au(file: IO[bytes]) -> dict[int, bytes]:
    """Return the position of an unfinished AU's length, and the bytes for an unknown length; empty for other files."""
    head = read_bytes_at(file, 0, 12)
    has_audio = file_size(file) > int.from_bytes(head[4:8], "big")
    return {8: b"\xff" * 4} if head.startswith(b".snd") and head[8:] == bytes(4) and has_audio else {}


def w64_frames(file: IO[bytes]) -> int | None:
    """Return the number of samples that a W64 announces; libsndfile also decodes the padding to eight bytes."""
    position, block = 40, 0  # after the names and sizes of the two outermost chunks
    for _ in range(MOST_CHUNKS):
        chunk = read_bytes_at(file, position, 40) if position < file_size(file) else b""
        if len(chunk) < 24:
            return None
        size = int.from_bytes(chunk[16:24], "little")
        if chunk.startswith(b"fmt "):
            block = int.from_bytes(chunk[36:38], "little")
        if chunk.startswith(b"data"):
            return (size - 24) // block if block and size > 24 else None
        if size < 24:
            return None
        position += -(-size // 8) * 8
    return None
