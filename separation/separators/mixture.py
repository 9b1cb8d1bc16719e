"""A baseline without separation: the mixture divided by the number of sources."""

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
    """Options of ``mix``, which has none."""


class Mix(Separator):
    """The baseline without separation (SiSEC's MIX): every estimate is the mixture divided by the number of sources."""

    name = "mix"
    sources = SOURCES

    def __init__(self, *, sample_rate: int = 44100, options: MixOptions = MixOptions()) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.options = options

    def at(self, *, sample_rate: int, channels: int) -> Mix:
        """Return a separator for this sample rate; any number of channels is accepted."""
        return Mix(sample_rate=sample_rate)

    def segments(self, frames: int) -> int:
        """Return the number of blocks for a mixture of `frames` samples."""
        return -(-frames // self._block_size)

    @property
    def _block_size(self) -> int:
        return round(SEGMENT_SECONDS * self.sample_rate)

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        for block in iter_blocks(mixture, self._block_size):
            yield (block / len(SOURCES)).expand(len(SOURCES), -1, -1)
