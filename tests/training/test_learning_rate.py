"""Learning rate schedules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from separation.training.trainer import Trainer
from tests.training.conftest import (
    MakeTrainer,
)
from tests.training.helpers import (
    script,
    skip_training_steps,
    weights,
)


def rates_by_step(trainer: Trainer) -> list[float]:
    """Return the learning rate of every step."""
    return [trainer.optimizer.param_groups[0]["lr"] for _ in trainer.train()]


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_decay_warms_up_stays_and_falls_linearly(
    share: float, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"schedule": "decay", "decay_share": share, "epochs": 4, "epoch_steps": 50, "validate_every": 9}
    rates = rates_by_step(skip_training_steps(make_trainer("demucs", **more), monkeypatch))
    assert len(rates) == 200
    for step, rate in enumerate(rates):
        warm = min(1, (step + 1) / 50)
        down = min(1, max(0.02, (200 - step) / (200 * share)))
        assert rate == pytest.approx(3e-4 * warm * down, rel=1e-9), step
    assert rates[0] == pytest.approx(6e-6)
    if share == 0.4:
        assert set(rates[49:121]) == {3e-4}
    assert rates[-1] == pytest.approx(3e-4 * 0.02)


def test_steps_use_the_scheduled_learning_rate(make_trainer: MakeTrainer) -> None:
    """Adam's first step moves every weight by exactly the learning rate."""
    moved = {}
    for schedule in ("constant", "decay"):
        trainer = make_trainer("demucs", folder=schedule, schedule=schedule, epochs=1, learning_rate=0.01)
        before = weights(trainer)
        next(iter(trainer.train()))
        moved[schedule] = max(float((tensor - before[name]).abs().max()) for name, tensor in weights(trainer).items())
    assert moved["constant"] == pytest.approx(0.01, rel=0.01)
    assert moved["decay"] == pytest.approx(0.01 / 50, rel=0.01)


def test_plateau_follows_the_validation_loss(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [5.0, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3.1, 3.2, 2, 2, 2, 2, 2, 2, 2]
    more = {"plateau_patience": 2, "plateau_cooldown": 1, "plateau_factor": 0.5}
    trainer = make_trainer("demucs", schedule="plateau", epochs=20, epoch_steps=1, learning_rate=1.0, **more)
    script(skip_training_steps(trainer, monkeypatch), monkeypatch, losses)
    rates = rates_by_step(trainer)

    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, cooldown=1)
    expected = []
    for loss in losses:
        scheduler.step(loss)
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates == expected
    assert expected[:5] == [1, 1, 1, 1, 0.5]
    assert expected[-1] < 0.2


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_the_learning_rate_is_constant_without_a_plateau(
    schedule: str, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = skip_training_steps(make_trainer("demucs", schedule=schedule, epochs=10, plateau_patience=3), monkeypatch)
    better = [1 / epoch for epoch in range(1, 11)]
    script(trainer, monkeypatch, better if schedule == "plateau" else better[::-1])
    assert set(rates_by_step(trainer)) == {3e-4}
