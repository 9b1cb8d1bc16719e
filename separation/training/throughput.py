"""Progress and speed of a training run."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

__all__ = ["Report", "Throughput"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The progress of a training run after a step.

    Attributes
    ----------
    epoch, epochs : int
        The epoch of this step, counted from 1, and the number of epochs.
    step, steps : int
        Number of steps done, and total number of steps.
    losses : Tensor, shape (objectives,)
        Losses of this step, averaged over processes, on the device of the training.
    examples_per_second, seconds_left : float
        Speed over the last 50 steps, excluding validation; remaining time in seconds at that speed.
    waiting : float
        Fraction of the time of these steps that was spent waiting for batches, not for a GPU to finish a step.
    validation : dict
        At the end of an epoch, "train" (mean training loss); if it was validated, also "loss", "sdr" (dB, by
        target) and "best" (True if the model was saved). Empty after other steps.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: Tensor
    examples_per_second: float
    seconds_left: float
    waiting: float
    validation: dict[str, Any] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """Loss of this step, averaged over targets and processes. Reading it waits until a GPU has computed it."""
        return float(self.losses.mean())


class Throughput:
    """A meter of speed and of time spent waiting, over the last 50 steps."""

    def __init__(self, *, batch: int, epoch_steps: int, epochs: int) -> None:
        self.batch, self.epoch_steps, self.epochs = batch, epoch_steps, epochs
        self.times: list[float] = []
        self.waits: list[float] = []
        self.last = time.monotonic()

    @contextlib.contextmanager
    def waiting(self, excluded: Callable[[], float]) -> Iterator[None]:
        """Count the time in the block as waiting, except for the seconds that `excluded` returns at its end."""
        start = time.monotonic()
        yield
        self.waits.append(max(0.0, time.monotonic() - start - excluded()))

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """End a step, and exclude the time in the block."""
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

    def report(self, step: int, losses: Tensor, validation: dict[str, Any]) -> Report:
        """End the step, unless :meth:`paused` has ended it, and return its report."""
        if not validation:
            self._tick()
        steps = self.epochs * self.epoch_steps
        return Report(
            epoch=math.ceil(step / self.epoch_steps),
            epochs=self.epochs,
            step=step,
            steps=steps,
            losses=losses,
            examples_per_second=self.speed,
            seconds_left=(steps - step) * self.batch / self.speed,
            waiting=sum(self.waits) / max(1e-9, sum(self.times)),
            validation=validation,
        )
