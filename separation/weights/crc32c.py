"""The CRC-32C checksum (Castagnoli), vectorised over many parts of the data at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

__all__ = ["crc32c", "unmask"]

_POLYNOMIAL = 0x82F63B78  # reflected
_PART = 1024  # bytes per part


def crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of some bytes, as an unsigned 32-bit number.

    The data are split into parts of equal length, whose checksums are computed side by side, byte by byte, and then
    combined in pairs. A hundred megabytes take about a second.
    """
    octets = np.frombuffer(data, np.uint8)
    n_parts = len(octets) // _PART
    head, tail = octets[: n_parts * _PART], octets[n_parts * _PART :]
    value = 0xFFFFFFFF
    if n_parts:
        table = _byte_table()
        state = np.zeros(n_parts, np.uint32)
        for column in np.ascontiguousarray(head.reshape(n_parts, _PART).T):
            state = table[(state ^ column) & 0xFF] ^ (state >> 8)
        value = int(_apply(_shift_tables(len(head)), np.uint32(value))) ^ _combine(state)
    table_of_ints = _byte_table().tolist()
    for octet in tail.tolist():
        value = table_of_ints[(value ^ octet) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Return a checksum from the masked form (rotated, plus a constant) that LevelDB and TensorFlow store."""
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def _combine(states: np.ndarray) -> int:
    """Return the checksum of the concatenated parts from the checksums of the parts."""
    length, total, total_length = _PART, 0, 0
    while len(states):
        if len(states) % 2:  # prepend the last part to those already combined in `total`
            total ^= int(_apply(_shift_tables(total_length), states[-1]))
            total_length += length
            states = states[:-1]
        states = _apply(_shift_tables(length), states[::2]) ^ states[1::2]
        length *= 2
    return total


@lru_cache(maxsize=1)
def _byte_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


def _apply(tables: np.ndarray, state: np.ndarray | np.uint32) -> np.ndarray:
    """Apply a linear operator, given as one table per byte of the state, shape (4, 256)."""
    result = tables[0][state & 0xFF]
    for byte in range(1, 4):
        result = result ^ tables[byte][(state >> np.uint32(8 * byte)) & 0xFF]
    return result


@lru_cache(maxsize=64)
def _shift_tables(length: int) -> np.ndarray:
    """Return the operator that appends `length` zero bytes, as tables for :func:`_apply`."""
    values = np.arange(256, dtype=np.uint32)
    result = np.stack([values << np.uint32(8 * byte) for byte in range(4)])  # the identity
    table = _byte_table()
    power = np.stack([table[row & 0xFF] ^ (row >> np.uint32(8)) for row in result])  # one byte
    while length:
        if length & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        length >>= 1
    return result
