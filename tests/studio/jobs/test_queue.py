"""The fair queue."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from separation.studio.jobs.queue import FairQueue


def test_the_first_request_runs_and_the_others_know_their_position() -> None:
    turns = FairQueue()
    with turns.queue() as first:
        assert list(first.wait()) == []
        with turns.queue() as second, turns.queue() as third:
            assert next(second.wait(0.01)) == 1
            assert next(third.wait(0.01)) == 2
        with turns.queue() as fourth:
            assert next(fourth.wait(0.01)) == 1  # who left is not counted


def test_requests_run_one_at_a_time_in_order() -> None:
    turns, order, at_work, queued = FairQueue(), [], [], threading.Event()

    def visitor(number: int) -> None:
        with turns.queue() as turn:
            queued.set()
            for _ in turn.wait(0.01):
                pass
            at_work.append(number)
            assert at_work == [number]
            time.sleep(0.01)
            order.append(number)
            at_work.remove(number)

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=visitor, args=(number,)))
        threads[-1].start()
        assert queued.wait(60)
        queued.clear()
    for thread in threads:
        thread.join()
    assert order == sorted(order)


def test_a_failed_request_releases_the_queue() -> None:
    turns = FairQueue()
    try:
        with turns.queue():
            raise RuntimeError
    except RuntimeError:
        pass
    with turns.queue() as turn:
        assert list(turn.wait()) == []


def test_first_requests_precede_second_requests_of_other_visitors() -> None:
    turns = FairQueue()
    with ExitStack() as stack:
        places = {name: stack.enter_context(turns.queue(name[0])) for name in ("a1", "a2", "a3", "b1", "b2", "c1")}
        order = sorted(places, key=lambda name: turns.ahead_of(places[name]))
        assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_new_visitor_precedes_the_third_request_of_another() -> None:
    turns = FairQueue()
    with ExitStack() as stack:
        with turns.queue("a"):
            second, third = (stack.enter_context(turns.queue("a")) for _ in range(2))
        assert turns.ahead_of(second) == 0
        other = stack.enter_context(turns.queue("b"))
        assert (turns.ahead_of(second), turns.ahead_of(other), turns.ahead_of(third)) == (0, 1, 2)


def test_requests_beyond_the_limits_are_refused() -> None:
    turns = FairQueue(most_of_one=2, most=3)
    with turns.queue("a"), turns.queue("a"):
        with pytest.raises(ValueError, match="2 of your requests are in the queue already"), turns.queue("a"):
            pass
        with turns.queue("b"), pytest.raises(ValueError, match="the queue is full with 3 requests"), turns.queue("c"):
            pass
        with turns.queue("c") as turn:  # there is room again
            assert turns.ahead_of(turn) == 1


def test_unidentified_requests_count_as_separate_visitors() -> None:
    turns = FairQueue(most_of_one=1)
    with turns.queue(), turns.queue() as second:
        assert turns.ahead_of(second) == 1
