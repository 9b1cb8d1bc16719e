"""The mixture divided by the number of sources: the floor of every comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from separation.audio.blocks import iter_blocks
from separation.audio.signal import Signal
from separation.separators.base import Separator
from separation.separators.hpss import SEGMENT_SECONDS
from separation.sources import SOURCES

__all__ = ["Mix", "MixOptions"]


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """Options of ``mix``: none."""


class Mix(Separator):
    """The mixture divided by the number of sources as every estimate: SiSEC's MIX, the floor of every comparison."""

    name = "mix"
    sources = SOURCES

    def __init__(self, *, sample_rate: int = 44100, options: MixOptions = MixOptions()) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.options = options

    def at(self, *, sample_rate: int, channels: int) -> Mix:
        return Mix(sample_rate=sample_rate)

    def segments(self, frames: int) -> int:
        return -(-frames // self._piece)

    @property
    def _piece(self) -> int:
        return round(SEGMENT_SECONDS * self.sample_rate)

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        for piece in iter_blocks(mixture, self._piece):
            yield (piece / len(SOURCES)).expand(len(SOURCES), -1, -1)
