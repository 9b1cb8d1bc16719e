"""Batches: their seeds, and the thread that mixes ahead."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import torch
from torch import Tensor

from separation.training.loader import batch_seed
from tests.training.conftest import (
    MakeTrainer,
    run_all,
)
from tests.training.helpers import (
    BOTH,
    drawn,
    script,
    skip_training_steps,
)


def loading_threads() -> set[threading.Thread]:
    """Return the threads that mix batches."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("batches")}


def test_batch_seeds_differ_by_seed_step_and_process() -> None:
    seeds = [batch_seed(seed, step, rank) for seed in range(4) for step in range(50) for rank in range(4)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_batch_seeds_stay_as_they_are() -> None:
    """Else a run that a former version began would resume with other batches."""
    assert batch_seed(0, 0) == 7896617691693857887
    assert batch_seed(7, 100, 1) == 8117550358887080200
    assert batch_seed(2**62, 10**9, 7) == 6229152535601937214


@BOTH
def test_no_two_steps_see_the_same_batch(name: str, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(name)
    seen: list[Tensor] = []
    one_step = trainer._one_step

    def watched(sources: Tensor) -> Tensor:
        seen.append(sources.clone())
        return one_step(sources)

    monkeypatch.setattr(trainer, "_one_step", watched)
    run_all(trainer)
    assert len(seen) == 6
    for step, batch in enumerate(seen):
        assert torch.equal(batch, drawn(trainer, step)), "a batch follows from the seed of its step"
    assert len({float(batch.double().square().sum()) for batch in seen}) == 6


def test_an_error_while_mixing_is_raised_and_ends_the_thread(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("demucs")
    mix, count = trainer.sampler.batch, iter(range(100))

    def batch(draw: Any) -> Tensor:
        if next(count) == 2:
            raise OSError("the disk is gone")
        return mix(draw)

    monkeypatch.setattr(trainer.sampler, "batch", batch)
    before = loading_threads()
    with pytest.raises(OSError, match="the disk is gone"):
        run_all(trainer)
    assert trainer.step == 2
    assert not loading_threads() - before


def test_an_abandoned_run_leaves_no_thread(make_trainer: MakeTrainer) -> None:
    before = loading_threads()
    training = make_trainer("demucs").train()
    next(training)
    assert loading_threads() - before
    del training
    deadline = time.monotonic() + 60
    while loading_threads() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not loading_threads() - before


def test_the_next_batch_is_mixed_during_a_step(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = skip_training_steps(make_trainer("demucs", epochs=1, epoch_steps=5), monkeypatch)
    script(trainer, monkeypatch, [1.0])
    begun = threading.Semaphore(0)

    def batch(draw: Any) -> Tensor:
        begun.release()
        return torch.zeros(1)

    def step(sources: Tensor) -> Tensor:
        for _ in range({0: 2, 4: 0}.get(trainer.step, 1)):  # at first its own batch and the next, at last no more
            assert begun.acquire(timeout=60), "the next batch is begun before this step is done"
        return torch.zeros(1)

    monkeypatch.setattr(trainer.sampler, "batch", batch)
    monkeypatch.setattr(trainer, "_one_step", step)
    assert len(run_all(trainer)) == 5
