"""Validation, the choice of the best epoch, and early stopping."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.training.conftest import (
    SOURCES,
    MakeTrainer,
    assert_same,
    run_all,
)
from tests.training.helpers import (
    BOTH,
    log_on_disk,
    networks_of,
    script,
    skip_training_steps,
    weights,
)


@pytest.mark.parametrize(
    ("losses", "every", "stops"),
    [
        ([5, 4, 4, 4, 4, 4, 4, 4], 1, 5),  # as good as the best is not better
        ([5, 4, 6, 6, 3, 4, 4, 4, 4, 4], 1, 8),
        ([5, 4, 3, 2, 1, 0.9, 0.8, 0.7], 1, 8),
        ([9, 5, 9, 5, 9, 5, 9, 4], 2, 6),  # every second epoch is looked at: 2, 4 and 6
    ],
)
def test_training_stops_when_patience_runs_out(
    losses: list[float], every: int, stops: int, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("demucs", patience=3, epochs=len(losses), epoch_steps=2, validate_every=every)
    script(skip_training_steps(trainer, monkeypatch), monkeypatch, losses)
    reports = run_all(trainer)
    assert reports[-1].epoch == stops
    assert trainer.step == 2 * stops
    again = make_trainer("demucs", patience=3, epochs=len(losses), epoch_steps=2, validate_every=every)
    assert run_all(again, resume=True) == [], "nor does it go on when resumed"


def test_without_patience_training_continues(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = skip_training_steps(make_trainer("demucs", epochs=30, epoch_steps=1), monkeypatch)
    script(trainer, monkeypatch, [float(epoch) for epoch in range(30)])
    assert len(run_all(trainer)) == 30


@pytest.mark.parametrize(
    ("best_by", "losses", "scores", "kept"),
    [
        ("loss", [3, 1, 2, 1], [1, 2, 4, 5], [1, 2]),
        ("sdr", [3, 1, 2, 4], [1, 3, 4, 4], [1, 2, 3]),
        ("sdr", [1, 2, 3, 4], [-5, -6, -4, 0.5], [1, 3, 4]),
        ("loss", [4, 3, 2, 1], [4, 3, 2, 1], [1, 2, 3, 4]),
    ],
)
def test_the_weights_of_the_best_epoch_are_saved(
    best_by: str,
    losses: list[float],
    scores: list[float],
    kept: list[int],
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make_trainer("demucs", epochs=4, best_by=best_by)
    script(trainer, monkeypatch, losses, scores)
    by_epoch, best = {}, []
    for report in trainer.train():
        if report.validation:
            by_epoch[report.epoch] = weights(trainer)
            best += [report.epoch] * report.validation["best"]
            assert report.validation["loss"] == pytest.approx(losses[report.epoch - 1])
            assert report.validation["sdr"]["bass"] == pytest.approx(scores[report.epoch - 1], abs=1e-3)
            (path,) = trainer.run_folder.folder.glob("*.safetensors")
            for name, tensor in load_file(path).items():
                assert torch.equal(tensor, by_epoch[best[-1]][f"all.network.{name}"]), (report.epoch, name)
    assert best == kept
    assert max(trainer.log, key=trainer.validation_score)["epoch"] == kept[-1]


@BOTH
def test_validation_runs_every_n_epochs_and_at_the_end(name: str, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(name, epochs=5, validate_every=2, epoch_steps=1)
    reports = run_all(trainer)
    assert [("loss" in report.validation) for report in reports] == [False, True, False, True, True]
    assert [("valid_loss" in entry, "sdr" in entry) for entry in trainer.log] == [
        (epoch in (2, 4, 5),) * 2 for epoch in range(1, 6)
    ]


@BOTH
def test_loss_and_sdr_are_means_over_whole_tracks(
    name: str, make_trainer: MakeTrainer, validation: list[Tensor]
) -> None:
    """A source is scored on the tracks that contain it."""
    mute = validation[0].clone()
    mute[2] = 0
    tracks = [mute, validation[1]]
    trainer = make_trainer(name, epochs=1, tracks=tracks)
    (*_, last) = run_all(trainer)
    networks = networks_of(trainer, dict(trainer.objectives.state_dict()))
    losses, scores = [], []
    with torch.inference_mode():
        for track in tracks:
            loss, estimates = trainer.recipe.evaluate(networks, track)
            error = (track - estimates).double().square().sum((1, 2))
            energy = track.double().square().sum((1, 2))
            losses.append(loss.mean().item())
            scores.append((10 * torch.log10(energy / error)).tolist())
    assert scores[0][2] == -math.inf
    expected = [np.mean([s for s in column if s > -math.inf]) for column in zip(*scores, strict=True)]
    entry = trainer.log[-1]
    assert entry["valid_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert list(entry["sdr"]) == list(SOURCES)
    assert list(entry["sdr"].values()) == pytest.approx(expected, abs=1e-3)
    assert last.validation["sdr"] == entry["sdr"]
    assert len({round(score, 3) for score in expected}) == 4


def test_one_target_is_scored_against_its_own_source(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = skip_training_steps(make_trainer("open-unmix", target="bass", epochs=1), monkeypatch)
    script(trainer, monkeypatch, [1.0], [7.0])
    run_all(trainer)
    assert trainer.log[0]["sdr"] == {"bass": pytest.approx(7, abs=1e-3)}


def test_the_log_is_valid_json_if_a_source_is_always_silent(
    make_trainer: MakeTrainer, validation: list[Tensor]
) -> None:
    tracks = [track.clone() for track in validation]
    for track in tracks:
        track[0] = 0
    trainer = make_trainer("demucs", epochs=2, tracks=tracks)
    run_all(trainer)
    entries = log_on_disk(trainer)
    assert len(entries) == 2
    assert all(math.isfinite(entry["sdr"]["bass"]) for entry in entries)


def test_validation_does_not_change_the_networks(make_trainer: MakeTrainer) -> None:
    """The networks are back in training mode afterwards."""
    trainer = make_trainer("open-unmix", target="vocals")
    before = weights(trainer)
    trainer._validate()
    assert_same(weights(trainer), before)
    assert all(module.training for module in trainer.objectives.modules())


def test_validation_uses_no_dropout_and_running_statistics(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("open-unmix", target="vocals")
    assert trainer._validate() == trainer._validate()
    trainer.recipe.objectives["vocals"].network.get_buffer("bn1.running_var").mul_(3)
    assert trainer._validate() != make_trainer("open-unmix", target="vocals")._validate()


def test_a_validation_loss_that_is_not_finite_does_not_replace_the_last_checkpoint(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights can turn to NaN in an epoch's last step, when its loss was still a number."""
    trainer = make_trainer("demucs", epochs=3)
    one_step = trainer._one_step

    def last_step_breaks(sources: Tensor) -> Tensor:
        losses = one_step(sources)
        if trainer.step == 3:
            with torch.no_grad():
                for parameter in trainer.objectives.parameters():
                    parameter.fill_(math.nan)
        return losses

    monkeypatch.setattr(trainer, "_one_step", last_step_breaks)
    with pytest.raises(FloatingPointError):
        run_all(trainer)
    found = trainer.run_folder.load(torch.device("cpu"))
    assert found is not None
    assert all(torch.isfinite(tensor).all() for tensor in found[0].values())


def test_the_loss_decides_if_the_target_is_always_silent(
    make_trainer: MakeTrainer, validation: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any SDR, ``best_by = "sdr"`` goes by the loss."""
    tracks = [track.clone() for track in validation]
    for track in tracks:
        track[0] = 0
    trainer = make_trainer("open-unmix", target="vocals", best_by="sdr", tracks=tracks)
    script(skip_training_steps(trainer, monkeypatch), monkeypatch, [3.0, 2.0, 1.0])
    reports = run_all(trainer)
    assert reports[-1].validation["best"]
