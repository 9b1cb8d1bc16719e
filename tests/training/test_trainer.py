"""Training steps: networks learn, gradients, clipping, averaged weights, losses that are not finite, the log."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import openunmix.model
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from separation.datasets.store import StemStore
from separation.training.loader import batch_seed
from separation.training.trainer import Trainer
from tests.conftest import relative_error
from tests.training.conftest import (
    RATE,
    RECIPES,
    SOURCES,
    MakeTrainer,
    assert_same,
    run_all,
    tiny_recipe,
    training_state,
)
from tests.training.helpers import (
    BOTH,
    drawn,
    fixed_batch,
    gradients,
    log_on_disk,
    networks_of,
    upstreams_encoder,
    upstreams_network,
    weights,
    without_dropout,
)


def test_open_unmix_overfits_one_batch(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_demucs_overfits_one_batch(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(
        "demucs", channels=16, learning_rate=5e-3, epochs=1, epoch_steps=400, batch=1, shuffle_groups=0
    )
    time = torch.arange(trainer.sampler.length) / RATE
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
def test_steps_equal_those_of_upstreams_trainer(make_trainer: MakeTrainer, clip: float | None) -> None:
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
def test_a_step_in_bfloat16_is_finite_and_keeps_float32_weights(name: str, make_trainer: MakeTrainer) -> None:
    halves = make_trainer(name, folder="half", epochs=1, precision="bf16")
    singles = make_trainer(name, folder="single", epochs=1, precision="fp32")
    reports = run_all(halves)
    assert {tensor.dtype for tensor in halves.objectives.state_dict().values() if tensor.is_floating_point()} == {
        torch.float32
    }
    expected = run_all(singles)
    assert reports[0].loss == pytest.approx(expected[0].loss, rel=0.02)
    assert reports[0].loss != expected[0].loss


@pytest.mark.slow  # fast: test_a_step_in_bfloat16_is_finite_and_keeps_float32_weights
@BOTH
def test_the_loss_curve_in_bfloat16_follows_that_in_float32(name: str, make_trainer: MakeTrainer) -> None:
    curves = []
    for precision in ("fp32", "bf16"):
        trainer = make_trainer(name, folder=precision, epochs=6, epoch_steps=25, precision=precision, ema=0.9)
        run_all(trainer)
        curves.append([np.mean(list(entry["train_loss"].values())) for entry in trainer.log])
    assert curves[0][-1] < 0.97 * curves[0][0], "the network has learned"
    assert curves[1] == pytest.approx(curves[0], rel=0.03)


def test_the_default_precision_on_a_cpu_is_float32(make_trainer: MakeTrainer) -> None:
    assert make_trainer("demucs").precision == torch.float32


@BOTH
def test_compiled_networks_take_the_same_steps(
    name: str, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks are traced but not compiled: compiling would take longer than all other tests here."""
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


def test_accumulated_gradients_equal_those_of_the_whole_batch(make_trainer: MakeTrainer) -> None:
    """No layer of Demucs mixes the items of a batch."""
    found = []
    for parts in (1, 2, 4):
        trainer = make_trainer("demucs", folder=f"{parts}", shuffle_groups=0, accumulate=parts, epochs=1)
        (first, *_) = trainer.train()
        found.append((first.loss, gradients(trainer)))
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        assert relative_error(gradient, found[0][1]) <= 1e-3  # the absolute error's slope jumps where it is zero


def test_accumulation_normalises_each_part_of_a_batch_separately(make_trainer: MakeTrainer) -> None:
    """Batch normalisation uses the statistics of a part, so gradients are the means of those of the parts."""
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


def test_gradients_are_reset_at_every_step(make_trainer: MakeTrainer) -> None:
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
    """The averaged weights are validated and saved."""
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


def test_joint_training_of_all_targets_equals_separate_training(make_trainer: MakeTrainer) -> None:
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


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("name", RECIPES)
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(
    name: str, poison: float, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(name, epochs=4)
    loader: list[Tensor] = []
    mix = trainer.sampler.batch

    def batch(draw: Any) -> Tensor:
        loader.append(mix(draw))
        broken = loader[-1].clone()
        broken[0, 0, 0, 500] = poison if len(loader) == 6 else broken[0, 0, 0, 500]
        return broken

    monkeypatch.setattr(trainer.sampler, "batch", batch)
    with pytest.raises(FloatingPointError) as caught:
        run_all(trainer)
    monkeypatch.undo()
    seed = batch_seed(42, 5)
    assert "at step 5 " in str(caught.value)
    assert f"the batch's seed is {seed}." in str(caught.value)
    *entries, last = log_on_disk(trainer)
    assert [entry["epoch"] for entry in entries] == [1, 2]
    assert (last["not finite"]["step"], last["not finite"]["batch_seed"]) == (5, seed)
    assert any(value in ("nan", "inf") for value in last["not finite"]["losses"])
    again = trainer.sampler.draw(4, torch.Generator().manual_seed(last["not finite"]["batch_seed"]))
    assert torch.equal(trainer.sampler.batch(again), loader[5])

    # Step 4 was fine but is gone; the run goes on from the last checkpoint as if nothing had been.
    found = trainer.run_folder.load(torch.device("cpu"))
    assert found is not None
    assert found[1]["step"] == 4
    assert all(torch.isfinite(tensor).all() for tensor in found[0].values())
    resumed, whole = make_trainer(name, epochs=4), make_trainer(name, folder="whole", epochs=4)
    run_all(resumed, resume=True)
    run_all(whole)
    assert_same(training_state(resumed), training_state(whole))
    assert [entry["epoch"] for entry in log_on_disk(resumed)] == [1, 2, 3, 4]


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


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ({"epoch_steps": None, "excerpts_per_track": 8}, 6),  # 3 tracks, 24 excerpts, 4 a step
        ({"epoch_steps": None, "excerpts_per_track": 7}, 6),
        ({"epoch_steps": None, "excerpts_per_track": 1, "batch": 16}, 1),
        ({"epoch_steps": 5, "excerpts_per_track": 8}, 5),
    ],
)
def test_steps_per_epoch(changed: dict[str, Any], steps: int, make_trainer: MakeTrainer) -> None:
    assert make_trainer("demucs", **changed).epoch_steps == steps


def test_initial_weights_are_used_unchanged(
    store: StemStore, validation: list[Tensor], make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    """The input statistics are used too: they are trained parameters."""
    other = make_trainer("open-unmix", folder="other", target="bass", seed=5)
    with torch.no_grad():
        other.recipe.objectives["bass"].network.get_parameter("input_mean").fill_(-3.0)
    initial = {"bass": other.recipe.objectives["bass"].network.state_dict()}
    recipe = tiny_recipe("open-unmix", target="bass")
    trainer = Trainer(recipe, store, validation, other.run_folder, initial=initial)
    assert_same(weights(trainer), weights(other))


def test_upstreams_network_loads_trained_weights(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("open-unmix", target="bass", epochs=1)
    run_all(trainer)
    (path,) = trainer.run_folder.folder.glob("*.safetensors")
    state = load_file(path)
    network = openunmix.model.OpenUnmix(nb_bins=257, hidden_size=8, max_bin=len(state["input_mean"]))
    network.load_state_dict(state)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in state.items())
