"""Many excerpts of a store's samples in a few operations, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["read_excerpts", "to_device"]


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the CPU to a device; only copies from pinned memory do not wait for a GPU's earlier work."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def read_excerpts(samples: Tensor, sources: Tensor, starts: Tensor, bounds: Tensor, length: int) -> Tensor:
    """Return excerpts of single sources, with zeros outside of their recordings.

    Parameters
    ----------
    samples : Tensor, shape (time, sources, channels)
        All recordings, end to end.
    sources, starts : Tensor, shape (excerpts,), int64
        The source of every excerpt and the position of its first sample along `samples`. On the CPU, like `bounds`.
    bounds : Tensor, shape (excerpts, 2), int64
        Positions where the excerpt's recording begins and ends.
    length : int
        Length of the excerpts in samples.

    Returns
    -------
    Tensor, shape (excerpts, channels, length), of the type of `samples`
    """
    numbers = torch.stack([starts, sources, *bounds.T])
    read_whole = _sliced_windows if samples.device.type == "cpu" else _windows
    whole = (starts >= bounds[:, 0]) & (starts + length <= bounds[:, 1])
    if whole.all():
        return read_whole(samples, numbers, length)
    excerpts = samples.new_empty(len(starts), samples.shape[-1], length)
    for chosen, read in ((whole, read_whole), (~whole, _padded_windows)):
        if chosen.any():
            where = to_device(chosen.nonzero()[:, 0], samples.device)
            excerpts[where] = read(samples, numbers[:, chosen], length)
    return excerpts


def _windows(samples: Tensor, numbers: Tensor, length: int) -> Tensor:
    """Return excerpts that lie within their recordings."""
    starts, sources, *_ = to_device(numbers, samples.device)
    windows = samples.unfold(0, length, 1)  # a view, (positions, sources, channels, length)
    return windows[starts, sources]


def _sliced_windows(samples: Tensor, numbers: Tensor, length: int) -> Tensor:
    """Return the same as `_windows`, slice by slice: on a CPU, that is three times as fast as reading by indices."""
    places = zip(numbers[0].tolist(), numbers[1].tolist(), strict=True)
    return torch.stack([samples[start : start + length, source].T for start, source in places])


def _padded_windows(samples: Tensor, numbers: Tensor, length: int) -> Tensor:
    """Return excerpts that reach beyond their recordings; their indices take more memory than their samples."""
    starts, sources, begins, ends = to_device(numbers, samples.device)[..., None]
    at = starts + torch.arange(length, device=samples.device)
    outside = (at < begins) | (at >= ends)
    return samples[at.maximum(begins).minimum(ends - 1), sources].mT.masked_fill(outside[:, None], 0)
