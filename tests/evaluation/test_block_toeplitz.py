"""The Schur algorithm against SciPy's general solvers, up to matrices that are singular."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import torch

from separation.evaluation import block_toeplitz

TAPS = 64


def correlate(signals: np.ndarray) -> torch.Tensor:
    """Return q[a, b, k] of signals (channels, time)."""
    padded = np.pad(signals, ((0, 0), (0, TAPS)))
    time = signals.shape[1]
    q = [[[a[:time] @ b[k : k + time] for k in range(TAPS)] for b in padded] for a in padded]
    return torch.from_numpy(np.array(q))


def gram(q: torch.Tensor) -> np.ndarray:
    """Return the matrix, ordered by lag and then by channel as the factor is."""
    lags = np.concatenate([q.numpy(), q.numpy()[..., :0:-1].swapaxes(0, 1)], axis=-1)  # lag -k is at index -k
    blocks = [[lags[:, :, i - k] for k in range(TAPS)] for i in range(TAPS)]
    return np.block(blocks) + np.finfo(float).eps * np.eye(len(q) * TAPS)


def solved(q: torch.Tensor, target: torch.Tensor) -> tuple[np.ndarray, float]:
    """Return the solution, ordered as the matrix is, and the error of G h relative to the target."""
    found = block_toeplitz.solve(q[None], target[None])[0].transpose(0, 1).flatten(0, 1).numpy()
    right = target.transpose(0, 1).flatten(0, 1).numpy()
    return found, float(np.linalg.norm(gram(q) @ found - right) / np.linalg.norm(right))


def noise(channels: int, time: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((channels, time))


def within_range(q: torch.Tensor, columns: int = 2) -> torch.Tensor:
    """Return right-hand sides that a solution exists for, as for those of projections: (channels, taps, columns)."""
    filters = np.random.default_rng(1).standard_normal((len(q) * TAPS, columns))
    return torch.from_numpy(gram(q) @ filters).unflatten(0, (TAPS, len(q))).transpose(0, 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_the_factor_is_choleskys(channels: int) -> None:
    q = correlate(noise(channels))
    factor = block_toeplitz._factorize(q.permute(2, 0, 1).contiguous()[None])
    assert factor is not None
    expected = np.linalg.cholesky(gram(q)).T
    signs = np.sign(factor[0].diagonal().numpy())  # of the rows, which are free
    np.testing.assert_allclose(factor[0].triu().numpy() * signs[:, None], expected, atol=1e-10)


def test_the_solution_is_scipys() -> None:
    q = correlate(noise(3))
    target = torch.from_numpy(np.random.default_rng(2).standard_normal((3, TAPS, 2)))
    found, _ = solved(q, target)
    expected = scipy.linalg.solve(gram(q), target.transpose(0, 1).flatten(0, 1).numpy(), assume_a="pos")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("cutoff", [0.9, 0.7, 0.3])
def test_equations_of_lowpassed_sound_are_solved_as_exactly_as_by_cholesky(cutoff: float) -> None:
    """Codecs remove high frequencies, so that the matrix is nearly singular."""
    lowpass = scipy.signal.butter(10, cutoff, output="sos")
    q = correlate(scipy.signal.sosfilt(lowpass, noise(4)))
    target = within_range(q)
    right = target.transpose(0, 1).flatten(0, 1).numpy()
    general = scipy.linalg.solve(gram(q) + 1e-12 * np.eye(4 * TAPS) * float(q.max()), right, assume_a="pos")
    _, error = solved(q, target)
    assert error < max(1e-11, 10 * float(np.linalg.norm(gram(q) @ general - right) / np.linalg.norm(right)))


@pytest.mark.parametrize(
    "signals",
    [
        np.repeat(noise(1), 2, axis=0),
        np.concatenate([noise(2), noise(2).sum(0, keepdims=True)]),
        noise(1)[[0, 0]] + 1e-9 * noise(2),
        noise(1)[[0, 0]] + 1e-7 * noise(2),
        noise(1)[[0, 0]] + 1e-6 * noise(2),
        np.concatenate([noise(1), np.zeros((1, 4000))]),
        np.sin(np.arange(4000) * [[0.1], [0.3]]),
        np.ones((2, 4000)),
    ],
    ids=[
        "equal channels",
        "dependent channels",
        "1e-9 apart",
        "1e-7 apart",
        "1e-6 apart",
        "a silent channel",
        "sines",
        "constants",
    ],
)
@pytest.mark.parametrize("level", [1.0, 1e-4, 1e4])
def test_equations_of_singular_matrices_are_solved(signals: np.ndarray, level: float) -> None:
    q = correlate(signals * level)
    _, error = solved(q, within_range(q))
    assert error < 1e-9


def test_each_system_of_several_is_solved_alone() -> None:
    """A singular one among them does not change the others."""
    systems = [correlate(noise(2)), correlate(np.repeat(noise(1), 2, axis=0)), correlate(noise(2) * 1e-3)]
    targets = [within_range(q) for q in systems]
    together = block_toeplitz.solve(torch.stack(systems), torch.stack(targets))
    for q, target, found in zip(systems, targets, together, strict=True):
        assert torch.equal(found, block_toeplitz.solve(q[None], target[None])[0])
    regular = [0, 2]
    both = block_toeplitz.solve(torch.stack(systems)[regular], torch.stack(targets)[regular])
    torch.testing.assert_close(both, together[regular], rtol=1e-9, atol=0)


def test_silence_has_filters_of_zeros() -> None:
    q = torch.zeros(2, 2, TAPS, dtype=torch.float64)
    assert not block_toeplitz.solve(q[None], torch.zeros(1, 2, TAPS, 1, dtype=torch.float64)).any()


def test_the_product_is_that_of_the_matrix() -> None:
    q = correlate(noise(3))
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((3, TAPS, 2)))
    found = (
        block_toeplitz._multiply(q.permute(2, 0, 1).contiguous()[None], x[None])[0]
        .transpose(0, 1)
        .flatten(0, 1)
        .numpy()
    )
    np.testing.assert_allclose(found, gram(q) @ x.transpose(0, 1).flatten(0, 1).numpy(), rtol=1e-10, atol=1e-6)


def test_what_is_no_correlation_is_refused() -> None:
    q = torch.ones(2, 2, TAPS, dtype=torch.float64)
    q[0, 1] = q[1, 0] = 2
    with pytest.raises(torch.linalg.LinAlgError, match="positive semidefinite"):
        block_toeplitz.solve(q[None], torch.ones(1, 2, TAPS, 1, dtype=torch.float64))


def test_the_correlations_are_left_alone() -> None:
    q = correlate(noise(1) * 1e-8)
    before = q.clone()
    block_toeplitz.solve(q[None], torch.ones(1, 1, TAPS, 1, dtype=torch.float64))
    assert torch.equal(q, before)
