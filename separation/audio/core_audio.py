"""The channel layouts of QuickTime, CAF and AIFF files: chunk ``chan`` or ``CHAN``.

See Apple's Core Audio Format specification, "Channel Layout Chunk". PyAV 18 frees the memory of a layout twice if its
order differs from that of WAVE files, as in many surround films, and such a file crashes the process. The chunks are
therefore hidden from PyAV and parsed here.
"""

from __future__ import annotations

import mmap
import re
from typing import IO

__all__ = ["hidden_layouts", "stored_speakers"]

_HEADS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp")
_CHUNK = re.compile(rb"chan|CHAN")

#: Layout tag -> channels in order.
_TAGS = {
    107: "W X Y Z",
    108: "FL FR BL BR",
    109: "FL FR BL BR FC",
    110: "FL FR BL BR FC BC",
    111: "FL FR BL BR FC BC SL SR",
    113: "FL FR FC",
    114: "FC FL FR",
    115: "FL FR FC BC",
    116: "FC FL FR BC",
    117: "FL FR FC SL SR",
    118: "FL FR SL SR FC",
    119: "FL FC FR SL SR",
    120: "FC FL FR SL SR",
    121: "FL FR FC LFE SL SR",
    122: "FL FR SL SR FC LFE",
    123: "FL FC FR SL SR LFE",
    124: "FC FL FR SL SR LFE",
    125: "FL FR FC LFE SL SR BC",
    126: "FL FR FC LFE SL SR FLC FRC",
    127: "FC FLC FRC FL FR SL SR LFE",
    128: "FL FR FC LFE SL SR BL BR",
    129: "FL FR SL SR FC LFE FLC FRC",
    131: "FL FR BC",
    132: "FL FR SL SR",
    133: "FL FR LFE",
    134: "FL FR LFE BC",
    135: "FL FR LFE SL SR",
    136: "FL FR FC LFE",
    137: "FL FR FC LFE BC",
    138: "FL FR SL SR LFE",
    139: "FL FR SL SR FC BC",
    140: "FL FR SL SR FC BL BR",
    141: "FC FL FR SL SR BC",
    142: "FC FL FR SL SR BC LFE",
    143: "FC FL FR SL SR BL BR",
    144: "FC FL FR SL SR BL BR BC",
}

_DESCRIPTIONS, _BITMAP = 0, 1 << 16

#: Label of a description -> speaker. A bit of a bitmap is label - 1.
_LABELS = {
    **{1: "FL", 2: "FR", 3: "FC", 4: "LFE", 5: "SL", 6: "SR", 7: "FLC", 8: "FRC", 9: "BC", 10: "SDL", 11: "SDR"},
    **{12: "TC", 13: "TFL", 14: "TFC", 15: "TFR", 16: "TBL", 17: "TBC", 18: "TBR"},
    **{33: "BL", 34: "BR", 35: "WL", 36: "WR", 37: "LFE2", 38: "DL", 39: "DR"},
    **{200: "W", 201: "X", 202: "Y", 203: "Z"},
}


def hidden_layouts(file: IO[bytes]) -> dict[int, bytes]:
    """Return the position of each chunk's name, with the name to read instead so that FFmpeg ignores the chunk."""
    return {position: b"free" if name == b"chan" else b"FREE" for position, name, _ in _chunks(file)}


def stored_speakers(file: IO[bytes], channels: int) -> tuple[str, ...] | None:
    """Return the speakers by the file's channel layout; None if no layout has `channels` channels."""
    for _, _, layout in _chunks(file):
        speakers = _speakers(layout, channels)
        if speakers is not None and len(speakers) == channels:
            return speakers
    return None


def _chunks(file: IO[bytes]) -> list[tuple[int, bytes, bytes]]:
    """Return position, name and layout of each chunk.

    The whole file is searched: audio data that passes for a chunk is practically impossible.
    """
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not (content[4:8] in _HEADS or content[:4] == b"caff" or content[8:12] in (b"AIFF", b"AIFC")):
            return []
        width = 8 if content[:4] == b"caff" else 4  # bytes between name and tag
        chunks = []
        for match in _CHUNK.finditer(content):
            layout = content[match.end() + width : match.end() + width + 12 + 20 * 64]
            tag = int.from_bytes(layout[:4], "big")
            if tag in (_DESCRIPTIONS, _BITMAP) or (100 <= tag >> 16 <= 255 and 1 <= tag & 0xFFFF <= 64):
                chunks.append((match.start(), match.group(), layout))
        return chunks


def _speakers(layout: bytes, channels: int) -> tuple[str, ...] | None:
    tag, bitmap, count = (int.from_bytes(layout[start : start + 4], "big") for start in (0, 4, 8))
    if tag == _BITMAP:
        return tuple(name for label, name in _LABELS.items() if label <= 18 and bitmap >> (label - 1) & 1)
    if tag == _DESCRIPTIONS:
        labels = [int.from_bytes(layout[12 + 20 * row : 16 + 20 * row], "big") for row in range(min(count, channels))]
        return tuple(_LABELS[label] for label in labels) if all(label in _LABELS for label in labels) else None
    if tag & 0xFFFF == channels and tag >> 16 in _TAGS:
        return tuple(_TAGS[tag >> 16].split())
    return None
