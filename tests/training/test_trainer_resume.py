"""A seed determines a run, and a resumed run equals an uninterrupted one bit by bit."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch

from separation.training.trainer import Trainer
from tests.training.conftest import (
    MakeTrainer,
    assert_same,
    run_all,
    run_until,
    training_state,
    without_speed,
)
from tests.training.helpers import (
    BOTH,
    gradients,
    log_on_disk,
    script,
)


@BOTH
def test_a_seed_determines_the_run(name: str, make_trainer: MakeTrainer) -> None:
    one, other, third = (
        make_trainer(name, folder=f"run {number}", ema=0.9, clip=1.0, seed=seed)
        for number, seed in enumerate((1, 1, 2))
    )
    run_all(one)
    for number, _ in enumerate(other.train()):
        torch.rand(number + 1)  # other users of random numbers
        np.random.default_rng().random()
    run_all(third)
    assert_same(training_state(one), training_state(other))
    assert not torch.equal(gradients(one, next(iter(one.objectives))), gradients(third, next(iter(third.objectives))))


def test_a_run_is_resumed_with_as_many_processes(make_trainer: MakeTrainer) -> None:
    """With others an epoch would have another number of steps, and the schedule another place."""
    run_until(make_trainer("demucs", epochs=3), 5)
    other = make_trainer("demucs", epochs=3)
    other.epoch_steps *= 2
    with pytest.raises(
        ValueError, match="an epoch had 2 steps and would now have 4: resume the run with as many processes"
    ):
        run_all(other, resume=True)


@BOTH
@pytest.mark.parametrize(
    "changed",
    [
        {"schedule": "plateau", "ema": 0.9, "plateau_patience": 1, "plateau_cooldown": 1},
        {"schedule": "decay", "ema": 0.0, "decay_share": 0.9, "clip": 0.5},
        {"schedule": "plateau", "ema": 0.0, "plateau_patience": 1, "accumulate": 2, "shuffle_groups": 2},
        {"schedule": "decay", "ema": 0.9, "accumulate": 2, "shuffle_groups": 2, "validate_every": 2},
    ],
    ids=lambda changed: ", ".join(f"{key} {value}" for key, value in changed.items()),
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    name: str, changed: dict[str, Any], make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = "vocals" if name == "open-unmix" else "all"
    losses = [1.0, 2.0, 3.0, 0.5, 0.6, 0.7]  # the plateau's rate falls after the third and the sixth

    def make(folder: str) -> Trainer:
        trainer = make_trainer(name, folder=folder, target=target, epochs=6, **changed)
        script(trainer, monkeypatch, losses, [1.0, 3.0, 2.0, 4.0, 1.0, 1.0])
        return trainer

    whole = make("whole")
    run_all(whole)
    rates = [entry["learning_rate"] for entry in whole.log]
    assert len(set(rates)) > 1, "the schedule does something"

    run_until(make("parts"), 5)  # in the middle of the third epoch
    run_until(make("parts"), 8, resume=True)  # at the end of the fourth
    last = make("parts")
    reports = run_all(last, resume=True)
    assert [report.step for report in reports] == [9, 10, 11, 12]
    assert_same(training_state(last), training_state(whole))
    assert_same([without_speed(entry) for entry in log_on_disk(last)], [without_speed(e) for e in log_on_disk(whole)])
    models = [json.loads((trainer.run_folder.folder / "model.json").read_text()) for trainer in (last, whole)]
    assert models[0]["files"] == models[1]["files"], "the hashes of the best weights"


@BOTH
def test_resuming_restores_every_tensor_before_the_next_step(name: str, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(name, ema=0.9, schedule="plateau")
    run_until(trainer, 4)
    before = training_state(trainer)
    again = make_trainer(name, ema=0.9, schedule="plateau")
    again._load_checkpoint()
    assert_same(training_state(again), before)


def test_resuming_a_finished_run_changes_nothing(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("demucs")
    run_all(trainer)
    before = log_on_disk(trainer)
    again = make_trainer("demucs")
    assert run_all(again, resume=True) == []
    assert_same(training_state(again), training_state(trainer))
    assert log_on_disk(again) == before


def test_a_run_can_be_resumed_with_more_epochs(make_trainer: MakeTrainer) -> None:
    run_all(make_trainer("demucs", folder="longer", epochs=2))
    longer = make_trainer("demucs", folder="longer", epochs=3)
    run_all(longer, resume=True)
    whole = make_trainer("demucs", folder="whole", epochs=3)
    run_all(whole)
    assert_same(training_state(longer), training_state(whole))


def test_other_data_is_refused_when_resuming(make_trainer: MakeTrainer) -> None:
    run_until(make_trainer("demucs"), 2)
    again = make_trainer("demucs")
    again.store = copy.copy(again.store)
    again.store.fingerprint = "another"
    with pytest.raises(ValueError, match="data"):
        run_all(again, resume=True)


def test_a_missing_log_entry_is_written_on_resume(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer("demucs", epochs=2, epoch_steps=1)
    log = trainer.run_folder.write_log

    def killed(entries: list[dict[str, Any]]) -> None:
        if len(entries) == 2:
            raise KeyboardInterrupt
        log(entries)

    monkeypatch.setattr(trainer.run_folder, "write_log", killed)
    with pytest.raises(KeyboardInterrupt):
        run_all(trainer)
    again = make_trainer("demucs", epochs=2, epoch_steps=1)
    run_all(again, resume=True)
    assert [entry["epoch"] for entry in log_on_disk(again)] == [1, 2]
