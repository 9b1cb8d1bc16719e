"""Sums over the spectra of whole signals, a few frames at a time and on all cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.evaluation.signals import Signals
from separation.workers.threads import map_parts

__all__ = ["Frames", "reduce_spectra"]

Total = TypeVar("Total")

_READ = 64  # frames read at a time
_GROUP = 8  # frames transformed at a time: their spectra fit the CPU's cache


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frames of `n_fft` samples, centred on multiples of `hop_length`.

    Attributes
    ----------
    n_fft, hop_length : int
        In samples.
    window : str
        "hann" or "rectangular".
    padding : str
        Assumed signal beyond both ends: "constant" for zeros, or "reflect" for its mirror image.
    """

    n_fft: int = 4096
    hop_length: int = 1024
    window: str = "hann"
    padding: str = "constant"

    def weights(self) -> Tensor:
        """Return the window, shape (n_fft,), float64."""
        ones = torch.ones(self.n_fft, dtype=torch.float64)
        return ones if self.window == "rectangular" else torch.hann_window(self.n_fft, dtype=torch.float64)

    def count(self, time: int) -> int:
        """Return the number of frames of a signal of `time` samples."""
        return time // self.hop_length + 1


def reduce_spectra(
    function: Callable[..., Total],
    signals: Sequence[Signals],
    frames: Frames,
    combine: Callable[[Total, Total], Total],
) -> Total:
    """Combine ``function(*spectra)`` of all groups of frames; the signals are read in blocks.

    Parameters
    ----------
    function : callable
        Gets a tensor for each of `signals`, shape (sources, channels, frames, bins), complex128.
    signals : sequence of Signals
        Of one length, not empty.
    frames : Frames
    combine : callable
        Combines two results into one, such as the sum; associative and commutative.

    Raises
    ------
    ValueError
        If a sample is NaN or infinite, or the signals are too short to be mirrored.
    """
    time = signals[0].shape[2]
    if frames.padding == "reflect" and time <= frames.n_fft // 2:
        raise ValueError(f"a signal of {time} samples is too short for frames of {frames.n_fft}")
    weights = frames.weights()

    def part(first: int, last: int) -> Total:
        results = []
        for start in range(first, last, _READ):
            blocks = [_read(one, start, min(start + _READ, last), frames) for one in signals]
            groups = (block.unfold(-1, frames.n_fft, frames.hop_length).split(_GROUP, dim=-2) for block in blocks)
            totals = (function(*(torch.fft.rfft(x * weights) for x in group)) for group in zip(*groups, strict=True))
            results.append(reduce(combine, totals))
        return reduce(combine, results)

    return reduce(combine, map_parts(part, frames.count(time)))


def _read(signals: Signals, first: int, last: int, frames: Frames) -> Tensor:
    """Return the samples of frames `first` to `last`, shape (sources, channels, samples)."""
    time = signals.shape[2]
    start = first * frames.hop_length - frames.n_fft // 2
    stop = (last - 1) * frames.hop_length + frames.n_fft - frames.n_fft // 2
    before, after = max(0, -start), max(0, stop - time)
    if frames.padding == "constant":
        inside = signals.read(max(0, start), min(time, stop))
        padded, skipped = F.pad(inside, (before, after)), 0
    else:  # what is mirrored must be read too
        low, high = min(max(0, start), time - after - 1), max(min(stop, time), before + 1)
        inside = signals.read(low, high)
        padded, skipped = F.pad(inside, (before, after), mode="reflect"), start + before - low
    if not math.isfinite(inside.sum()):
        raise ValueError("spectra cannot be scored where a sample is NaN or infinite")
    return padded[..., skipped : skipped + stop - start]
