"""Log-WMSE: the logarithm of the error's energy, weighted by the ear's sensitivity and relative to the mixture.

The weighting filter is that of the package ``log-wmse-audio-quality`` (Nomono), whose values are reproduced; the
package itself needs an old soxr. The signals are filtered in blocks, so that memory does not grow with time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from separation.evaluation.projection import fft_length
from separation.evaluation.signals import Signals
from separation.resources import ASSETS
from separation.workers.threads import map_parts

__all__ = ["log_wmse"]

_BLOCK = 1 << 15  # samples filtered at a time
_RATE = 44100  # Hz, of the filter
_INAUDIBLE = 10 ** (-68 / 20)  # smaller errors do not count; relative to the level of the mixture
_EPS = 1e-8


def log_wmse(references: Signals, estimates: Signals, mixture: Signals, rate: int) -> np.ndarray:
    """Return -4 ln(e + 1e-8), where e is the mean square of the audible error, shape (sources,).

    Error and mixture are filtered, and the error is divided by the level of the mixture. Each channel is scored
    alone, and the mean is returned. A perfect estimate scores 73.7, also of a silent reference. A channel in which
    the mixture is silent scores 73.7 as well.

    Parameters
    ----------
    references, estimates : Signals, shape (sources, channels, time)
    mixture : Signals, shape (1, channels, time)
    rate : int
        Hz.
    """
    response = torch.from_numpy(_impulse_response(rate))
    time = references.shape[2]
    level = _mean(lambda start, stop: _filtered(mixture, start, stop, response).square_(), time).sqrt()  # (1, channels)
    scale = torch.where(level > 0, 1 / level, 0)[..., None]

    def audible(start: int, stop: int) -> Tensor:
        error = (_filtered(estimates, start, stop, response) - _filtered(references, start, stop, response)) * scale
        return torch.where(error.abs() < _INAUDIBLE, 0, error).square_()

    return (-4 * torch.log(_mean(audible, time) + _EPS)).mean(1).numpy()


def _impulse_response(rate: int) -> np.ndarray:
    """Return the impulse response of the weighting filter at a sample rate in Hz."""
    import soxr

    response = np.load(ASSETS / "filters" / "hearing-sensitivity.npy")
    if rate == _RATE:
        return response
    return np.asarray(soxr.resample(response, _RATE, rate, quality="HQ")) * _RATE / rate


def _mean(values: Callable[[int, int], Tensor], time: int) -> Tensor:
    """Return the mean over time of values (sources, channels, samples) that are computed in blocks."""

    def part(first: int, last: int) -> Tensor:
        blocks = (values(block * _BLOCK, min((block + 1) * _BLOCK, time)) for block in range(first, last))
        return torch.stack([block.sum(-1) for block in blocks]).sum(0)

    return torch.stack(map_parts(part, -(-time // _BLOCK))).sum(0) / time


def _filtered(signals: Signals, start: int, stop: int, response: Tensor) -> Tensor:
    """Return samples `start` to `stop` of the filtered signals; the filter's delay of half its length is removed."""
    taps, time = len(response), signals.shape[2]
    first, last = start + (taps - 1) // 2 - (taps - 1), stop + (taps - 1) // 2
    inside = signals.read(max(0, first), min(time, last))
    padded = F.pad(inside, (max(0, -first), max(0, last - time)))
    points = fft_length(padded.shape[-1])  # what wraps around falls on the samples before `start`
    product = torch.fft.rfft(padded, n=points) * torch.fft.rfft(response, n=points)
    return torch.fft.irfft(product, n=points)[..., taps - 1 : taps - 1 + stop - start]
