"""Time-frequency masks."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["apply_mixture_phase", "binary_mask", "ratio_mask"]


def ratio_mask(magnitudes: Tensor, *, power: float = 1.0, eps: float = 1e-10) -> Tensor:
    """Return each source's share of the total, between 0 and 1.

    Parameters
    ----------
    magnitudes : Tensor, shape (sources, ...)
        Non-negative.
    power : float
        1 compares magnitudes (the ideal ratio mask of SiSEC's IRM1), 2 energies (IRM2).
    eps : float
        Added to the total, so that the masks are 0 where all sources are silent.

    Returns
    -------
    Tensor, shape (sources, ...)
        The masks sum to 1 wherever the total is well above `eps`.

    References
    ----------
    Liutkus, Badeau, "Generalized Wiener filtering with fractional power spectrograms", ICASSP 2015.

    Examples
    --------
    >>> ratio_mask(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
    tensor([[0.7500, 0.0000],
            [0.2500, 1.0000]])
    """
    if power != 1:  # relative to the loudest, since powers of the magnitudes may overflow
        magnitudes = (magnitudes / magnitudes.amax(0).clamp(min=eps)) ** power
    return magnitudes / (magnitudes.sum(0) + eps)


def binary_mask(magnitudes: Tensor) -> Tensor:
    """Return 1 for the loudest source of each bin and 0 for the others; the first one wins a tie.

    The shape is (sources, ...) before and after. The masks sum to 1 everywhere.
    """
    loudest = magnitudes.argmax(0, keepdim=True)
    return torch.zeros_like(magnitudes).scatter_(0, loudest, 1.0)


def apply_mixture_phase(magnitudes: Tensor, mixture: Tensor) -> Tensor:
    """Return complex spectrograms with the given magnitudes and the mixture's phase (0 where it is silent).

    The magnitudes have the shape (sources, channels, bins, frames), the mixture (channels, bins, frames).
    """
    size = mixture.abs()
    # A division takes a quarter of the time of atan2 and polar.
    phase = torch.where(size > 0, mixture / size, torch.ones_like(mixture))
    return magnitudes * phase
