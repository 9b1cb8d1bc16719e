"""Read the variables of TensorFlow checkpoints without TensorFlow.

A checkpoint ("tensor bundle") is a pair of files. ``model.index`` is a LevelDB table from variable names to
protocol buffers with type, shape and position; ``model.data-00000-of-00001`` holds the numbers one after the other.
Both are read from the archive in which they are published, whose checksum covers them; their own are not read.
"""

from __future__ import annotations

import gzip
import math
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from separation.weights.state_dict import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_archive", "read_bundle"]

_MAGIC = 0xDB4775248B80FB57  # the last eight bytes of a LevelDB table
_FOOTER = 48
_TRAILER = 5  # compression type and checksum after each block
_FLOAT = 1  # DT_FLOAT
_BLOCK = 1 << 20  # bytes read at a time after the last member
_LARGEST = 1 << 30  # bytes per member of an archive, four times the largest released one


def read_archive(path: Path) -> dict[str, Tensor]:
    """Return the float32 variables of the checkpoint in a ``.tar.gz`` archive, by name.

    Nothing is extracted to disk.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or not an archive with one checkpoint.
    """
    members: dict[str, bytes] = {}
    try:
        with gzip.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name not in ("model.index", "model.data-00000-of-00001") or not member.isfile():
                    continue
                content = archive.extractfile(member) if member.size <= _LARGEST else None
                if content is None:
                    raise CheckpointError(f"{path.name} was not loaded: {name} in it is too large")
                members[name] = content.read()
            while unpacked.read(_BLOCK):  # at the end of the file, gzip checks its CRC-32
                pass
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.name} is missing") from error
    except CheckpointError:
        raise
    except Exception as error:  # tarfile, gzip and zlib raise their own errors for a damaged file
        raise CheckpointError(f"{path.name} is damaged or not an archive, and was not loaded") from error
    if len(members) < 2:
        raise CheckpointError(f"{path.name} holds no TensorFlow checkpoint: expected model.index and model.data")
    return read_bundle(members["model.index"], members["model.data-00000-of-00001"], name=path.name)


def read_bundle(index: bytes, data: bytes, *, name: str) -> dict[str, Tensor]:
    """Return the float32 variables of a checkpoint, from the contents of its two files; others are skipped.

    Parameters
    ----------
    index, data : bytes
        Contents of ``model.index`` and of ``model.data-00000-of-00001``.
    name : str
        Name of the checkpoint in error messages.

    Raises
    ------
    CheckpointError
        If a file is truncated, or the format is not supported.
    """
    import torch

    try:
        entries = dict(_read_table(index))
        header = dict(_fields(entries.pop(b"")))
        if header.get(1) != 1 or header.get(2, 0) != 0:
            raise CheckpointError(f"{name} was not loaded: its data are not in one little-endian file")
        arrays = {key.decode(): _read_variable(entry, data) for key, entry in entries.items()}
    except CheckpointError:
        raise
    except (KeyError, IndexError, ValueError, TypeError, OverflowError, struct.error) as error:
        why = str(error) if type(error) is ValueError else "a part is missing"
        raise CheckpointError(f"{name} is damaged and was not loaded: {why}") from error
    return {key: torch.from_numpy(array) for key, array in arrays.items() if array is not None}


def _read_variable(entry: bytes, data: bytes) -> np.ndarray | None:
    """Return the numbers of one variable; None if it is not float32."""
    fields = dict(_fields(entry))
    shape = [dict(_fields(dim)).get(1, 0) for number, dim in _fields(fields.get(2, b"")) if number == 2]
    offset, size = fields.get(4, 0), fields.get(5, 0)
    if fields.get(3, 0) != 0 or 7 in fields:
        raise ValueError("a variable is in several parts")
    content = memoryview(data)[offset : offset + size]
    if len(content) != size:
        raise ValueError("the data are cut off")
    if fields.get(1) != _FLOAT:
        return None
    if size != 4 * math.prod(shape):
        raise ValueError("a variable's size does not match its shape")
    return np.frombuffer(content, "<f4").astype(np.float32).reshape(shape)


def _read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a LevelDB table."""
    if len(table) < _FOOTER or struct.unpack("<Q", table[-8:])[0] != _MAGIC:
        raise ValueError("the index is truncated or not a LevelDB table")
    position = 0
    footer = table[-_FOOTER:]
    for _ in range(2):  # skip the handle of the metadata block
        _, position = _varint(footer, position)
    for _, handle in _read_block(table, footer[position:]):
        yield from _read_block(table, handle)


def _read_block(table: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of the block at a handle; keys omit the prefix that they share with the one before."""
    offset, position = _varint(handle, 0)
    size, _ = _varint(handle, position)
    block = table[offset : offset + size + _TRAILER]
    if len(block) != size + _TRAILER:
        raise ValueError("the index is cut off")
    if block[size] != 0:
        raise ValueError("the index is compressed")
    restarts = struct.unpack("<I", block[size - 4 : size])[0]
    end, position, key = size - 4 * (restarts + 1), 0, b""
    if end < 0:
        raise ValueError("a block of the index has no room for its entries")
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        if shared > len(key) or position + unshared + length > end:
            raise ValueError("an entry of the index is cut off")
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the fields (number, value) of a protocol buffer: int, or bytes for nested messages."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        value: Any
        if kind == 0:
            value, position = _varint(message, position)
        elif kind == 2:
            length, position = _varint(message, position)
            value, position = message[position : position + length], position + length
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value = int.from_bytes(message[position : position + width], "little")
            position += width
        else:
            raise ValueError("an entry of the index is not a protocol buffer")
        if position > len(message):
            raise ValueError("an entry of the index is cut off")
        yield number, value


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Return the variable-length integer at a position, and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        octet = content[position]
        position += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
    raise ValueError("a number in the index is too long")
