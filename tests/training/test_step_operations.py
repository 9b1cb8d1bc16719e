"""A training step launches a bounded number of operations and never waits for the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from separation.training.trainer import CHECK_EVERY
from tests.training.conftest import MakeTrainer
from tests.training.helpers import drawn

#: Operators with which a program reads values from the device.
READS = {"aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::equal"}
OPTIONS: dict[str, Any] = {"ema": 0.9, "clip": 1.0, "epochs": 2, "epoch_steps": 2 * CHECK_EVERY}
#: Recipe, target, most operations of a step, and the options that the published recipe has.
STEPS = [("open-unmix", "vocals", 1600, {}), ("demucs", "all", 1200, {"resample": True})]


@pytest.mark.parametrize(("name", "target", "most", "published"), STEPS)
def test_a_step_only_launches_operations(
    name: str,
    target: str,
    most: int,
    published: dict[str, Any],
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make_trainer(name, target=target, **OPTIONS | published)
    batch = drawn(trainer, 0)
    with trainer._wrapped():
        for _ in range(2):  # the first step also sets up the state of the optimiser
            trainer._one_step(batch)
            trainer.step += 1
        for read in ("tolist", "cpu", "numpy", "item", "__bool__", "__float__", "__int__"):
            monkeypatch.setattr(Tensor, read, _refuse)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            trainer._one_step(batch)
    operators = [event for event in profiled.events() if event.name.startswith("aten::")]
    # On a CPU, the fused optimiser reads its own step counters, which a GPU's does not.
    assert not [event.name for event in operators if event.name in READS and not in_optimizer(event)]
    assert len([event for event in operators if not in_optimizer(event)]) < most
    steps = [event.name for event in operators if event.name in ("aten::_fused_adam_", "aten::_foreach_lerp_")]
    assert sorted(steps) == ["aten::_foreach_lerp_", "aten::_fused_adam_"]


@pytest.mark.parametrize(("name", "target", "most", "published"), STEPS)
def test_a_step_copies_nothing_to_the_device(
    name: str, target: str, most: int, published: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    """Such a copy makes the host wait for a GPU. The network and the batch are on torch's device without data."""
    trainer = make_trainer(name, target=target, **OPTIONS | published)
    shape = drawn(trainer, 0).shape
    trainer.objectives.to("meta")
    with _Inputs() as inputs:
        for objective_name, arguments in trainer.recipe.inputs(torch.empty(shape, device="meta")).items():
            trainer.objectives[objective_name](*arguments)
    assert inputs.devices == {"meta"}


class _Inputs(TorchDispatchMode):
    """The devices of all tensors that operations read."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        self.devices |= {tensor.device.type for tensor in tensors}
        return function(*args, **(kwargs or {}))


def in_optimizer(event: FunctionEvent) -> bool:
    parent = event.cpu_parent
    return parent is not None and (parent.name.startswith("Optimizer.step") or in_optimizer(parent))


def _refuse(*args: object) -> None:
    raise AssertionError("a training step reads from the device")


def test_losses_are_read_every_fiftieth_step(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer("demucs", epochs=1, epoch_steps=2 * CHECK_EVERY + 10)
    monkeypatch.setattr(trainer.sampler, "batch", lambda draw: torch.zeros(1))
    monkeypatch.setattr(trainer, "_one_step", lambda sources: torch.zeros(1))
    checked: list[tuple[int, int]] = []
    monkeypatch.setattr(trainer, "_check_finite", lambda losses: checked.append((trainer.step, len(losses))))
    for _ in trainer.train():
        pass
    assert checked == [(50, 50), (100, 50), (110, 10)]


def test_a_loss_between_checks_is_reported_with_its_own_step(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("demucs", epochs=1, epoch_steps=2 * CHECK_EVERY)
    monkeypatch.setattr(trainer.sampler, "batch", lambda draw: torch.zeros(1))
    monkeypatch.setattr(trainer, "_one_step", lambda sources: torch.tensor([1.0 if trainer.step != 57 else torch.nan]))
    with pytest.raises(FloatingPointError, match="not finite at step 57 "):
        list(trainer.train())
    assert trainer.step == 2 * CHECK_EVERY


def test_the_optimizer_of_a_checkpoint_becomes_a_fused_one(make_trainer: MakeTrainer) -> None:
    """Checkpoints hold how the optimiser was implemented; a run continues with the present implementation."""
    trainer = make_trainer("demucs", epochs=1)
    list(trainer.train())
    load = trainer.run_folder.load

    def older(device: torch.device) -> Any:
        found = load(device)
        assert found is not None
        for group in found[1]["optimizer"]["param_groups"]:
            group |= {"fused": None, "foreach": True}
        return found

    resumed = make_trainer("demucs", epochs=2)
    resumed.run_folder.load = older  # type: ignore[method-assign]
    list(resumed.train(resume=True))
    assert resumed.step == 4
    assert resumed.optimizer.param_groups[0]["fused"] is True
