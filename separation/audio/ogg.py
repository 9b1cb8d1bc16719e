"""The pages and chained streams of Ogg files.

See RFC 3533. The streams of a chain are decoded one after the other, each like a file of its own.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from separation.audio.stream import AudioError

__all__ = ["OggLink", "ogg_links"]

_HEADER = 27  # bytes of a page before its table of segments
_FIRST, _LAST = 2, 4  # flags of a page: the first or the last of its stream
_MOST_DAMAGED = 10_000  # pages: each declares up to 65 kB to be read, of which a crafted file holds 27 bytes

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass
class OggLink:
    """One of the streams that follow one another in an Ogg file.

    Attributes
    ----------
    start, stop : int
        First byte in the file, and the one after the last.
    streams : int
        Number of streams that play at the same time.
    head : bytes
        Beginning of its first packet.
    damaged : bool
        Whether a page is missing or its checksum is wrong.
    cut : bool
        Whether its end is missing.
    """

    start: int
    stop: int
    head: bytes
    streams: int = 1
    damaged: bool = False
    cut: bool = True

    @property
    def is_simple(self) -> bool:
        """Whether it is one Vorbis or Opus stream of ordinary speakers, which libsndfile decodes."""
        opus = self.head.startswith(b"OpusHead") and self.head[18:19] in (b"\0", b"\1")
        return self.streams == 1 and not self.damaged and (opus or self.head.startswith(b"\1vorbis"))


def ogg_links(file: IO[bytes]) -> list[OggLink]:
    """Return the chained streams of an Ogg file; bytes outside its pages belong to none.

    Raises
    ------
    AudioError
        If the file has more than 10,000 damaged pages.
    """
    links: list[OggLink] = []
    numbers: dict[bytes, int] = {}  # serial number of a stream -> number of its next page
    beginning = False  # whether all pages of this link so far are first pages, of streams that play at the same time
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for start, stop, intact in _pages(content):
            flags, serial = content[start + 5], content[start + 14 : start + 18]
            number = int.from_bytes(content[start + 18 : start + 22], "little")
            if flags & _FIRST and intact:
                if beginning:
                    links[-1].streams += 1
                else:
                    body = start + _HEADER + content[start + 26]
                    links.append(OggLink(start, stop, content[body : body + 32]))
                    numbers = {}
                beginning = True
            elif not links:
                continue
            else:
                beginning = False
            link = links[-1]
            gap = start != link.stop and start != link.start
            link.damaged |= gap or (not intact and stop <= len(content)) or numbers.get(serial, number) != number
            link.cut = stop > len(content) or not (flags & _LAST or (link.streams > 1 and not link.cut))
            link.stop = min(stop, len(content))
            numbers[serial] = number + 1
    return links


def _pages(content: mmap.mmap) -> Iterator[tuple[int, int, bool]]:
    """Yield each page's start, its expected end, and whether it is complete with the right checksum."""
    start, damaged = content.find(b"OggS"), 0
    while start >= 0:
        header = content[start : start + _HEADER]
        table = content[start + _HEADER : start + _HEADER + header[26]] if len(header) == _HEADER else b""
        if len(header) < _HEADER or len(table) < header[26]:
            yield start, len(content) + 1, False
            return
        stop = start + _HEADER + len(table) + sum(table)
        page = content[start:stop]
        intact = stop <= len(content) and _checksum(page) == int.from_bytes(page[22:26], "little")
        yield start, stop, intact
        damaged += not intact
        if damaged > _MOST_DAMAGED:
            raise AudioError("too much of the file is damaged")
        # The length of a damaged page cannot be trusted.
        start = content.find(b"OggS", stop if intact else start + 4)


def _checksum(page: bytes) -> int:
    """Return the CRC-32 of a page: zlib's polynomial with reversed bits and without inversions."""
    blank = page[:22] + bytes(4) + page[26:]
    crc = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
