"""Processing of signals of any length in overlapping segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["fade_window", "in_step", "overlap_add"]


def fade_window(length: int, fade: int) -> Tensor:
    """Return a window of ones that rises over the first `fade` samples and falls over the last; shape (length,).

    It is positive everywhere, since the ends of a signal, covered by one segment only, are divided by it.
    With ``fade = ceil(length / 2)`` it is the triangle that Demucs uses.
    """
    if not 0 < 2 * fade <= length + 1:
        raise ValueError(f"fades of {fade} samples do not fit into a segment of {length}")
    rising = torch.arange(1, length + 1, dtype=torch.float32) / fade
    return torch.minimum(rising, rising.flip(0)).clamp(max=1)


def overlap_add(
    process: Callable[[int, int], Tensor], length: int, *, starts: range, window: Tensor
) -> Iterator[Tensor]:
    """Process a long signal segment by segment, yielding the result in consecutive blocks.

    Segments of ``len(window)`` samples begin at `starts`. Where they overlap, their results are
    averaged with `window` as weight. A block is yielded as soon as no later segment can change it,
    so that memory is limited to two segments for any `length`.

    Parameters
    ----------
    process : callable
        ``process(start, stop)`` returns the result for that span, shape (..., stop - start).
        It must read the signal itself, with as much context around the span as it needs.
    length : int
        Length of the signal in samples.
    starts : range
        First samples of the segments, from 0; the last segment must reach the end.
    window : Tensor, shape (segment,)
        Positive weights.

    Yields
    ------
    Tensor, shape (..., block)
        Concatenated, the blocks have `length` samples.
    """
    segment = len(window)
    covered = starts and starts[0] == 0 and starts.step <= segment and starts[-1] + segment >= length
    if not covered or starts.step < 1 or starts[-1] >= max(1, length):
        raise ValueError(f"segments of {segment} samples at {starts} do not cover {length} samples")
    total = weight = None
    for start in starts:
        stop = min(start + segment, length)
        result = process(start, stop)
        segment_weight = window[: stop - start].to(result.device)
        if total is None or weight is None:
            total, weight = result * segment_weight, segment_weight.clone()
        else:  # pad the remainder of the previous segments to the length of this one
            missing = max(0, stop - start - total.shape[-1])
            total, weight = F.pad(total, (0, missing)), F.pad(weight, (0, missing))
            total[..., : stop - start] += result * segment_weight
            weight[: stop - start] += segment_weight
        done = length - start if start == starts[-1] else starts.step
        yield total[..., :done] / weight[:done]
        total, weight = total[..., done:], weight[done:]


def in_step(streams: Sequence[Iterator[Tensor]]) -> Iterator[list[Tensor]]:
    """Yield blocks of all streams together, cut to common lengths.

    Parameters
    ----------
    streams : sequence of iterators of Tensor, shape (..., block)
        Consecutive blocks of signals of one length. One block is taken from each stream in turn.

    Yields
    ------
    list of Tensor, shape (..., block)
        One block per stream, all of the same length, which may be zero.
    """
    waiting = [next(stream) for stream in streams]
    while True:
        common = min(block.shape[-1] for block in waiting)
        yield [block[..., :common] for block in waiting]
        blocks = [next(stream, None) for stream in streams]
        if all(block is None for block in blocks):
            return
        rests = [block[..., common:] for block in waiting]
        waiting = [
            rest if block is None else torch.cat([rest, block], dim=-1)
            for rest, block in zip(rests, blocks, strict=True)
        ]
