"""Which method is best, and how sure that is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from separation.evaluation.ranking import rank_methods, rank_scores


def target(values: np.ndarray, **whole_track: float | None) -> dict[str, Any]:
    """The scores of one source: SDR second by second, and its median."""
    frames = [{"time": float(i), "duration": 1.0, "SDR": float(v)} for i, v in enumerate(values)]
    return {"SDR": float(np.median(values)), **whole_track, "frames": frames, "masks": {"average_precision": 0.5}}


def noisy(level: float, *, seed: int, seconds: int = 20) -> np.ndarray:
    return level + np.random.default_rng(seed).normal(size=seconds)


def rank(*levels: float, seconds: int = 20, **rest: Any) -> dict[str, Any]:
    methods = {f"m{i}": {"vocals": target(noisy(level, seed=i, seconds=seconds))} for i, level in enumerate(levels)}
    found = rank_methods(methods, **rest)["vocals"]["SDR"]
    assert isinstance(found, dict)
    return found


def test_a_clear_lead_is_sure() -> None:
    found = rank(3.0, 6.0, 1.0)
    assert (found["best"], found["verdict"], found["ties"], found["samples"]) == ("m1", "sure", [], 20)
    assert found["lead"] == pytest.approx(3.0, abs=0.7)
    assert found["p"] < 0.001


def test_equally_good_methods_tie_even_if_others_are_worse() -> None:
    found = rank(5.0, 5.05, 1.0)
    assert found["verdict"] == "tie"
    assert set(found["ties"]) | {found["best"]} == {"m0", "m1"}


def test_a_tie_is_not_claimed_to_be_sure_by_chance_too_often() -> None:
    """The level of the test: of equal methods, at most one in twenty is called clearly best."""
    sure = 0
    for seed in range(200):
        methods = {f"m{i}": {"x": target(noisy(0.0, seed=1000 * i + seed))} for i in range(3)}
        sure += rank_methods(methods)["x"]["SDR"]["verdict"] == "sure"
    assert sure <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)


def test_few_seconds_prove_nothing() -> None:
    found = rank(0.0, 50.0, seconds=5)
    assert (found["best"], found["verdict"], found["p"]) == ("m1", "short", None)


def test_methods_outside_are_listed_but_not_ranked() -> None:
    found = rank(3.0, 6.0, 20.0, outside=["m2"])
    assert found["best"] == "m1"
    assert found["scores"]["m2"] == pytest.approx(20, abs=1)


def test_any_metric_is_ranked_and_one_without_frames_is_not_tested() -> None:
    methods = {
        "a": {"x": target(noisy(1, seed=0), fullness=10.0)},
        "b": {"x": target(noisy(1, seed=1), fullness=30.0)},
    }
    found = rank_methods(methods)["x"]
    assert set(found) == {"SDR", "fullness"}
    assert (found["fullness"]["best"], found["fullness"]["verdict"], found["fullness"]["lead"]) == (
        "b",
        "untested",
        20.0,
    )


def test_undefined_scores_and_single_methods() -> None:
    one = {"a": {"x": {"SDR": None, "frames": [{"time": 0.0, "SDR": None}]}}, "b": {"x": target(noisy(1, seed=0))}}
    assert rank_methods(one)["x"]["SDR"]["verdict"] == "only"
    assert rank_methods({"a": one["a"]})["x"]["SDR"]["verdict"] == "none"
    assert rank_methods({}) == {}


def test_methods_need_not_have_the_same_sources_or_seconds() -> None:
    methods = {
        "a": {"x": target(noisy(9, seed=0, seconds=30))},
        "b": {"x": target(noisy(1, seed=1)), "y": target(noisy(1, seed=2))},
    }
    found = rank_methods(methods)
    assert found["x"]["SDR"]["samples"] == 20
    assert found["y"]["SDR"]["verdict"] == "only"


def test_tracks_of_a_data_set_are_samples_too() -> None:
    tracks = {
        name: dict(zip("abcdefgh", noisy(level, seed=seed, seconds=8), strict=True))
        for name, level, seed in (("a", 9, 0), ("b", 1, 1))
    }
    found = rank_scores({"a": 9.0, "b": 1.0}, tracks)
    assert (found["best"], found["verdict"], found["samples"]) == ("a", "sure", 8)
