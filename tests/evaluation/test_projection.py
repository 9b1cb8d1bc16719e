"""The normal equations of BSSEval's filters, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch

from separation.evaluation import projection
from separation.evaluation.projection import fft_length
from separation.evaluation.signals import ArraySignals


def test_fft_lengths_equal_scipys() -> None:
    for minimum in (*range(1, 300), 44611, 88711, 1_000_003):
        assert fft_length(minimum) == scipy.fft.next_fast_len(minimum, real=True)


@pytest.fixture
def correlations(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Of three coloured channels and two estimates, at 16 lags."""
    monkeypatch.setattr(projection, "TAPS", 16)
    white = torch.randn(5, 1, 3000, generator=generator, dtype=torch.float64)
    signals = torch.cumsum(white, -1) * 0.1 + white
    return projection._correlations(ArraySignals(signals[:3]), ArraySignals(signals[3:]), torch.device("cpu"))


def gram_by_scipy(correlations: torch.Tensor) -> np.ndarray:
    q = correlations.numpy()
    count = len(q)
    blocks = [[scipy.linalg.toeplitz(q[a, b], q[b, a]) for b in range(count)] for a in range(count)]
    return np.block(blocks) + np.finfo(float).eps * np.eye(count * 16)


def test_the_filters_solve_the_normal_equations(correlations: torch.Tensor) -> None:
    rows, columns = slice(0, 3), slice(3, 5)
    (found,) = projection._fit(correlations, [rows])
    target = correlations[rows, columns].permute(0, 2, 1).reshape(48, -1).numpy()
    expected = scipy.linalg.solve(gram_by_scipy(correlations[:, :3]), target, assume_a="pos")
    np.testing.assert_allclose(found.flatten(0, 1).numpy(), expected, atol=1e-9)
