"""Who is next: one processor, several visitors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Turns"]


class Turns:
    """A queue whose waiting members know their place, and may leave it.

    Gradio's own queue hides a waiting visitor's request from the program: it could show no place
    and offer no way to stop.
    """

    def __init__(self) -> None:
        self._waiting: list[object] = []
        self._changed = threading.Condition()

    @contextmanager
    def queue(self) -> Iterator[Turn]:
        """Stand in the queue for as long as the block lasts, first to wait and then to work."""
        turn = Turn(self)
        with self._changed:
            self._waiting.append(turn)
        try:
            yield turn
        finally:
            with self._changed:
                self._waiting.remove(turn)
                self._changed.notify_all()

    def ahead_of(self, turn: object) -> int:
        """How many come first; 0: it is one's turn."""
        return self._waiting.index(turn)


class Turn:
    """One place in the queue."""

    def __init__(self, turns: Turns) -> None:
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
