"""FLAC frames: the length of the audio that a file really holds, regardless of its header."""

from __future__ import annotations

from typing import IO

from separation.audio.integrity import file_size, read_bytes_at

__all__ = ["flac_end"]

_TAIL = 1 << 17  # bytes at the end of a file that are searched; frames are shorter
_LONGEST_HEADER = 16
_SIZES = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}, **{code: 256 << code - 8 for code in range(8, 16)}}


def flac_end(file: IO[bytes]) -> int:
    """Return the number of samples up to the end of the last frame, 0 if none is found near the end of the file.

    References
    ----------
    RFC 9639, section 9.1: the header of a frame.
    """
    tail = read_bytes_at(file, max(0, file_size(file) - _TAIL), _TAIL)
    usual = int.from_bytes(read_bytes_at(file, 8, 2), "big")  # of the stream information: the smallest block
    position = len(tail)
    while (position := tail.rfind(b"\xff", 0, position)) >= 0:
        if end := _frame_end(tail[position : position + _LONGEST_HEADER], usual):
            return end
    return 0


def _frame_end(header: bytes, usual: int) -> int | None:
    """Return the number of samples up to the end of a frame; None for bytes that are not the header of one."""
    if len(header) < 6 or header[:2] not in (b"\xff\xf8", b"\xff\xf9"):
        return None
    ones = 8 - (header[4] ^ 0xFF).bit_length()  # as in UTF-8: the number of bytes, 0 for a single one
    length = max(1, ones)
    number = header[4] & (0x7F >> ones)
    for byte in header[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    position, code = 4 + length, header[2] >> 4
    size = _SIZES.get(code)
    if code in (6, 7):
        size = 1 + int.from_bytes(header[position : position + code - 5], "big")
        position += code - 5
    position += {12: 1, 13: 2, 14: 2}.get(header[2] & 15, 0)  # the sample rate
    if size is None or ones == 1 or header[position : position + 1] != bytes([_crc8(header[:position])]):
        return None
    return number * (1 if header[1] & 1 else usual) + size  # the first sample, or the number of frames before


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc
