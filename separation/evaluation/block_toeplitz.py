"""Linear equations whose matrix consists of Toeplitz blocks, solved by the Schur algorithm.

The matrix G of the normal equations holds the correlations of n channels at lags below `taps`. Ordered by lag, it
consists of blocks of n x n numbers that depend on the difference of their row and column only. If Z shifts by one
block, then G - Z G Z^T = P^T P - N^T N, where the generators P and N have only n rows. Each step of the Schur
algorithm rotates the first block of N into that of P, which makes P a block of rows of the Cholesky factor, and then
shifts P by one block. A general factorisation takes (n taps)^3 / 3 operations, this one 4 n (n taps)^2.

The rotations are applied in the mixed form: the new P comes from the old P and N, the new N from the new P and the
old N. It makes the algorithm as stable as a general Cholesky factorisation.

References
----------
Bojanczyk, Brent, de Hoog, Sweet, "On the stability of the Bareiss and related Toeplitz factorization algorithms",
SIAM Journal on Matrix Analysis and Applications 16, 1995.
Kailath, Sayed, "Displacement structure: theory and applications", SIAM Review 37, 1995.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["solve"]

_ROWS = 8  # of a block of several lags
_JITTER = 1e-12  # added to the diagonal of a singular matrix, relative to its largest element
_TOLERANCE = (
    1e-10  # of the error of G h relative to d: 1e-15 for sound without silent bands, 1e-6 for a factor of noise
)


def solve(correlations: Tensor, target: Tensor) -> Tensor:
    """Solve G h = d, where the element of G for channel a at lag i and channel b at lag k is q[a, b, i - k].

    If G is singular up to rounding, for example because two channels are equal, a small multiple of the identity
    makes it positive definite, and iterative refinement with the original G removes the effect on the solution. Such a
    G may pass for positive definite, depending on the rounding of the processor: its solution is known by its error.

    Parameters
    ----------
    correlations : Tensor, shape (systems, channels, channels, taps), float64
        q[a, b, k] of each system for lags from 0; at negative lags, q[a, b, -k] = q[b, a, k].
    target : Tensor, shape (systems, channels, taps, columns), float64
        The right-hand sides d.

    Returns
    -------
    Tensor, shape (systems, channels, taps, columns)

    Raises
    ------
    torch.linalg.LinAlgError
        If G is not positive semidefinite, as the correlations of signals always are.
    """
    # The first column of blocks. museval adds the machine epsilon to the diagonal.
    blocks = correlations.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
    _add_to_diagonal(blocks, torch.finfo(blocks.dtype).eps)
    factor = _factorize(blocks)
    if factor is not None:
        solution = _substitute(factor, target)
        if _is_solved(blocks, solution, target):
            return solution
    if len(blocks) > 1:
        return torch.cat([solve(*system) for system in zip(correlations.split(1), target.split(1), strict=True)])
    jittered = blocks.clone()
    _add_to_diagonal(jittered, _JITTER * float(blocks[:, 0].max()))
    factor = _factorize(jittered)
    if factor is None:
        raise torch.linalg.LinAlgError("the correlations are not positive semidefinite")
    solution = _substitute(factor, target)
    for _ in range(2):
        solution += _substitute(factor, target - _multiply(blocks, solution))
    return solution


def _add_to_diagonal(blocks: Tensor, value: float) -> None:
    blocks[:, 0].diagonal(dim1=-2, dim2=-1).add_(value)


def _factorize(blocks: Tensor) -> Tensor | None:
    """Return the upper triangular Cholesky factors, or None if a G is not positive definite up to rounding.

    The small matrices of each step are computed on the CPU: on a GPU they would take milliseconds.
    """
    blocks = _grouped(blocks)
    systems, taps, n, _ = blocks.shape
    first, info = torch.linalg.cholesky_ex(blocks[:, 0].cpu(), upper=True)
    if info.any():
        return None
    row = blocks.flatten(1, 2).mT  # the first row of blocks
    P = torch.linalg.solve_triangular(first.mT.to(blocks.device), row, upper=False)
    factor = blocks.new_empty((systems, taps * n, taps * n))  # only the upper triangle is written and read
    factor[:, :n] = P
    N, P = P[..., n:], P[..., :-n]
    for step in range(1, taps):
        rotation = _rotation(P[..., :n].cpu(), N[..., :n].cpu())
        if rotation is None:
            return None
        head, *matrices = rotation
        PP, PN, NP, NN = (matrix.to(blocks.device) for matrix in matrices)
        P = (PN @ N).baddbmm_(PP, P)
        P[..., :n] = head
        factor[:, step * n : (step + 1) * n, step * n :] = P
        N, P = (NN @ N).baddbmm_(NP, P)[..., n:], P[..., :-n]
    return factor


def _grouped(blocks: Tensor) -> Tensor:
    """Return the first column of larger blocks of the same matrix, of several lags each.

    (systems, taps, channels, channels) -> (systems, taps / lags, lags * channels, lags * channels). Blocks of up to
    eight rows take fewer steps of about the same time.
    """
    systems, taps, n, _ = blocks.shape
    lags = math.gcd(taps, max(1, _ROWS // n))
    step = torch.arange(lags)
    lag = lags * torch.arange(taps // lags)[:, None, None] + step[:, None] - step  # (blocks, row, column)
    at_lag = torch.cat([blocks[:, 1:lags].flip(1).mT, blocks], dim=1)  # from -(lags - 1)
    return at_lag[:, lag + lags - 1].transpose(3, 4).reshape(systems, taps // lags, lags * n, lags * n)


def _rotation(p: Tensor, n: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None:
    """Return the rotation that makes the first block n of N zero and the first block p of P upper triangular.

    Returns the new p, and the matrices of P = PP P + PN N and N = NP P + NN N, where the second uses the new P. Returns
    None if no rotation exists, since a G is not positive definite.
    """
    # The singular value decomposition makes n pairs of rows, each with a hyperbolic rotation of its own.
    reflections = torch.linalg.solve_triangular(p, n, upper=True, left=False)
    if not reflections.isfinite().all():
        return None
    left, sines, right = torch.linalg.svd(reflections)
    if sines.max() >= 1:
        return None
    sines = sines.unsqueeze(-1)
    cosines = ((1 - sines) * (1 + sines)).sqrt()
    orthogonal, head = torch.linalg.qr(cosines * (right @ p))
    PP = orthogonal.mT @ (right / cosines)
    PN = -orthogonal.mT @ (sines / cosines * left.mT)
    return head, PP, PN, -sines * orthogonal, cosines * left.mT


def _substitute(factor: Tensor, target: Tensor) -> Tensor:
    """Solve G h = d by substitution, with the factor of G: (systems, channels, taps, columns) -> the same."""
    _, channels, taps, _ = target.shape
    # Not by torch.cholesky_solve, which copies the factor: that takes ten times as long.
    forward = torch.linalg.solve_triangular(factor.mT, target.transpose(1, 2).flatten(1, 2), upper=False)
    solution = torch.linalg.solve_triangular(factor, forward, upper=True)
    return solution.unflatten(1, (taps, channels)).transpose(1, 2)


def _is_solved(blocks: Tensor, solution: Tensor, target: Tensor) -> bool:
    error = torch.linalg.vector_norm(_multiply(blocks, solution) - target, dim=(1, 2, 3))
    return not bool((error > _TOLERANCE * torch.linalg.vector_norm(target, dim=(1, 2, 3))).any())


def _multiply(blocks: Tensor, x: Tensor) -> Tensor:
    """Return G x for x (systems, channels, taps, columns), by convolution with the lags of G."""
    taps = blocks.shape[1]
    lags = torch.cat([blocks, blocks[:, 1:].flip(1).mT], dim=1)  # 0 ... taps - 1, then -(taps - 1) ... -1
    points = lags.shape[1]
    product = torch.fft.rfft(lags, dim=1) @ torch.fft.rfft(x, n=points, dim=2).transpose(1, 2)
    return torch.fft.irfft(product, n=points, dim=1)[:, :taps].transpose(1, 2)
