"""The loop: that it learns, that a seed and a checkpoint say everything, and what is written down on the way."""

from __future__ import annotations

import copy
import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import openunmix.model
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from separation.datasets.store import StemStore
from separation.training import loader, throughput
from separation.training.loader import batch_seed
from separation.training.trainer import Trainer
from tests.conftest import relative_error
from tests.training.conftest import (
    RATE,
    RECIPES,
    SOURCES,
    MakeTrainer,
    assert_same,
    everything,
    run_all,
    run_until,
    tiny_recipe,
    without_speed,
)
from tests.training.test_open_unmix import upstreams_encoder, upstreams_network

BOTH = pytest.mark.parametrize("name", RECIPES)


def fixed_batch(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, batch: Tensor) -> Tensor:
    """The same batch at every step."""
    monkeypatch.setattr(trainer.excerpts, "batch", lambda draw: batch)
    return batch


def drawn(trainer: Trainer, step: int, rank: int = 0) -> Tensor:
    """The batch of a step."""
    generator = torch.Generator().manual_seed(batch_seed(trainer.config.seed, step, rank))
    return trainer.excerpts.batch(trainer.excerpts.draw(trainer.config.batch, generator))


def idle(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """Steps that cost nothing and change nothing."""
    monkeypatch.setattr(trainer.excerpts, "batch", lambda draw: torch.zeros(1))
    monkeypatch.setattr(trainer, "_one_step", lambda sources: torch.zeros(len(trainer.objectives)))
    return trainer


def script(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, losses: list[float], scores: list[float] | None = None
) -> None:
    """Validation losses, and SDRs in dB, by epoch."""

    def evaluate(networks: Any, sources: Tensor) -> tuple[Tensor, Tensor]:
        epoch = trainer.step // trainer.epoch_steps
        rows = torch.stack([sources[SOURCES.index(name)] for name in trainer.recipe.targets])
        error = 10 ** (-(scores[epoch - 1] if scores else 0.0) / 20)
        return torch.full((len(rows),), float(losses[epoch - 1])), rows * (1 + error)

    monkeypatch.setattr(trainer.recipe, "evaluate", evaluate)


def without_dropout(trainer: Trainer) -> Trainer:
    for module in trainer.objectives.modules():
        if isinstance(module, nn.LSTM):
            module.dropout = 0.0
    return trainer


def gradients(trainer: Trainer, name: str = "all") -> Tensor:
    found = [parameter.grad for parameter in trainer.objectives[name].parameters()]
    return torch.cat([gradient.flatten() for gradient in found if gradient is not None])


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.objectives.state_dict().items()}


def log_on_disk(trainer: Trainer) -> list[dict[str, Any]]:
    """Every line one JSON document, in the strict sense."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    lines = (trainer.run_folder.own / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


# -- it learns -------------------------------------------------------------------------------------


def test_open_unmix_learns_one_batch_by_heart(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer("open-unmix", hidden_size=16, learning_rate=0.03, epochs=1, epoch_steps=200)
    without_dropout(trainer)
    inputs = trainer.recipe.inputs(fixed_batch(trainer, monkeypatch, drawn(trainer, 0)))

    def losses() -> dict[str, float]:
        return {name: float(objective(*inputs[name]).detach()) for name, objective in trainer.recipe.objectives.items()}

    before = losses()
    for report in trainer.train():
        if report.step == 1:
            assert report.loss == pytest.approx(np.mean(list(before.values())), rel=1e-5)
        if all(loss < 0.05 * before[name] for name, loss in losses().items()):
            return
    raise AssertionError(f"200 steps were not enough: {before} became {losses()}")


def test_demucs_learns_one_batch_by_heart(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(
        "demucs", channels=16, learning_rate=5e-3, epochs=1, epoch_steps=400, batch=1, shuffle_groups=0
    )
    time = torch.arange(trainer.excerpts.length) / RATE
    tones = 0.3 * torch.sin(2 * math.pi * torch.tensor([60.0, 300, 1500, 6000])[:, None] * time)
    fixed_batch(trainer, monkeypatch, tones[None, :, None].repeat(1, 1, 2, 1))
    losses = []
    for report in trainer.train():
        losses.append(report.loss)
        if report.loss < 0.05 * losses[0]:
            assert losses[0] > 0.1
            return
    raise AssertionError(f"400 steps were not enough: {losses[::20]}")


@pytest.mark.parametrize("clip", [None, 0.5])
def test_steps_are_those_of_upstreams_trainer(make_trainer: MakeTrainer, clip: float | None) -> None:
    """Four steps of upstream's train(), clipping apart, on the same batches with the same dropout."""
    trainer = make_trainer("open-unmix", target="drums", hidden_size=16, epochs=2, batch=3, clip=clip, seed=7)
    theirs = upstreams_network(trainer.recipe, "drums").train()  # type: ignore[arg-type]
    encoder = upstreams_encoder(512, 256)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3, weight_decay=1e-5)
    expected = []
    for step in range(4):
        sources = drawn(trainer, step)
        torch.manual_seed(batch_seed(7, step))
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(theirs(encoder(sources.sum(1))), encoder(sources[:, 1].contiguous()))
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        optimizer.step()
        expected.append(loss.item())
    run_all(trainer)
    found = [loss for entry in trainer.log for loss in entry["train_loss"].values()]
    assert found == pytest.approx([np.mean(expected[:2]), np.mean(expected[2:])], rel=1e-4)
    ours = trainer.recipe.objectives["drums"].network
    for name, parameter in theirs.named_parameters():
        if name == "input_mean":
            continue  # bn1 takes it out again: its gradient is rounding, which Adam blows up
        assert relative_error(ours.get_parameter(name).detach(), parameter.detach()) <= 1e-4, name


@BOTH
def test_a_step_in_half_precision_is_finite_and_leaves_weights_in_single(name: str, make_trainer: MakeTrainer) -> None:
    halves = make_trainer(name, folder="half", epochs=1, precision="bf16")
    singles = make_trainer(name, folder="single", epochs=1, precision="fp32")
    reports = run_all(halves)
    assert {tensor.dtype for tensor in halves.objectives.state_dict().values() if tensor.is_floating_point()} == {
        torch.float32
    }
    expected = run_all(singles)
    assert reports[0].loss == pytest.approx(expected[0].loss, rel=0.02)
    assert reports[0].loss != expected[0].loss


def test_on_a_processor_precision_is_single_by_itself(make_trainer: MakeTrainer) -> None:
    assert make_trainer("demucs").precision == torch.float32


@BOTH
def test_compiled_networks_take_the_same_steps(
    name: str, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced as for a compiler, then run as they are: compiling takes longer than all other tests here."""
    compile_ = torch.compile
    compiled: list[nn.Module] = []

    def traced(module: nn.Module) -> Any:
        compiled.append(module)
        return compile_(module, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", traced)
    target = "bass" if name == "open-unmix" else "all"
    plain = make_trainer(name, folder="plain", target=target, epochs=1)
    run_all(plain)
    assert not compiled
    fast = make_trainer(name, folder="compiled", target=target, epochs=1, compile=True)
    run_all(fast)
    assert compiled == list(fast.objectives.values())
    assert list(weights(plain)) == list(weights(fast))
    for key, tensor in weights(plain).items():
        torch.testing.assert_close(weights(fast)[key], tensor, rtol=1e-3, atol=1e-4)


# -- a seed says everything ------------------------------------------------------------------------


@BOTH
def test_a_seed_says_everything(name: str, make_trainer: MakeTrainer) -> None:
    one, other, third = (
        make_trainer(name, folder=f"run {number}", ema=0.9, clip=1.0, seed=seed)
        for number, seed in enumerate((1, 1, 2))
    )
    run_all(one)
    for number, _ in enumerate(other.train()):
        torch.rand(number + 1)  # whatever else draws random numbers meanwhile
        np.random.default_rng().random()
    run_all(third)
    assert_same(everything(one), everything(other))
    assert not torch.equal(gradients(one, next(iter(one.objectives))), gradients(third, next(iter(third.objectives))))


def test_batch_seeds_differ_by_seed_step_and_process() -> None:
    seeds = [batch_seed(seed, step, rank) for seed in range(4) for step in range(50) for rank in range(4)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert batch_seed(2**62, 10**9, 7) == batch_seed(2**62, 10**9, 7)


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
def test_a_resumed_run_is_the_uninterrupted_one_bit_by_bit(
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
    assert_same(everything(last), everything(whole))
    assert_same([without_speed(entry) for entry in log_on_disk(last)], [without_speed(e) for e in log_on_disk(whole)])
    models = [json.loads((trainer.run_folder.folder / "model.json").read_text()) for trainer in (last, whole)]
    assert models[0]["files"] == models[1]["files"], "the hashes of the best weights"


@BOTH
def test_resuming_restores_every_tensor_before_the_next_step(name: str, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(name, ema=0.9, schedule="plateau")
    run_until(trainer, 4)
    before = everything(trainer)
    again = make_trainer(name, ema=0.9, schedule="plateau")
    again._load()
    assert_same(everything(again), before)


def test_a_finished_run_that_is_resumed_is_left_as_it_is(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("demucs")
    run_all(trainer)
    before = log_on_disk(trainer)
    again = make_trainer("demucs")
    assert run_all(again, resume=True) == []
    assert_same(everything(again), everything(trainer))
    assert log_on_disk(again) == before


def test_more_epochs_may_be_asked_for_when_resuming(make_trainer: MakeTrainer) -> None:
    run_all(make_trainer("demucs", folder="longer", epochs=2))
    longer = make_trainer("demucs", folder="longer", epochs=3)
    run_all(longer, resume=True)
    whole = make_trainer("demucs", folder="whole", epochs=3)
    run_all(whole)
    assert_same(everything(longer), everything(whole))


def test_other_data_is_refused_when_resuming(make_trainer: MakeTrainer) -> None:
    run_until(make_trainer("demucs"), 2)
    again = make_trainer("demucs")
    again.store = copy.copy(again.store)
    again.store.fingerprint = "another"
    with pytest.raises(ValueError, match="data"):
        run_all(again, resume=True)


# -- one step --------------------------------------------------------------------------------------


def test_parts_of_a_batch_add_up_to_its_gradients(make_trainer: MakeTrainer) -> None:
    """Demucs has nothing that mixes the items of a batch."""
    found = []
    for parts in (1, 2, 4):
        trainer = make_trainer("demucs", folder=f"{parts}", shuffle_groups=0, accumulate=parts, epochs=1)
        (first, *_) = trainer.train()
        found.append((first.loss, gradients(trainer)))
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        assert relative_error(gradient, found[0][1]) <= 1e-3  # the absolute error's slope jumps where it is zero


def test_parts_of_open_unmixs_batches_are_normalised_by_themselves(make_trainer: MakeTrainer) -> None:
    """Batch normalisation sees a part at a time: the gradients are the mean of the parts', not the batch's."""
    trainer = without_dropout(make_trainer("open-unmix", target="bass", accumulate=2, epochs=1))
    objective = copy.deepcopy(trainer.recipe.objectives["bass"])
    losses = []
    for part in drawn(trainer, 0).chunk(2):
        losses.append(objective(*trainer.recipe.inputs(part)["bass"]))
        (losses[-1] / 2).backward()
    first = next(iter(trainer.train()))
    assert first.loss == pytest.approx(float(torch.stack(losses).detach().mean()), rel=1e-5)
    expected = torch.cat(
        [parameter.grad.flatten() for parameter in objective.parameters() if parameter.grad is not None]
    )
    assert relative_error(gradients(trainer, "bass"), expected) <= 1e-5
    whole = without_dropout(make_trainer("open-unmix", folder="whole", target="bass", epochs=1))
    next(iter(whole.train()))
    assert relative_error(gradients(whole, "bass"), expected) > 1e-3


def test_gradients_do_not_pile_up_over_the_steps(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("demucs", epochs=1, epoch_steps=2)
    training = trainer.train()
    next(training)
    objective = copy.deepcopy(trainer.recipe.objectives["all"])
    next(training)
    objective.zero_grad()
    objective(*trainer.recipe.inputs(drawn(trainer, 1))["all"]).backward()
    expected = torch.cat(
        [parameter.grad.flatten() for parameter in objective.parameters() if parameter.grad is not None]
    )
    assert relative_error(gradients(trainer), expected) <= 1e-5


def test_each_networks_gradient_is_clipped_by_its_own_length(make_trainer: MakeTrainer) -> None:
    free = without_dropout(make_trainer("open-unmix", folder="free", epochs=1, epoch_steps=1))
    run_all(free)
    lengths = {name: float(gradients(free, name).norm()) for name in SOURCES}
    limit = float(np.median(list(lengths.values())))
    clipped = without_dropout(make_trainer("open-unmix", folder="clipped", epochs=1, epoch_steps=1, clip=limit))
    run_all(clipped)
    for name, length in lengths.items():
        found = gradients(clipped, name)
        assert float(found.norm()) == pytest.approx(min(length, limit), rel=1e-4), name
        assert relative_error(found, gradients(free, name) * min(1, limit / length)) <= 1e-4, name
    assert sum(length > 1.01 * limit for length in lengths.values()) == 2


def test_the_running_average_is_of_all_weights_after_each_step(make_trainer: MakeTrainer) -> None:
    """It is what is validated and kept."""
    trainer = make_trainer("open-unmix", target="other", ema=0.8, epochs=3, epoch_steps=3, learning_rate=0.01)
    assert trainer.average is not None
    average: dict[str, Tensor] = {}
    best = -math.inf
    for report in trainer.train():
        now = {name: tensor.double() for name, tensor in weights(trainer).items()}
        average = {name: 0.8 * average[name] + 0.2 * now[name] for name in now} if average else now
        found = dict(trainer.average.module.state_dict())
        for name, tensor in average.items():
            if not name.endswith("num_batches_tracked"):
                torch.testing.assert_close(found[name].double(), tensor, rtol=1e-5, atol=1e-7, msg=name)
        if not report.validation:
            continue
        assert relative_error(found["other.network.fc1.weight"], now["other.network.fc1.weight"]) > 1e-3
        with torch.inference_mode():
            networks = networks_of(trainer, found)
            losses = [trainer.recipe.evaluate(networks, track)[0].mean().item() for track in trainer.validation]
        assert report.validation["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
        assert report.validation["best"] == (-report.validation["loss"] > best)
        best = max(best, -report.validation["loss"])
        if report.validation["best"]:
            (path,) = trainer.run_folder.folder.glob("*.safetensors")
            for name, tensor in load_file(path).items():
                assert torch.equal(tensor, found[f"other.network.{name}"]), name


def networks_of(trainer: Trainer, state: dict[str, Tensor]) -> dict[str, nn.Module]:
    """Copies of a trainer's networks with other weights, ready to be used."""
    objectives = copy.deepcopy(trainer.objectives)
    objectives.load_state_dict(state)
    return {name: module.network.eval() for name, module in objectives.items()}  # type: ignore[union-attr]


def test_all_targets_at_once_are_trained_as_each_by_itself(make_trainer: MakeTrainer) -> None:
    together = without_dropout(make_trainer("open-unmix", folder="together", epochs=1, epoch_steps=3, clip=1.0))
    start = {name: copy.deepcopy(objective.state_dict()) for name, objective in together.recipe.objectives.items()}
    run_all(together)
    for name in SOURCES:
        alone = make_trainer("open-unmix", folder="alone", target=name, epochs=1, epoch_steps=3, clip=1.0)
        without_dropout(alone).recipe.objectives[name].load_state_dict(start[name])
        run_all(alone)
        found = together.recipe.objectives[name].state_dict()
        assert_same(dict(alone.recipe.objectives[name].state_dict()), dict(found))
        assert alone.log[0]["train_loss"] == {name: together.log[0]["train_loss"][name]}
        assert alone.log[0]["sdr"] == {name: pytest.approx(together.log[0]["sdr"][name], abs=1e-4)}


# -- the learning rate -----------------------------------------------------------------------------


def rates_by_step(trainer: Trainer) -> list[float]:
    """That each step was made with."""
    return [trainer.optimizer.param_groups[0]["lr"] for _ in trainer.train()]


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_decay_warms_up_stays_and_falls_linearly(
    share: float, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"schedule": "decay", "decay_share": share, "epochs": 4, "epoch_steps": 50, "validate_every": 9}
    rates = rates_by_step(idle(make_trainer("demucs", **more), monkeypatch))
    assert len(rates) == 200
    for step, rate in enumerate(rates):
        warm = min(1, (step + 1) / 50)
        down = min(1, max(0.02, (200 - step) / (200 * share)))
        assert rate == pytest.approx(3e-4 * warm * down, rel=1e-9), step
    assert rates[0] == pytest.approx(6e-6)
    if share == 0.4:
        assert set(rates[49:121]) == {3e-4}
    assert rates[-1] == pytest.approx(3e-4 * 0.02)


def test_the_rate_is_the_one_that_steps_are_made_with(make_trainer: MakeTrainer) -> None:
    """Adam's first step moves every weight by just that much."""
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
    script(idle(trainer, monkeypatch), monkeypatch, losses)
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
def test_without_a_reason_the_rate_stays(
    schedule: str, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = idle(make_trainer("demucs", schedule=schedule, epochs=10, plateau_patience=3), monkeypatch)
    better = [1 / epoch for epoch in range(1, 11)]
    script(trainer, monkeypatch, better if schedule == "plateau" else better[::-1])
    assert set(rates_by_step(trainer)) == {3e-4}


# -- stopping early, and the best ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "every", "stops"),
    [
        ([5, 4, 4, 4, 4, 4, 4, 4], 1, 5),  # as good as the best is not better
        ([5, 4, 6, 6, 3, 4, 4, 4, 4, 4], 1, 8),
        ([5, 4, 3, 2, 1, 0.9, 0.8, 0.7], 1, 8),
        ([9, 5, 9, 5, 9, 5, 9, 4], 2, 6),  # every second epoch is looked at: 2, 4 and 6
    ],
)
def test_it_stops_when_nothing_gets_better(
    losses: list[float], every: int, stops: int, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("demucs", patience=3, epochs=len(losses), epoch_steps=2, validate_every=every)
    script(idle(trainer, monkeypatch), monkeypatch, losses)
    reports = run_all(trainer)
    assert reports[-1].epoch == stops
    assert trainer.step == 2 * stops
    again = make_trainer("demucs", patience=3, epochs=len(losses), epoch_steps=2, validate_every=every)
    assert run_all(again, resume=True) == [], "nor does it go on when resumed"


def test_without_patience_it_goes_on(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = idle(make_trainer("demucs", epochs=30, epoch_steps=1), monkeypatch)
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
def test_the_best_epochs_weights_are_kept(
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
    assert max(trainer.log, key=trainer.merit)["epoch"] == kept[-1]


@BOTH
def test_validation_is_every_so_many_epochs_and_at_the_end(name: str, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(name, epochs=5, validate_every=2, epoch_steps=1)
    reports = run_all(trainer)
    assert [("loss" in report.validation) for report in reports] == [False, True, False, True, True]
    assert [("valid_loss" in entry, "sdr" in entry) for entry in trainer.log] == [
        (epoch in (2, 4, 5),) * 2 for epoch in range(1, 6)
    ]


# -- validation ------------------------------------------------------------------------------------


@BOTH
def test_loss_and_sdr_are_those_of_the_whole_tracks(
    name: str, make_trainer: MakeTrainer, validation: list[Tensor]
) -> None:
    """A source is scored by the tracks in which it can be heard."""
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
    trainer = idle(make_trainer("open-unmix", target="bass", epochs=1), monkeypatch)
    script(trainer, monkeypatch, [1.0], [7.0])
    run_all(trainer)
    assert trainer.log[0]["sdr"] == {"bass": pytest.approx(7, abs=1e-3)}


def test_the_log_is_json_where_a_source_is_never_heard(make_trainer: MakeTrainer, validation: list[Tensor]) -> None:
    tracks = [track.clone() for track in validation]
    for track in tracks:
        track[0] = 0
    trainer = make_trainer("demucs", epochs=2, tracks=tracks)
    run_all(trainer)
    entries = log_on_disk(trainer)
    assert len(entries) == 2
    assert all(math.isfinite(entry["sdr"]["bass"]) for entry in entries)


def test_validation_leaves_the_networks_as_they_were(make_trainer: MakeTrainer) -> None:
    """But for being ready to train."""
    trainer = make_trainer("open-unmix", target="vocals")
    before = weights(trainer)
    trainer._validate()
    assert_same(weights(trainer), before)
    assert all(module.training for module in trainer.objectives.modules())


def test_networks_are_validated_without_dropout_by_their_running_statistics(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("open-unmix", target="vocals")
    assert trainer._validate() == trainer._validate()
    trainer.recipe.objectives["vocals"].network.get_buffer("bn1.running_var").mul_(3)
    assert trainer._validate() != make_trainer("open-unmix", target="vocals")._validate()


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("name", RECIPES)
def test_a_loss_that_is_not_finite_stops_the_run_and_says_which_batch(
    name: str, poison: float, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(name, epochs=4)
    loader: list[Tensor] = []
    mix = trainer.excerpts.batch

    def batch(draw: Any) -> Tensor:
        loader.append(mix(draw))
        broken = loader[-1].clone()
        broken[0, 0, 0, 500] = poison if len(loader) == 6 else broken[0, 0, 0, 500]
        return broken

    monkeypatch.setattr(trainer.excerpts, "batch", batch)
    with pytest.raises(FloatingPointError) as caught:
        run_all(trainer)
    monkeypatch.undo()
    seed = batch_seed(42, 5)
    assert "at step 5 " in str(caught.value)
    assert f"the batch's seed is {seed}," in str(caught.value)
    *entries, last = log_on_disk(trainer)
    assert [entry["epoch"] for entry in entries] == [1, 2]
    assert (last["not finite"]["step"], last["not finite"]["batch_seed"]) == (5, seed)
    assert any(value in ("nan", "inf") for value in last["not finite"]["losses"])
    again = trainer.excerpts.draw(4, torch.Generator().manual_seed(last["not finite"]["batch_seed"]))
    assert torch.equal(trainer.excerpts.batch(again), loader[5])

    # Step 4 was fine but is gone; the run goes on from the last checkpoint as if nothing had been.
    found = trainer.run_folder.load(torch.device("cpu"))
    assert found is not None
    assert found[1]["step"] == 4
    assert all(torch.isfinite(tensor).all() for tensor in found[0].values())
    resumed, whole = make_trainer(name, epochs=4), make_trainer(name, folder="whole", epochs=4)
    run_all(resumed, resume=True)
    run_all(whole)
    assert_same(everything(resumed), everything(whole))
    assert [entry["epoch"] for entry in log_on_disk(resumed)] == [1, 2, 3, 4]


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


def test_what_goes_wrong_while_mixing_is_said_and_the_thread_ends(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("demucs")
    mix, count = trainer.excerpts.batch, iter(range(100))

    def batch(draw: Any) -> Tensor:
        if next(count) == 2:
            raise OSError("the disk is gone")
        return mix(draw)

    monkeypatch.setattr(trainer.excerpts, "batch", batch)
    threads = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        run_all(trainer)
    assert trainer.step == 2
    assert threading.active_count() <= threads + 1  # that of the curves


def test_a_run_that_is_given_up_leaves_no_thread(make_trainer: MakeTrainer) -> None:
    training = make_trainer("demucs").train()
    next(training)
    del training
    deadline = time.monotonic() + 60
    while any("_run" in thread.name for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if "_run" in thread.name]


# -- what is written down --------------------------------------------------------------------------


def test_a_target_that_is_never_heard_does_not_leave_the_first_epochs_weights_the_best(
    make_trainer: MakeTrainer, validation: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chosen by SDR there is nothing to choose by: that is refused, or the loss decides."""
    tracks = [track.clone() for track in validation]
    for track in tracks:
        track[0] = 0
    trainer = make_trainer("open-unmix", target="vocals", best_by="sdr", tracks=tracks)
    script(idle(trainer, monkeypatch), monkeypatch, [3.0, 2.0, 1.0])
    try:
        reports = run_all(trainer)
    except ValueError as error:
        assert "vocals" in str(error)
    else:
        assert reports[-1].validation["best"]


@BOTH
def test_a_log_entry_holds_the_epochs_mean_losses(
    name: str, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(name, epochs=2, epoch_steps=3)
    losses: list[Tensor] = []
    one_step = trainer._one_step

    def watched(sources: Tensor) -> Tensor:
        losses.append(one_step(sources))
        return losses[-1]

    monkeypatch.setattr(trainer, "_one_step", watched)
    reports = run_all(trainer)
    assert [report.loss for report in reports] == pytest.approx([float(loss.mean()) for loss in losses], rel=1e-6)
    for epoch, entry in enumerate(log_on_disk(trainer)):
        mean = torch.stack(losses[3 * epoch : 3 * epoch + 3]).mean(0)
        assert list(entry["train_loss"]) == list(trainer.objectives)
        assert list(entry["train_loss"].values()) == pytest.approx(mean.tolist(), rel=1e-6)
        assert (entry["epoch"], entry["step"]) == (epoch + 1, 3 * epoch + 3)
        assert reports[3 * epoch + 2].validation["train"] == pytest.approx(float(mean.mean()), rel=1e-6)


def test_a_run_that_was_stopped_before_its_last_log_entry_gets_it_when_resumed(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("demucs", epochs=2, epoch_steps=1)
    log = trainer.run_folder.log

    def killed(entries: list[dict[str, Any]]) -> None:
        if len(entries) == 2:
            raise KeyboardInterrupt
        log(entries)

    monkeypatch.setattr(trainer.run_folder, "log", killed)
    with pytest.raises(KeyboardInterrupt):
        run_all(trainer)
    again = make_trainer("demucs", epochs=2, epoch_steps=1)
    run_all(again, resume=True)
    assert [entry["epoch"] for entry in log_on_disk(again)] == [1, 2]


def events(trainer: Trainer) -> EventAccumulator:
    found = EventAccumulator(str(trainer.run_folder.own), size_guidance={"scalars": 0, "audio": 0})
    found.Reload()
    return found


@BOTH
def test_tensorboard_shows_curves_and_sounds(name: str, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(name)
    run_all(trainer)
    found = events(trainer)
    expected = {"learning rate", "examples per second", "validation loss"}
    expected |= {f"training loss/{objective}" for objective in trainer.objectives}
    expected |= {f"validation SDR in dB/{source}" for source in SOURCES}
    assert set(found.Tags()["scalars"]) == expected
    for tag, values in {
        "learning rate": [entry["learning_rate"] for entry in trainer.log],
        "validation loss": [entry["valid_loss"] for entry in trainer.log],
        "validation SDR in dB/drums": [entry["sdr"]["drums"] for entry in trainer.log],
        f"training loss/{next(iter(trainer.objectives))}": [
            next(iter(entry["train_loss"].values())) for entry in trainer.log
        ],
    }.items():
        assert [event.step for event in found.Scalars(tag)] == [2, 4, 6]
        assert [event.value for event in found.Scalars(tag)] == pytest.approx(values, rel=1e-5)
    assert set(found.Tags()["audio"]) == set(SOURCES)
    best = [
        entry["step"]
        for number, entry in enumerate(trainer.log)
        if trainer.merit(entry) > max([trainer.merit(other) for other in trainer.log[:number]], default=-math.inf)
    ]
    sounds = found.Audio("bass")
    assert [event.step for event in sounds] == best, "the sounds are those of what is kept"
    assert sounds[0].sample_rate == RATE
    assert sounds[0].length_frames == trainer.validation[0].shape[-1]
    assert sounds[0].encoded_audio_string[:4] == b"RIFF"


def test_tensorboard_hides_what_a_resumed_run_does_again(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("demucs")
    save = trainer.run_folder.save
    monkeypatch.setattr(trainer.run_folder, "save", lambda *args: None if trainer.step == 4 else save(*args))
    run_until(trainer, 4)  # the second epoch was drawn, but its checkpoint never came to be
    time.sleep(1.1)  # event files are sorted by the second they were begun in
    again = make_trainer("demucs")
    run_all(again, resume=True)
    assert [event.step for event in events(again).Scalars("validation loss")] == [2, 4, 6]


class Clock:
    """A time that only passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_speed_waiting_and_time_left_are_of_the_training_alone(
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


def test_speed_is_of_the_recent_steps(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    trainer = idle(make_trainer("demucs", epochs=1, epoch_steps=200), monkeypatch)
    script(trainer, monkeypatch, [1.0])

    def step(sources: Tensor) -> Tensor:
        clock.now += 100 if trainer.step < 100 else 2
        return torch.zeros(1)

    monkeypatch.setattr(trainer, "_one_step", step)
    monkeypatch.setattr(throughput, "time", clock)
    speeds = [report.examples_per_second for report in trainer.train()]
    assert speeds[90] == pytest.approx(0.04)
    assert speeds[160] == pytest.approx(2)


def test_real_speed_and_waiting_are_sane(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = idle(make_trainer("demucs", epochs=1, epoch_steps=6), monkeypatch)
    script(trainer, monkeypatch, [1.0])

    def batch(draw: Any) -> Tensor:
        time.sleep(0.1)
        return torch.zeros(1)

    monkeypatch.setattr(trainer.excerpts, "batch", batch)
    began = time.monotonic()
    *_, last = run_all(trainer)
    assert 24 / (time.monotonic() - began) <= last.examples_per_second <= 4 / 0.1
    assert 0.5 < last.waiting <= 1, "mixing is all that takes time"


def test_batches_are_mixed_while_a_step_is_made(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = idle(make_trainer("demucs", epochs=1, epoch_steps=5), monkeypatch)
    script(trainer, monkeypatch, [1.0])
    begun = threading.Semaphore(0)

    def batch(draw: Any) -> Tensor:
        begun.release()
        return torch.zeros(1)

    def step(sources: Tensor) -> Tensor:
        for _ in range({0: 2, 4: 0}.get(trainer.step, 1)):  # at first its own batch and the next, at last no more
            assert begun.acquire(timeout=60), "the next batch is begun before this step is done"
        return torch.zeros(1)

    monkeypatch.setattr(trainer.excerpts, "batch", batch)
    monkeypatch.setattr(trainer, "_one_step", step)
    assert len(run_all(trainer)) == 5


# -- epochs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ({"epoch_steps": None, "excerpts_per_track": 8}, 6),  # 3 tracks, 24 excerpts, 4 a step
        ({"epoch_steps": None, "excerpts_per_track": 7}, 6),
        ({"epoch_steps": None, "excerpts_per_track": 1, "batch": 16}, 1),
        ({"epoch_steps": 5, "excerpts_per_track": 8}, 5),
    ],
)
def test_an_epoch_shows_every_track_so_many_times(
    changed: dict[str, Any], steps: int, make_trainer: MakeTrainer
) -> None:
    assert make_trainer("demucs", **changed).epoch_steps == steps


def test_weights_to_begin_with_are_taken_as_they_are(
    store: StemStore, validation: list[Tensor], make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    """The input's statistics too: they are part of what was trained."""
    other = make_trainer("open-unmix", folder="other", target="bass", seed=5)
    with torch.no_grad():
        other.recipe.objectives["bass"].network.get_parameter("input_mean").fill_(-3.0)
    initial = {"bass": other.recipe.objectives["bass"].network.state_dict()}
    recipe = tiny_recipe("open-unmix", target="bass")
    trainer = Trainer(recipe, store, validation, other.run_folder, initial=initial)
    assert_same(weights(trainer), weights(other))


def test_upstreams_network_can_hold_what_was_trained(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("open-unmix", target="bass", epochs=1)
    run_all(trainer)
    (path,) = trainer.run_folder.folder.glob("*.safetensors")
    state = load_file(path)
    network = openunmix.model.OpenUnmix(nb_bins=257, hidden_size=8, max_bin=len(state["input_mean"]))
    network.load_state_dict(state)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in state.items())
