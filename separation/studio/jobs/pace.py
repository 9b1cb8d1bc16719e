"""Estimates of the duration of jobs, learned from finished ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

__all__ = ["Clock", "Paces"]


class Paces:
    """Seconds of work per second of audio, by step of a job; a moving average over the jobs of this process."""

    def __init__(self) -> None:
        self._paces: dict[str, float] = {}

    def learn(self, measured: Mapping[str, float]) -> None:
        """Take the measured paces of finished steps into account."""
        for step, pace in measured.items():
            self._paces[step] = 0.5 * (self._paces.get(step, pace) + pace)

    def expected(self, steps: Sequence[str], seconds: float | None) -> float | None:
        """Return the expected seconds of work; None for an unknown length, or a step that was never measured."""
        if seconds is None or any(step not in self._paces for step in steps):
            return None
        return seconds * sum(self._paces[step] for step in steps)


class Clock:
    """Measures one job.

    Parameters
    ----------
    seconds : float
        Length of the song.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = self._last = time.monotonic()
        self._share: float | None = None

    def pace(self) -> float:
        """Return the seconds of work per second of audio since the last call."""
        before, self._last = self._last, time.monotonic()
        return (self._last - before) / self._seconds

    def seconds_left(self, share: float) -> float | None:
        """Return the seconds to the end if `share` of the work is done; None at the beginning."""
        if self._share is None:
            self._share = share  # what an earlier run has done
        done = share - self._share
        return (time.monotonic() - self._began) * (1 - share) / done if done > 0.02 else None
