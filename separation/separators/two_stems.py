"""Two stems from any method: one source and the rest of the mixture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from separation.audio.signal import Signal
from separation.separators.base import Separator
from separation.sources import rest_of

__all__ = ["TwoStems"]


class TwoStems(Separator):
    """A separator's estimate of one source, and the mixture without it; both sum to the mixture exactly.

    :func:`separation.pipeline.run.run` subtracts at the song's own sample rate, so that the rest keeps what the
    separator's sample rate cannot hold.

    Parameters
    ----------
    separator : Separator
    source : str
        One of its sources. The other stem is called "instrumental" if it is "vocals", else "no_<source>".

    Raises
    ------
    ValueError
        If the method does not estimate the source.
    """

    def __init__(self, separator: Separator, source: str) -> None:
        super().__init__()
        if source not in separator.sources:
            gives = ", ".join(separator.sources)
            raise ValueError(f"{separator.name} has no stem {source!r} to separate from the rest; it gives {gives}")
        self.separator = separator
        self.sources = (source, rest_of(source))
        self.name = separator.name  # type: ignore[misc]  # the name of the method
        self.sample_rate, self.channels = separator.sample_rate, separator.channels
        self.min_frames, self.notes = separator.min_frames, separator.notes
        self.model, self.model_hash = separator.model, separator.model_hash
        self.device, self.options = separator.device, separator.options
        self.allow_tf32 = separator.allow_tf32

    def at(self, *, sample_rate: int, channels: int) -> Separator:
        """Return the two stems of the separator for this sample rate and channel count."""
        configured = self.separator.at(sample_rate=sample_rate, channels=channels)
        return self if configured is self.separator else TwoStems(configured, self.sources[0])

    def segments(self, frames: int) -> int:
        """Return the number of blocks for a mixture of `frames` samples."""
        return self.separator.segments(frames)

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        yield from self.split(self.separator.stream(mixture), mixture)

    def split(self, blocks: Iterable[Tensor], mixture: Signal) -> Iterator[Tensor]:
        """Yield the two stems, given consecutive blocks of the separator's stems and the mixture at their sample rate.

        The stems may have been resampled since they were estimated: the rest is what they leave of the mixture.
        """
        row, start = self.separator.sources.index(self.sources[0]), 0
        for block in blocks:
            stop = start + block.shape[-1]
            yield torch.stack([block[row], mixture.read(start, stop) - block[row]])
            start = stop
