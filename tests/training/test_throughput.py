"""Speed, share of waiting, and remaining time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from separation.training import loader, throughput
from tests.training.conftest import (
    MakeTrainer,
    run_all,
)
from tests.training.helpers import (
    script,
    skip_training_steps,
)


class Clock:
    """A clock that advances only when a test sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_speed_waiting_and_time_left_exclude_validation(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    trainer = make_trainer("demucs", epochs=3, epoch_steps=40)

    def spend(seconds: float, value: Any) -> Any:
        clock.now += seconds
        return value

    script(trainer, monkeypatch, [1.0] * 3)
    evaluate = trainer.recipe.evaluate
    monkeypatch.setattr(trainer.recipe, "evaluate", lambda *args: spend(1000, evaluate(*args)))
    monkeypatch.setattr(trainer, "_one_step", lambda sources: spend(1, torch.zeros(1)))
    monkeypatch.setattr(loader.BatchLoader, "__next__", lambda loader: spend(3, torch.zeros(1)))
    monkeypatch.setattr(throughput, "time", clock)
    for report in trainer.train():
        assert report.examples_per_second == pytest.approx(4 / 4), report.step
        assert report.waiting == pytest.approx(3 / 4), report.step
        assert report.seconds_left == pytest.approx(4 * (120 - report.step)), report.step
        assert (report.steps, report.epochs) == (120, 3)
        assert report.epoch == 1 + (report.step - 1) // 40
    assert [entry["examples_per_second"] for entry in trainer.log] == [1, 1, 1]


def test_speed_is_measured_over_the_last_steps(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    trainer = skip_training_steps(make_trainer("demucs", epochs=1, epoch_steps=200), monkeypatch)
    script(trainer, monkeypatch, [1.0])

    def step(sources: Tensor) -> Tensor:
        clock.now += 100 if trainer.step < 100 else 2
        return torch.zeros(1)

    monkeypatch.setattr(trainer, "_one_step", step)
    monkeypatch.setattr(throughput, "time", clock)
    speeds = [report.examples_per_second for report in trainer.train()]
    assert speeds[90] == pytest.approx(0.04)
    assert speeds[160] == pytest.approx(2)


def test_the_time_that_a_step_waits_for_the_mixing_thread_is_waiting(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, asked = Clock(), threading.Semaphore(0)
    trainer = make_trainer("demucs", epochs=1, epoch_steps=6)
    script(trainer, monkeypatch, [1.0])
    take = loader.BatchLoader.__next__

    def ask(batches: loader.BatchLoader) -> Tensor:
        asked.release()
        return take(batches)

    def batch(draw: Any) -> Tensor:
        assert asked.acquire(timeout=60), "no batch is done before it is asked for"
        clock.now += 3
        return torch.zeros(1)

    def step(sources: Tensor) -> Tensor:
        clock.now += 1
        return torch.zeros(1)

    monkeypatch.setattr(loader.BatchLoader, "__next__", ask)
    monkeypatch.setattr(trainer.sampler, "batch", batch)
    monkeypatch.setattr(trainer, "_one_step", step)
    monkeypatch.setattr(throughput, "time", clock)
    reports = run_all(trainer)
    assert len(reports) == 6
    for report in reports:
        assert report.examples_per_second == pytest.approx(4 / 4), report.step
        assert report.waiting == pytest.approx(3 / 4), report.step


def test_the_wait_for_a_step_of_a_gpu_is_not_one_for_data(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    trainer = skip_training_steps(make_trainer("demucs", epochs=1, epoch_steps=20), monkeypatch)
    script(trainer, monkeypatch, [1.0])

    def batch(batches: loader.BatchLoader) -> Tensor:
        clock.now += 4
        batches.waited_for_step = 3.0
        return torch.zeros(1)

    monkeypatch.setattr(loader.BatchLoader, "__next__", batch)
    monkeypatch.setattr(throughput, "time", clock)
    for report in trainer.train():
        assert report.waiting == pytest.approx(1 / 4), report.step
        assert report.examples_per_second == pytest.approx(1)
