"""References and estimates that are read in blocks, from memory or from disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["ArraySignals", "SelectedSignals", "Signals", "SumSignal"]


class Signals(Protocol):
    """References or estimates, in memory or on disk. Several threads may read at the same time."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (sources, channels, time)."""

    def read(self, start: int, stop: int) -> Tensor:
        """Return samples `start` to `stop` in float64, shape (sources, channels, stop - start)."""


@dataclass(frozen=True)
class ArraySignals:
    """Signals in memory, shape (sources, channels, time)."""

    samples: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        sources, channels, time = self.samples.shape
        return sources, channels, time

    def read(self, start: int, stop: int) -> Tensor:
        return self.samples[..., start:stop].double()


@dataclass(frozen=True)
class SelectedSignals:
    """Some of the sources of other signals, in any order."""

    signals: Signals
    rows: list[int]

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.rows), *self.signals.shape[1:])

    def read(self, start: int, stop: int) -> Tensor:
        return self.signals.read(start, stop)[self.rows]


@dataclass(frozen=True)
class SumSignal:
    """The sum of all sources of other signals, as one source."""

    signals: Signals

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, *self.signals.shape[1:])

    def read(self, start: int, stop: int) -> Tensor:
        return torch.sum(self.signals.read(start, stop), 0, keepdim=True)
