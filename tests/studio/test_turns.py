"""Who is next."""

from __future__ import annotations

import threading
import time

from separation.studio.turns import Turns


def test_the_first_does_not_wait_and_the_others_know_their_place() -> None:
    turns = Turns()
    with turns.queue() as first:
        assert list(first.wait()) == []
        with turns.queue() as second, turns.queue() as third:
            assert next(second.wait(0.01)) == 1
            assert next(third.wait(0.01)) == 2
        with turns.queue() as fourth:
            assert next(fourth.wait(0.01)) == 1  # who left is not counted


def test_work_is_done_one_at_a_time_in_order() -> None:
    turns, order, at_work = Turns(), [], []

    def visitor(number: int) -> None:
        with turns.queue() as turn:
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
        time.sleep(0.002)
    for thread in threads:
        thread.join()
    assert order == sorted(order)


def test_one_that_fails_lets_the_next_on() -> None:
    turns = Turns()
    try:
        with turns.queue():
            raise RuntimeError
    except RuntimeError:
        pass
    with turns.queue() as turn:
        assert list(turn.wait()) == []
