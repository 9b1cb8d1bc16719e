"""A fair queue for the shared processor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from separation.studio.jobs import cluster

__all__ = ["MAX_PER_VISITOR", "QUEUE", "FairQueue", "Ticket"]

MAX_WAITING = 64  # each waiting request holds a server thread
MAX_PER_VISITOR = 4


class FairQueue:
    """A queue whose members can see their position and leave.

    Gradio's queue does not expose pending requests, so that it can neither show a position nor cancel.
    Visitors with several requests alternate with the others: all first requests come before
    all second requests.

    Parameters
    ----------
    most_of_one, most : int
        Maximum number of requests of one visitor, and of all.
    slots : callable
        Returns how many work at once.
    """

    def __init__(
        self, most_of_one: int = MAX_PER_VISITOR, most: int = MAX_WAITING, slots: Callable[[], int] = lambda: 1
    ) -> None:
        self._most_of_one, self._most, self._slots = most_of_one, most, slots
        self._waiting: list[Ticket] = []  # by round, then in order of arrival
        self._changed = threading.Condition()

    @contextmanager
    def queue(self, visitor: object = None) -> Iterator[Ticket]:
        """Hold a place in the queue within the block, first waiting and then working.

        Parameters
        ----------
        visitor : object
            Identifies the visitor; None is a new visitor each time.

        Raises
        ------
        ValueError
            If the queue is full, or holds too many requests of this visitor.
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
            raise ValueError(f"the queue is full with {len(self._waiting)} requests: try again in a few minutes")
        now = self._waiting[0].round if self._waiting else 0
        turn.round = max([now, *(number + 1 for number in own)])
        self._waiting.append(turn)
        self._waiting.sort(key=lambda other: other.round)  # stable: keeps the order of arrival

    def ahead_of(self, turn: Ticket) -> int:
        """Return the number of requests ahead of a ticket; 0 if it is its turn."""
        slots = self._slots()
        with self._changed:
            return max(0, self._waiting.index(turn) - slots + 1)

    def seconds_ahead(self, turn: Ticket) -> float | None:
        """Return the seconds until it is a ticket's turn; None if a request ahead has no known duration."""
        with self._changed:
            ahead = [other.seconds for other in self._waiting[: self._waiting.index(turn)]]
        known = [seconds for seconds in ahead if seconds is not None]
        return sum(known) / self._slots() if len(known) == len(ahead) else None

    def count(self, visitor: object) -> int:
        """Return the number of a visitor's requests."""
        with self._changed:
            return sum(other.visitor == visitor for other in self._waiting)


class Ticket:
    """A place in the queue.

    Attributes
    ----------
    seconds : float or None
        Expected duration of what remains to be done; None if unknown.
    """

    def __init__(self, turns: FairQueue, visitor: object) -> None:
        self.visitor = visitor
        self.seconds: float | None = None
        self.round = 0
        self._turns = turns

    def wait(self, seconds: float = 0.5) -> Iterator[int]:
        """Yield the number of requests ahead until this one is next."""
        while ahead := self._turns.ahead_of(self):
            yield ahead
            with self._turns._changed:
                self._turns._changed.wait(seconds)


#: The queue for the processor, or for the workers of the cluster, shared by the pages and the API.
QUEUE = FairQueue(slots=cluster.slots)
