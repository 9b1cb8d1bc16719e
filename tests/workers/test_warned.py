"""Warnings of other processes arrive in this one."""

from __future__ import annotations

import pickle
import warnings

import pytest

from separation.workers.warned import Warned, catch_warned


def halve(number: float) -> float:
    warnings.warn(f"halving {number}", RuntimeWarning, stacklevel=1)
    warnings.warn("for developers", DeprecationWarning, stacklevel=1)
    return number / 2


def test_a_result_travels_with_its_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        answer: Warned[float] = pickle.loads(pickle.dumps(catch_warned(halve, 3.0)))
    assert answer.warnings == (("halving 3.0", RuntimeWarning),)  # what this process would not show is left out
    with pytest.warns(RuntimeWarning, match=r"halving 3\.0"):
        assert answer.unpack() == 1.5


def test_the_same_warning_of_two_songs_is_shown_twice() -> None:
    shown: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, *rest, **more: shown.append(str(message))
        for _ in range(2):
            Warned(None, (("too loud", UserWarning),)).unpack()
    assert shown == ["too loud", "too loud"]
