"""The multichannel Wiener filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from separation.spectral.masks import apply_mixture_phase, ratio_mask
from separation.workers.threads import map_threads

__all__ = ["expectation_maximization", "wiener"]

_EPS = 1e-10  # power of the white noise that is assumed in the mixture, see :func:`wiener`
_CHUNK = 1 << 17  # complex numbers per group of bins: fits a CPU's cache (32 times as many are half as fast)


def wiener(
    magnitudes: Tensor,
    mixture: Tensor,
    *,
    iterations: int = 1,
    softmask: bool = False,
    residual: bool = False,
    window: int | None = None,
) -> Tensor:
    r"""Apply the multichannel Wiener filter, which makes the estimates consistent across channels.

    Each source j is modelled as Gaussian in every bin, with a power p_j(t, f) per frame and a
    constant spatial covariance R_j(f). From first estimates y_j, each iteration sets

    .. math::
        p_j = \tfrac{1}{C} \|y_j\|^2, \quad
        R_j = \frac{\sum_t y_j y_j^H}{\epsilon + \sum_t p_j}, \quad
        y_j = p_j R_j \Bigl(\sum_k p_k R_k + \sqrt{\epsilon} I\Bigr)^{-1} x

    where :math:`\epsilon = 10^{-10}`, as in `openunmix`, is the power of the white noise that is assumed in the
    mixture after scaling it to at most 10. (`norbert` defaults to the machine precision of the data.)

    Mono and stereo are solved in closed form, with one 2x2 system per bin for any number of sources.
    More channels are passed to `norbert`. All arithmetic is in float64: on a mono mixture the
    covariances are singular up to :math:`\epsilon`, and float32 loses all but 22 dB there.

    Parameters
    ----------
    magnitudes : Tensor, shape (sources, channels, bins, frames)
        First estimates, non-negative.
    mixture : Tensor, shape (channels, bins, frames), complex64 or complex128
        Spectrogram of the mixture; left unchanged.
    iterations : int
        Number of iterations; 0 returns the first estimates.
    softmask : bool
        Start from shares of the mixture instead of the magnitudes with its phase.
    residual : bool
        Add one more source, the part of the mixture that the first estimates leave out.
    window : int, optional
        Frames over which R_j is constant; the filter runs on each such window alone.
        None is all frames. Upstream's Open-Unmix uses 300 (7 s).

    Returns
    -------
    Tensor, shape (sources, or one more, channels, bins, frames)
        Complex, of the mixture's type. Their sum is the mixture, up to :math:`\epsilon`, if `iterations` > 0.

    Raises
    ------
    ValueError
        If the shapes do not match, `iterations` is negative, or `window` is below 1.

    References
    ----------
    Nugraha, Liutkus, Vincent, "Multichannel audio source separation with deep neural networks",
    IEEE/ACM TASLP 24(9), 2016. Duong, Vincent, Gribonval, IEEE TASLP 18(7), 2010.

    Examples
    --------
    >>> mixture = torch.randn(2, 2049, 44, dtype=torch.complex64)
    >>> estimates = wiener(mixture.abs() * torch.rand(4, 2, 2049, 44), mixture, iterations=2)
    >>> residual = mixture - estimates.sum(0)
    >>> bool(residual.norm() < 1e-3 * mixture.norm())  # -60 dB
    True
    """
    if magnitudes.shape[1:] != mixture.shape:
        shapes = tuple(magnitudes.shape), tuple(mixture.shape)
        raise ValueError(f"expected (sources, channels, bins, frames) and (channels, bins, frames), got {shapes}")
    device = mixture.device
    if device.type == "mps":  # Apple's GPUs have no float64
        magnitudes, mixture = magnitudes.cpu(), mixture.cpu()

    def first_estimates(x: Tensor, bins: slice, frames: slice) -> Tensor:
        v = magnitudes[:, :, bins, frames].mT.double()
        y = ratio_mask(v, eps=_EPS) * x if softmask else apply_mixture_phase(v, x)
        return torch.cat([y, (x - y.sum(0))[None]]) if residual else y

    count = magnitudes.shape[0] + residual
    return _filter(first_estimates, count, mixture, iterations=iterations, window=window).to(device)


def expectation_maximization(
    estimates: Tensor, mixture: Tensor, *, iterations: int = 1, window: int | None = None
) -> Tensor:
    """Run the iterations of :func:`wiener` from complex first estimates, shape (sources, channels, bins, frames).

    Starting from the true sources, one iteration is an oracle of the filter (SiSEC's MWF estimates the
    covariances in another way). Other parameters and the result are those of :func:`wiener`.
    """
    if estimates.shape[1:] != mixture.shape:
        shapes = tuple(estimates.shape), tuple(mixture.shape)
        raise ValueError(f"expected (sources, channels, bins, frames) and (channels, bins, frames), got {shapes}")

    def first_estimates(x: Tensor, bins: slice, frames: slice) -> Tensor:
        return estimates[:, :, bins, frames].mT.to(torch.complex128)

    return _filter(first_estimates, estimates.shape[0], mixture, iterations=iterations, window=window)


def _filter(
    first_estimates: Callable[[Tensor, slice, slice], Tensor],
    sources: int,
    mixture: Tensor,
    *,
    iterations: int,
    window: int | None,
) -> Tensor:
    """Filter a mixture window by window; see :func:`wiener`."""
    if iterations < 0:
        raise ValueError(f"iterations must be 0 or more, got {iterations}")
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1 frame, got {window}")
    channels, n_bins, n_frames = mixture.shape
    refine = {1: _refine_mono, 2: _refine_stereo}.get(channels, _refine_with_norbert)
    estimates = mixture.new_empty((sources, channels, n_frames, n_bins)).mT
    for frames in _slices(n_frames, window or n_frames):
        _filter_window(first_estimates, mixture, frames, estimates, refine=refine, iterations=iterations)
    return estimates


def _filter_window(
    first_estimates: Callable[[Tensor, slice, slice], Tensor],
    mixture: Tensor,
    frames: slice,
    estimates: Tensor,
    *,
    refine: Callable[[Tensor, Tensor, int, float], Tensor],
    iterations: int,
) -> None:
    """Write the `estimates` of some frames in groups of bins, which are independent."""
    x = mixture[..., frames].mT.to(torch.complex128)  # bins last, as the transform leaves them in memory
    square = max(1.0, float(_energy(x).max()) / 100)  # equivalent to scaling the mixture to a maximum of 10

    def fill(bins: slice) -> None:
        y = first_estimates(x[..., bins], bins, frames)
        if iterations:
            y = refine(y, x[..., bins], iterations, square)
        estimates[:, :, bins, frames] = y.mT

    size = max(1, _CHUNK // (estimates.shape[0] * x.shape[0] * x.shape[1]))
    chunks = list(_slices(x.shape[2], size))
    if x.device.type == "cpu":
        map_threads(fill, chunks)
    else:
        for bins in chunks:
            fill(bins)


def _slices(length: int, size: int) -> Iterator[slice]:
    return (slice(first, first + size) for first in range(0, length, size))


def _refine_mono(y: Tensor, x: Tensor, iterations: int, square: float) -> Tensor:
    eps, noise = _EPS * square, _EPS**0.5 * square
    for _ in range(iterations):
        power = _energy(y)[:, 0]  # (sources, frames, bins)
        total = power.sum(-2, keepdim=True)
        modelled = power * (total / (eps + total))
        y = (modelled * (x / (modelled.sum(0) + noise + eps)))[:, None]  # norbert adds eps once more for one channel
    return y


def _refine_stereo(y: Tensor, x: Tensor, iterations: int, square: float) -> Tensor:
    # A source's spatial covariance is [[a, b], [conj(b), d]], the mixture's is [[A, B], [conj(B), D]], and z is
    # inverse(mixture's covariance) @ x. Sources are processed one by one, so that the data stays in the CPU's cache.
    eps, noise = _EPS * square, _EPS**0.5 * square
    for _ in range(iterations):
        models = [_source_model(estimate, eps) for estimate in y]
        A = sum((power * a for power, a, _, _ in models), noise)
        B = sum((power * b for power, _, b, _ in models), x.new_zeros(()))
        D = sum((power * d for power, _, _, d in models), noise)
        scale = (A * D - _energy(B)).reciprocal_()
        z0, z1 = (x[0] * D - B * x[1]) * scale, (x[1] * A - B.conj() * x[0]) * scale
        y = torch.empty_like(y)
        for estimate, (power, a, b, d) in zip(y, models, strict=True):
            torch.mul(z0 * a + z1 * b, power, out=estimate[0])
            torch.mul(z1 * d + z0 * b.conj(), power, out=estimate[1])
    return y


def _source_model(y: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a source's power, shape (frames, bins), and its spatial covariance a, b, d, shape (bins,) each."""
    (e0, e1), (u, v), (p, q) = _energy(y), y.real, y.imag
    power = (e0 + e1) * 0.5
    weight = eps + power.sum(-2)
    b = torch.complex((u * v).sum(-2) + (p * q).sum(-2), (p * v).sum(-2) - (u * q).sum(-2))
    return power, e0.sum(-2) / weight, b / weight, e1.sum(-2) / weight


def _energy(z: Tensor) -> Tensor:
    return z.real.square() + z.imag.square()


def _refine_with_norbert(y: Tensor, x: Tensor, iterations: int, square: float) -> Tensor:
    import norbert

    scale = square**0.5
    estimates, mixture = (y / scale).permute(2, 3, 1, 0), (x / scale).permute(1, 2, 0)
    refined, _, _ = norbert.expectation_maximization(
        estimates.numpy(force=True).copy(), mixture.numpy(force=True), iterations, eps=_EPS
    )
    return torch.from_numpy(refined).permute(3, 2, 0, 1).to(x.device) * scale
