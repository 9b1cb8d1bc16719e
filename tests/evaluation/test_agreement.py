"""Rank correlations of ratings and metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from separation.evaluation.agreement import agreement, rank_correlation


def test_the_correlation_is_spearmans_with_ties() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        ratings, scores = random.integers(0, 8, 30).astype(float), random.normal(size=30).round(1)
        found = rank_correlation(ratings, scores)
        assert found.correlation == pytest.approx(spearmanr(ratings, scores).statistic, abs=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_the_interval_holds_the_true_correlation_as_often_as_it_says(correlation: float) -> None:
    random = np.random.default_rng(1)
    true = 6 / np.pi * np.arcsin(correlation / 2)  # Spearman's of a normal distribution with Pearson's correlation
    held = 0
    for _ in range(1000):
        pairs = random.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=20)
        found = rank_correlation(*pairs.T)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= true <= found.high
    assert held / 1000 == pytest.approx(0.95, abs=0.025)


def test_a_perfect_order_of_few_stems_proves_little() -> None:
    few, many = (rank_correlation(np.arange(n, dtype=float), np.arange(n) ** 2.0) for n in (4, 40))
    assert few.correlation == pytest.approx(1.0)
    assert few.high == pytest.approx(1.0, abs=0.01)
    assert few.low is not None
    assert many.low is not None
    assert few.low < 0 < 0.9 < many.low


def test_too_few_or_equal_ratings_have_no_correlation() -> None:
    assert rank_correlation(np.array([50.0]), np.array([1.0])).correlation is None
    assert rank_correlation(np.full(9, 50.0), np.arange(9.0)).correlation is None
    three = rank_correlation(np.arange(3.0), np.arange(3.0))
    assert (three.low, three.count) == (None, 3)


def test_stems_without_a_rating_or_a_score_do_not_count() -> None:
    rows: list[dict[str, Any]] = [
        {"rating": 10, "scores": {"SDR": 1.0}},
        {"rating": 20, "scores": {"SDR": 2.0, "new": 5.0}},
        {"rating": None, "scores": {"SDR": 3.0}},
        {"rating": 90, "scores": {}},
        {"rating": 80, "scores": {"SDR": None}},
    ]
    found = agreement(rows)
    assert {metric: its.count for metric, its in found.items()} == {"SDR": 2, "new": 1}
    assert found["SDR"].correlation == pytest.approx(1)
    assert agreement([]) == {}
