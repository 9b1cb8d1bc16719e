"""Stems that are computed only as far as they are read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["LazySpectrograms", "LazyStem", "LazyStems"]


class LazyStems:
    """Some stems of a separation in progress.

    Reading beyond the finished samples continues the separation. Samples are kept in an unlinked
    temporary float32 file, so that memory is constant and any part can be read again.

    Parameters
    ----------
    blocks : iterator of Tensor, shape (sources, channels, time)
        Consecutive blocks of estimates, as a separator yields them.
    sources : sequence of int
        Indices of the sources to keep.
    channels, frames : int
        Number of channels and length of the estimates.
    """

    def __init__(self, blocks: Iterator[Tensor], sources: Sequence[int], *, channels: int, frames: int) -> None:
        self._blocks = blocks
        self._sources = list(sources)
        self.channels, self.frames = channels, frames
        self._width = len(self._sources) * channels
        self._computed = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the stems

    def read(self, start: int, stop: int) -> Tensor:
        """Return samples `start` to `stop` of all kept stems, shape (stems, channels, stop - start)."""
        while self._computed < stop:
            block = next(self._blocks)[self._sources].cpu()
            self._file.seek(0, 2)
            self._file.write(block.permute(2, 0, 1).contiguous().numpy().data)
            self._computed += block.shape[-1]
        self._file.seek(start * self._width * 4)
        samples = np.frombuffer(bytearray(self._file.read((stop - start) * self._width * 4)), dtype=np.float32)
        return torch.from_numpy(samples).reshape(-1, len(self._sources), self.channels).permute(1, 2, 0)

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()


class LazyStem:
    """One of the stems, as a signal that another separator can separate."""

    def __init__(self, stems: LazyStems, index: int) -> None:
        self._stems, self._index = stems, index
        self.channels, self.frames = stems.channels, stems.frames

    def read(self, start: int, stop: int) -> Tensor:
        """Return samples `start` to `stop`, shape (channels, stop - start)."""
        return self._stems.read(start, stop)[self._index]


class LazySpectrograms:
    """Spectrograms of some stems of a separation in progress, to be read once and in order.

    Parameters
    ----------
    blocks : iterator of Tensor, shape (sources, channels, bins, frames)
        Consecutive blocks of the estimates' spectrograms.
    sources : sequence of int
        Indices of the sources to keep.
    """

    def __init__(self, blocks: Iterator[Tensor], sources: Sequence[int]) -> None:
        self._blocks = blocks
        self._sources = list(sources)
        self._held: list[Tensor] = []
        self._position = 0

    def read(self, first: int, last: int) -> Tensor:
        """Return frames `first` (the previous `last`) to `last`, shape (stems, channels, bins, last - first)."""
        assert first == self._position, "the frames are read in order"
        while sum(block.shape[-1] for block in self._held) < last - first:
            self._held.append(next(self._blocks)[self._sources].cpu())
        held = torch.cat(self._held, dim=-1)
        self._held, self._position = [held[..., last - first :]], last
        return held[..., : last - first]
