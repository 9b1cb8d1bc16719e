"""Read a signal in blocks, or with zeros beyond its ends."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.audio.signal import Signal

__all__ = ["iter_blocks", "read_padded"]


def read_padded(signal: Signal, start: int, stop: int) -> Tensor:
    """Return samples `start` to `stop`, shape (channels, stop - start), with zeros beyond the signal's ends."""
    first, last = max(0, start), min(stop, signal.frames)
    inside = signal.read(first, last) if first < last else torch.zeros(signal.channels, 0)
    left = min(max(0, -start), stop - start)
    return F.pad(inside, (left, stop - start - left - inside.shape[-1]))


def iter_blocks(signal: Signal, size: int) -> Iterator[Tensor]:
    """Yield the whole signal in consecutive blocks of `size` samples; the last one may be shorter."""
    return (signal.read(first, min(first + size, signal.frames)) for first in range(0, signal.frames, size))
