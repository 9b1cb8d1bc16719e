"""Reading a signal in blocks, and beyond its ends."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.audio.signal import Signal

__all__ = ["iter_blocks", "read_padded"]


def read_padded(signal: Signal, start: int, stop: int) -> Tensor:
    """Samples `start` to `stop`, (channels, stop - start), with zeros where that reaches beyond the ends."""
    first, last = max(0, start), min(stop, signal.frames)
    inside = signal.read(first, last) if first < last else torch.zeros(signal.channels, 0)
    left = min(max(0, -start), stop - start)
    return F.pad(inside, (left, stop - start - left - inside.shape[-1]))


def iter_blocks(signal: Signal, size: int) -> Iterator[Tensor]:
    """All of a signal in consecutive parts of `size` samples, the last one shorter."""
    return (signal.read(first, min(first + size, signal.frames)) for first in range(0, signal.frames, size))
