"""Intervals and tests, with scipy as the oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from separation.evaluation.comparison import compare
from separation.evaluation.statistics import compare_methods, confidence_interval, holm, median


def test_tracks_without_a_score_are_not_counted() -> None:
    scores = {"vocals": {"ours": {"a": 1.0, "b": 3.0, "c": math.nan}}}
    row = compare(scores, "SDR")["targets"]["vocals"]["methods"]["ours"]
    assert (row["tracks"], row["median"]) == (2, 2.0)


def test_the_interval_equals_scipys() -> None:
    values = np.random.default_rng(1).normal(5, 2, 40)
    low, high = confidence_interval(values)
    theirs = stats.bootstrap((values,), np.median, method="percentile", n_resamples=10_000, random_state=3)
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.1)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.1)
    assert confidence_interval(values) == (low, high)


def test_the_interval_has_its_nominal_coverage() -> None:
    random = np.random.default_rng(2)
    inside = 0
    for _ in range(300):
        low, high = confidence_interval(random.exponential(size=50))
        inside += low <= math.log(2) <= high
    assert 0.9 <= inside / 300 <= 0.99


def test_undefined_scores_are_left_out() -> None:
    values = np.arange(1.0, 8.0)
    assert confidence_interval(np.append(values, [np.nan, np.nan])) == confidence_interval(values)
    assert median(np.append(values, np.nan)) == median(values) == 4
    assert math.isnan(median(np.array([np.nan])))


def test_perfect_estimates_count_in_medians_and_intervals() -> None:
    inf = math.inf
    assert [median(np.array(values)) for values in ([inf], [inf, inf], [1, inf], [1, 2, inf], [-inf, inf])] == [
        inf, inf, inf, 2, -inf
    ]  # fmt: skip
    assert confidence_interval(np.full(6, inf)) == (inf, inf)
    assert confidence_interval(np.array([1.0, 2, 3, 4, inf, inf, inf])) == (2, inf)
    assert not any(math.isnan(bound) for bound in confidence_interval(np.array([-inf, inf] * 5)))


def test_a_perfect_method_is_tested_against_others() -> None:
    random = np.random.default_rng(5)
    usual = {f"song {number}": float(random.normal()) for number in range(12)}
    perfect = dict.fromkeys(usual, math.inf)
    better = {track: score + 1e9 for track, score in usual.items()}
    pairs = {
        (pair.first, pair.second): pair for pair in compare_methods({"a": perfect, "b": usual, "c": dict(perfect)})
    }
    (expected,) = compare_methods({"a": better, "b": usual})
    assert pairs["a", "b"].median_difference == math.inf
    assert pairs["a", "b"].p == pytest.approx(expected.p)
    assert (pairs["a", "c"].p, pairs["a", "c"].median_difference) == (1.0, 0.0)
    assert {pair.tracks for pair in pairs.values()} == {12}


def test_fewer_than_six_tracks_have_no_interval_and_no_test() -> None:
    scores = {f"song {number}": float(number) for number in range(6)}
    better = {track: score + 1 + score / 10 for track, score in scores.items()}
    assert not any(math.isnan(bound) for bound in confidence_interval(np.array(list(scores.values()))))
    (pair,) = compare_methods({"a": scores, "b": better})
    assert pair.p == pytest.approx(2**-5)
    for tracks in range(6):
        few = dict(list(scores.items())[:tracks])
        padded = np.array([*few.values(), math.nan])
        assert all(math.isnan(bound) for bound in confidence_interval(padded))
        (pair,) = compare_methods({"a": few, "b": better})
        assert pair.tracks == tracks
        assert math.isnan(pair.p)
        assert math.isnan(pair.p_holm)
        assert math.isnan(pair.median_difference) == (tracks == 0)


def test_holm_correction_equals_a_hand_computed_example() -> None:
    found = holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005]))
    np.testing.assert_allclose(found, [0.03, 0.06, np.nan, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])


def test_pairs_are_compared_on_common_tracks() -> None:
    random = np.random.default_rng(4)
    tracks = [f"song {number}" for number in range(20)]
    floor = {track: float(random.normal()) for track in tracks}
    better = {track: score + 1 + 0.1 * float(random.normal()) for track, score in floor.items()}
    better["song 3"] = math.nan
    same = dict(floor)
    pairs = {(pair.first, pair.second): pair for pair in compare_methods({"a": floor, "b": better, "c": same})}
    assert list(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    common = [track for track in tracks if track != "song 3"]
    p = stats.wilcoxon([floor[track] - better[track] for track in common]).pvalue
    assert pairs["a", "b"].tracks == 19
    assert pairs["a", "b"].p == pytest.approx(p)
    assert pairs["a", "b"].p_holm == pytest.approx(3 * p)
    assert pairs["a", "b"].median_difference == pytest.approx(-1, abs=0.1)
    assert (pairs["a", "c"].p, pairs["a", "c"].p_holm, pairs["a", "c"].median_difference) == (1.0, 1.0, 0.0)


def test_methods_without_a_common_track_are_not_compared() -> None:
    (pair,) = compare_methods({"a": {"x": 1.0}, "b": {"y": 2.0}})
    assert pair.tracks == 0
    assert all(math.isnan(value) for value in (pair.median_difference, pair.p, pair.p_holm))
    assert compare_methods({"a": {"x": 1.0}}) == []
