"""Who is next: one processor, several visitors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["FairQueue", "Ticket"]

MAX_WAITING = 64  # each holds a thread of the server's while it waits
MAX_PER_VISITOR = 4


class FairQueue:
    """A queue whose waiting members know their place, and may leave it.

    Gradio's own queue hides a waiting visitor's request from the program: it could show no place
    and offer no way to stop.

    Visitors with several requests take turns with the others: everybody's first comes before
    anybody's second.

    Parameters
    ----------
    most_of_one, most : int
        Requests of one visitor, and of all, that are taken at a time.
    """

    def __init__(self, most_of_one: int = MAX_PER_VISITOR, most: int = MAX_WAITING) -> None:
        self._most_of_one, self._most = most_of_one, most
        self._waiting: list[Ticket] = []  # by round, then as they came
        self._changed = threading.Condition()

    @contextmanager
    def queue(self, visitor: object = None) -> Iterator[Ticket]:
        """Stand in the queue for as long as the block lasts, first to wait and then to work.

        Parameters
        ----------
        visitor : object
            Whose request it is; None is a visitor of its own each time.

        Raises
        ------
        ValueError
            If the queue is full, or there is too much of this visitor in it.
        """
        turn = Ticket(self, object() if visitor is None else visitor)
        with self._changed:
            self._take(turn)
        try:
            yield turn
        finally:
            with self._changed:
                self._waiting.remove(turn)
                self._changed.notify_all()

    def _take(self, turn: Ticket) -> None:
        own = [other.round for other in self._waiting if other.visitor == turn.visitor]
        if len(own) >= self._most_of_one:
            raise ValueError(f"{len(own)} of your requests are in the queue already: wait until one of them is done")
        if len(self._waiting) >= self._most:
            raise ValueError(f"the queue is full, {len(self._waiting)} are in it: try again in a few minutes")
        now = self._waiting[0].round if self._waiting else 0
        turn.round = max([now, *(number + 1 for number in own)])
        self._waiting.append(turn)
        self._waiting.sort(key=lambda other: other.round)  # stable: the first stays first

    def ahead_of(self, turn: Ticket) -> int:
        """How many come first; 0: it is one's turn."""
        return self._waiting.index(turn)


class Ticket:
    """One place in the queue."""

    def __init__(self, turns: FairQueue, visitor: object) -> None:
        self.visitor = visitor
        self.round = 0
        self._turns = turns

    def wait(self, seconds: float = 0.5) -> Iterator[int]:
        """How many come first, again and again until it is one's turn."""
        with self._turns._changed:
            ahead = self._turns.ahead_of(self)
        while ahead:
            yield ahead
            with self._turns._changed:
                self._turns._changed.wait(seconds)
                ahead = self._turns.ahead_of(self)
