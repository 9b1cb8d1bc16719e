"""A writer of TensorFlow checkpoints, for tests of the reader."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

import numpy as np

_CHECKSUM = bytes(4)  # TensorFlow writes a CRC-32C, which is not read


def varint(number: int) -> bytes:
    content = b""
    while number >= 0x80:
        content, number = content + bytes([number & 0x7F | 0x80]), number >> 7
    return content + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A block of a LevelDB table whose keys share prefixes, with its trailer."""
    content, last = b"", b""
    for key, value in entries:
        shared = next((n for n, pair in enumerate(zip(key, last, strict=False)) if pair[0] != pair[1]), 0)
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return content + struct.pack("<II", 0, 1) + b"\0" + _CHECKSUM


def bundle(variables: dict[str, np.ndarray], *, header: bytes = field(1, 1)) -> tuple[bytes, bytes]:
    """A checkpoint as TensorFlow writes it, in two blocks: index and data."""
    data, entries = b"", [(b"", header)]
    for name, array in sorted(variables.items()):
        content = array.tobytes()
        shape = b"".join(field(2, field(1, size)) for size in array.shape)
        entry = field(1, {"float32": 1, "int64": 9}[array.dtype.name]) + field(2, shape)
        entry += field(4, len(data)) + field(5, len(content)) + varint(6 << 3 | 5) + _CHECKSUM
        entries.append((name.encode(), entry))
        data += content
    half = len(entries) // 2
    index, handles = b"", []
    for part in (entries[:half], entries[half:]):
        packed = block(part)
        handles.append((part[-1][0], varint(len(index)) + varint(len(packed) - 5)))
        index += packed
    footer = b""
    for packed in (block([]), block(handles)):
        footer += varint(len(index)) + varint(len(packed) - 5)
        index += packed
    return index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57), data


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path
