"""How far a training is, and how fast."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Report", "Throughput"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """How far a training is; one after every step.

    Attributes
    ----------
    epoch, epochs, step, steps : int
        The epoch of this step, counted from 1, and how many there are; the steps done, and in all.
    loss : float
        Of this step, the mean over targets and processes.
    examples_per_second, seconds_left : float
        Over the recent steps, validation left out.
    waiting : float
        Share of the recent time that was spent waiting for batches.
    validation : dict
        At the end of a validated epoch: "loss", "sdr" (dB, per target) and "best" (whether it was kept).
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    examples_per_second: float
    seconds_left: float
    waiting: float
    validation: dict[str, Any] = field(default_factory=dict)


class Throughput:
    """Speed and waiting over the last steps."""

    def __init__(self, *, batch: int, epoch_steps: int, epochs: int) -> None:
        self.batch, self.epoch_steps, self.epochs = batch, epoch_steps, epochs
        self.times: list[float] = []
        self.waits: list[float] = []
        self.last = time.monotonic()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.waits.append(time.monotonic() - began)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._tick()
        yield
        self.last = time.monotonic()

    def _tick(self) -> None:
        now = time.monotonic()
        self.times.append(now - self.last)
        self.last = now
        self.times, self.waits = self.times[-50:], self.waits[-50:]

    @property
    def speed(self) -> float:
        """Examples per second."""
        return self.batch * len(self.times) / max(1e-9, sum(self.times))

    def report(self, step: int, loss: float, validation: dict[str, Any]) -> Report:
        if not validation:
            self._tick()
        steps = self.epochs * self.epoch_steps
        return Report(
            epoch=math.ceil(step / self.epoch_steps),
            epochs=self.epochs,
            step=step,
            steps=steps,
            loss=loss,
            examples_per_second=self.speed,
            seconds_left=(steps - step) * self.batch / self.speed,
            waiting=sum(self.waits) / max(1e-9, sum(self.times)),
            validation=validation,
        )
