"""From estimated spectrograms to separated ones: masks and the multichannel Wiener filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = ["apply_mixture_phase", "binary_mask", "expectation_maximization", "ratio_mask", "wiener"]

_CHUNK = 1 << 17  # complex numbers in a chunk of bins: what a processor's cache holds (32 times as many: half as fast)


def ratio_mask(magnitudes: Tensor, *, power: float = 1.0, eps: float = 1e-10) -> Tensor:
    """Each source's share of the total, between 0 and 1.

    Parameters
    ----------
    magnitudes : Tensor, shape (sources, ...)
        Non-negative.
    power : float
        1 compares magnitudes (the ideal ratio mask of SiSEC's IRM1), 2 energies (IRM2).
    eps : float
        Added to the total; where nothing sounds, the masks are 0.

    Returns
    -------
    Tensor, shape (sources, ...)
        The masks sum to 1 wherever the total is well above `eps`.

    References
    ----------
    Liutkus, Badeau, "Generalized Wiener filtering with fractional power spectrograms", ICASSP 2015.
    """
    if power != 1:  # of the ratio to the loudest: powers of the numbers themselves may overflow
        magnitudes = (magnitudes / magnitudes.amax(0).clamp(min=eps)) ** power
    return magnitudes / (magnitudes.sum(0) + eps)


def binary_mask(magnitudes: Tensor) -> Tensor:
    """1 for the loudest source of each bin, 0 for the others; the first one wins a draw.

    Shape (sources, ...) in and out; the masks sum to 1 everywhere.
    """
    loudest = magnitudes.argmax(0, keepdim=True)
    return torch.zeros_like(magnitudes).scatter_(0, loudest, 1.0)


def apply_mixture_phase(magnitudes: Tensor, mixture: Tensor) -> Tensor:
    """Complex spectrograms with the given magnitudes and the mixture's phase (0 where it is silent).

    Shape (sources, channels, bins, frames) with (channels, bins, frames).
    """
    size = mixture.abs()
    phase = torch.where(size > 0, mixture / size, torch.ones_like(mixture))  # a fourth of the time of atan2 and back
    return magnitudes * phase


def wiener(
    magnitudes: Tensor,
    mixture: Tensor,
    *,
    iterations: int = 1,
    softmask: bool = False,
    residual: bool = False,
    window: int | None = None,
    eps: float = 1e-10,
) -> Tensor:
    r"""Multichannel Wiener filter: let the estimates agree across channels.

    Each source j is modelled as Gaussian in every bin, with a power p_j(t, f) per frame and a
    spatial covariance R_j(f) that stays. From first estimates y_j, each iteration sets

    .. math::
        p_j = \tfrac{1}{C} \|y_j\|^2, \quad
        R_j = \frac{\sum_t y_j y_j^H}{\epsilon + \sum_t p_j}, \quad
        y_j = p_j R_j \Bigl(\sum_k p_k R_k + \sqrt{\epsilon} I\Bigr)^{-1} x

    For mono and stereo in closed form: one 2x2 system per bin, whatever the number of sources.
    More channels go to `norbert`. All arithmetic is in float64: on a mono mixture the
    covariances are singular up to `eps`, and float32 loses all but 22 dB there.

    Parameters
    ----------
    magnitudes : Tensor, shape (sources, channels, bins, frames)
        First estimates, non-negative.
    mixture : Tensor, shape (channels, bins, frames), complex64 or complex128
        Left unchanged.
    iterations : int
        0 stops at the first estimates.
    softmask : bool
        First estimates are shares of the mixture, instead of the magnitudes with its phase.
    residual : bool
        Add one more source: what the first estimates leave of the mixture.
    window : int, optional
        Frames over which R_j is taken as constant; the filter runs on each such stretch alone.
        None: all of them. Upstream's Open-Unmix uses 300 (7 s).
    eps : float
        Power of the white noise that is assumed in the mixture, after scaling it to at most 10.
        `norbert` defaults to the machine precision of the data, `openunmix` to 1e-10.

    Returns
    -------
    Tensor, shape (sources, or one more, channels, bins, frames)
        Complex, of the mixture's type. Their sum is the mixture, up to `eps`, if `iterations` > 0.

    References
    ----------
    Nugraha, Liutkus, Vincent, "Multichannel audio source separation with deep neural networks",
    IEEE/ACM TASLP 24(9), 2016. Duong, Vincent, Gribonval, IEEE TASLP 18(7), 2010.
    """
    if magnitudes.shape[1:] != mixture.shape:
        shapes = tuple(magnitudes.shape), tuple(mixture.shape)
        raise ValueError(f"expected (sources, channels, bins, frames) and (channels, bins, frames), got {shapes}")

    def first_estimates(bins: slice, frames: slice) -> Tensor:
        v, x = magnitudes[:, :, bins, frames].double(), mixture[:, bins, frames].to(torch.complex128)
        y = ratio_mask(v, eps=eps) * x if softmask else apply_mixture_phase(v, x)
        return torch.cat([y, (x - y.sum(0))[None]]) if residual else y

    count = magnitudes.shape[0] + residual
    return _filter(first_estimates, count, mixture, iterations=iterations, window=window, eps=eps)


def expectation_maximization(
    estimates: Tensor, mixture: Tensor, *, iterations: int = 1, window: int | None = None, eps: float = 1e-10
) -> Tensor:
    """The iterations of :func:`wiener` from complex first estimates, (sources, channels, bins, frames).

    From the true sources, one iteration is an oracle of the filter (SiSEC's MWF estimates the
    covariances in another way). The other parameters, and what comes back, are as for :func:`wiener`.
    """
    if estimates.shape[1:] != mixture.shape:
        shapes = tuple(estimates.shape), tuple(mixture.shape)
        raise ValueError(f"expected (sources, channels, bins, frames) and (channels, bins, frames), got {shapes}")

    def first_estimates(bins: slice, frames: slice) -> Tensor:
        return estimates[:, :, bins, frames].to(torch.complex128)

    return _filter(first_estimates, estimates.shape[0], mixture, iterations=iterations, window=window, eps=eps)


def _filter(
    first_estimates: Callable[[slice, slice], Tensor],
    sources: int,
    mixture: Tensor,
    *,
    iterations: int,
    window: int | None,
    eps: float,
) -> Tensor:
    """Stretch by stretch, and within it a few bins at a time: bins do not know of each other."""
    if iterations < 0:
        raise ValueError(f"iterations must be 0 or more, got {iterations}")
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1 frame, got {window}")
    channels, n_bins, n_frames = mixture.shape
    refine = _refine_closed_form if channels <= 2 else _refine_with_norbert
    estimates = mixture.new_empty((sources, channels, n_bins, n_frames))
    for frames in _slices(n_frames, window or n_frames):
        x = mixture[..., frames].to(torch.complex128)
        scale = max(1.0, float(x.abs().max()) / 10)
        for bins in _slices(n_bins, max(1, _CHUNK // (sources * channels * x.shape[-1]))):
            y = first_estimates(bins, frames)
            if iterations:
                y = refine(y / scale, x[:, bins] / scale, iterations, eps) * scale
            estimates[:, :, bins, frames] = y.to(estimates.dtype)
    return estimates


def _slices(length: int, size: int) -> Iterator[slice]:
    return (slice(first, first + size) for first in range(0, length, size))


def _refine_closed_form(y: Tensor, x: Tensor, iterations: int, eps: float) -> Tensor:
    """The iterations for one or two channels; y (sources, channels, bins, frames), x without sources."""
    # Letters: j source, c and d channel. C is the modelled covariance of the mixture, z = C^-1 x.
    for _ in range(iterations):
        power = (y.real.square() + y.imag.square()).mean(1)  # (j, bins, frames)
        weight = (eps + power.sum(-1, keepdim=True))[:, :, :, None]
        R = torch.einsum("jcft,jdft->jfcd", y, y.conj()) / weight  # (j, bins, c, d)
        C = torch.einsum("jft,jfcd->cdft", power.to(R.dtype), R)
        if x.shape[0] == 1:
            z = x / (C[0] + eps**0.5 + eps)  # norbert adds eps once more for one channel
        else:
            a, d, b = C[0, 0].real + eps**0.5, C[1, 1].real + eps**0.5, C[0, 1]
            determinant = a * d - b.real.square() - b.imag.square()
            z = torch.stack([d * x[0] - b * x[1], a * x[1] - b.conj() * x[0]]) / determinant
        y = power[:, None] * torch.einsum("jfcd,dft->jcft", R, z)
    return y


def _refine_with_norbert(y: Tensor, x: Tensor, iterations: int, eps: float) -> Tensor:
    import norbert

    refined, _, _ = norbert.expectation_maximization(
        y.permute(3, 2, 1, 0).numpy(force=True).copy(), x.permute(2, 1, 0).numpy(force=True), iterations, eps=eps
    )
    return torch.from_numpy(refined).permute(3, 2, 1, 0).to(x.device)
