"""Two processes learn the same as one process with both batches joined."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor, nn
from torch.multiprocessing import start_processes
from typer.testing import CliRunner

from separation.__main__ import app
from separation.datasets.store import StemStore
from separation.training.config import TrainingConfig
from separation.training.distributed import ProcessGroup, SharedBatchNorm, join, leave, share_batch_norms
from separation.training.loader import batch_seed
from separation.training.run_folder import RunFolder
from separation.training.trainer import Trainer
from tests.conftest import ROOT, relative_error
from tests.training.conftest import (
    RECIPES,
    SOURCES,
    TINY_DEMUCS,
    TINY_OPEN_UNMIX,
    assert_same,
    read_validation,
    run_all,
    run_until,
    tiny_recipe,
    toml,
    training_state,
)

STEPS: dict[str, Any] = {"seed": 3, "epochs": 2, "epoch_steps": 2, "clip": 1.0}
ACCUMULATED: dict[str, Any] = STEPS | {"accumulate": 2, "shuffle_groups": 0}
Result = dict[str, Any]


def make_recipe(name: str, **changed: Any) -> Any:
    """Disable dropout, whose random numbers depend on the layout of the batch."""
    recipe = tiny_recipe(name, target="vocals" if name == "open-unmix" else "all", **changed)
    for objective in recipe.objectives.values():
        if name == "open-unmix":
            objective.network.lstm.dropout = 0.0
    return recipe


def make_objective(recipe: Any) -> nn.Module:
    (objective,) = recipe.objectives.values()
    return objective


def joined_batch() -> Tensor:
    """Return the joined batch of both processes; each holds half."""
    return 0.2 * torch.randn(8, 4, 2, 5000, generator=torch.Generator().manual_seed(0))


def for_batch_norm() -> list[tuple[Tensor, Tensor]]:
    """Return inputs and output weights by process, of different sizes and far from standardised."""
    generator = torch.Generator().manual_seed(1)
    return [(3 * torch.randn(n, 5, generator=generator) + n, torch.randn(n, 5, generator=generator)) for n in (6, 10)]


def make_batch_norm() -> nn.Sequential:
    generator = torch.Generator().manual_seed(2)
    module = nn.Sequential(nn.BatchNorm1d(5))
    module[0].weight.data = torch.rand(5, generator=generator) + 0.5
    module[0].bias.data = torch.randn(5, generator=generator)
    return module


def run_process(rank: int, folder: Path, root: Path, store_folder: Path, port: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    processes = join("cpu")
    store, validation = StemStore(store_folder), read_validation(root)[:1]

    def a_trainer(name: str, run: str, **changed: Any) -> Trainer:
        return Trainer(
            make_recipe(name, **changed), store, validation, RunFolder(folder / run, "job"), processes=processes
        )

    result: Result = {
        "processes": (processes.rank, processes.size, processes.first),
        "mean": processes.mean(torch.tensor([1.0, 10.0]) * (rank + 1)),
        "from_first": processes.from_first([float(rank + 5)]),
        "batch norm": batch_norm_step(rank),
    }
    for name in RECIPES:
        result[name] = gradient_step(name, processes)
        for label, config in (("steps", STEPS), ("accumulated", ACCUMULATED)):
            # Everyone has a folder of its own: who writes is seen by whose are there.
            result[f"{name} {label}"] = run_training(a_trainer(name, f"{name} {label} {rank}", **config))
        trainer = a_trainer(name, f"{name} resumed", **STEPS)
        run_until(trainer, 2)
        trainer = a_trainer(name, f"{name} resumed", **STEPS)
        run_all(trainer, resume=True)
        result[f"{name} resumed"] = training_state(trainer)
    result["early"] = stopped_early(a_trainer("demucs", f"early {rank}", epochs=9, epoch_steps=1, patience=2), rank)
    result["broken"] = broken_batch(a_trainer("demucs", f"broken {rank}", **STEPS), rank)
    result["epoch_steps"] = a_trainer("demucs", "none", epoch_steps=None, excerpts_per_track=16).epoch_steps
    torch.save(result, folder / f"{rank}.pt")
    leave(processes)


def gradient_step(name: str, processes: ProcessGroup) -> Result:
    recipe = make_recipe(name)
    objective = make_objective(recipe)
    wrapped = processes.wrap(objective)
    (inputs,) = recipe.inputs(joined_batch().chunk(2)[processes.rank]).values()
    loss = wrapped(*inputs)
    loss.backward()
    return {
        "loss": loss.detach(),
        "gradients": {key: parameter.grad for key, parameter in objective.named_parameters()},
        "state": dict(objective.state_dict()),
    }


def batch_norm_step(rank: int) -> Result:
    module = make_batch_norm()
    share_batch_norms(module)
    x, weight = for_batch_norm()[rank]
    x.requires_grad_()
    outputs = [module(x) for _ in range(2)]
    (outputs[-1] * weight).sum().backward()
    half = module(x.detach().bfloat16())
    before = dict(copy.deepcopy(module.state_dict()))
    settled = module.eval()(x)
    assert_same(dict(module.state_dict()), before)
    norm: Any = module[0]
    return {
        "output": outputs[0].detach(),
        "input gradient": x.grad,
        "gradients": [norm.weight.grad, norm.bias.grad],
        "state": before,
        "half": half.detach(),
        "settled": settled.detach(),
        "type": type(norm).__name__,
    }


def run_training(trainer: Trainer) -> Result:
    batches, seeds = [], []
    one_step = trainer._one_step

    def watched(sources: Tensor) -> Tensor:
        batches.append(sources.clone())
        losses = one_step(sources)
        seeds.append(torch.initial_seed())
        return losses

    trainer._one_step = watched  # type: ignore[method-assign]
    with record_wraps() as wrapped:
        reports = run_all(trainer)
    result: Result = {"batches": batches, "seeds": seeds, "losses": [report.loss for report in reports]}
    result |= {"speed": reports[-1].examples_per_second, "wrapped": are_alive(wrapped)}
    return result | training_state(trainer)


def stopped_early(trainer: Trainer, rank: int) -> Result:
    """Only the first process validates; both must stop at the same epoch."""
    losses = iter([3.0, 2.0, 2.5, 2.5, 2.5, 2.5])

    def evaluate(networks: Any, sources: Tensor) -> tuple[Tensor, Tensor]:
        assert rank == 0, "the others wait"
        return torch.full((4,), next(losses)), sources * 1.1

    trainer.recipe.evaluate = evaluate  # type: ignore[method-assign]
    run_all(trainer)
    return {"step": trainer.step, "losses": [entry["valid_loss"] for entry in trainer.log]}


def broken_batch(trainer: Trainer, rank: int) -> Result:
    """Corrupt the third batch of the second process."""
    mix, count = trainer.sampler.batch, iter(range(100))
    poison = {2: torch.nan} if rank == 1 else {}
    trainer.sampler.batch = lambda parameters: mix(parameters) * poison.get(next(count), 1.0)  # type: ignore[method-assign]
    try:
        with record_wraps() as wrapped:
            run_all(trainer)
    except FloatingPointError as error:
        return {"error": str(error), "wrapped": are_alive(wrapped)}
    return {"error": "nothing happened"}


@contextlib.contextmanager
def record_wraps() -> Iterator[list[weakref.ref[nn.Module]]]:
    """Without keeping them alive."""
    wrap, wrapped = ProcessGroup.wrap, []

    def remembered(processes: ProcessGroup, module: nn.Module) -> nn.Module:
        module = wrap(processes, module)
        wrapped.append(weakref.ref(module))
        return module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProcessGroup, "wrap", remembered)
        yield wrapped


def are_alive(references: list[weakref.ref[nn.Module]]) -> list[bool]:
    return [reference() is not None for reference in references]


def main(folder: str, root: str, store: str) -> None:
    torch.optim.Adam([nn.Parameter(torch.zeros(1))])  # imports more of torch: before the fork, once for both
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    start_processes(run_process, (Path(folder), Path(root), Path(store), port), nprocs=2, start_method="fork")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def results(folder: Path, data_root: Path, store_folder: Path) -> list[Result]:
    """Return the results of both processes."""
    code = (
        f"from tests.training.test_distributed import main; main(*{[str(folder), str(data_root), str(store_folder)]})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the two processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_each_process_knows_its_rank(results: list[Result]) -> None:
    assert [result["processes"] for result in results] == [(0, 2, True), (1, 2, False)]
    for result in results:
        assert result["mean"].tolist() == [1.5, 15.0]
        assert result["from_first"] == [5.0]


@pytest.mark.parametrize("name", RECIPES)
def test_gradients_equal_those_of_the_joined_batch(results: list[Result], name: str) -> None:
    recipe = make_recipe(name)
    objective = make_objective(recipe)
    (inputs,) = recipe.inputs(joined_batch()).values()
    loss = objective(*inputs)
    loss.backward()
    assert float(sum(result[name]["loss"] for result in results)) / 2 == pytest.approx(float(loss.detach()), rel=1e-5)
    expected = {key: parameter.grad for key, parameter in objective.named_parameters()}
    total = torch.cat([gradient.flatten() for gradient in expected.values() if gradient is not None]).norm()
    for result in results:
        assert list(result[name]["gradients"]) == list(expected)
        for key, gradient in expected.items():
            found = result[name]["gradients"][key]
            assert gradient is not None
            assert (found - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6 * total, key
        for key, tensor in objective.state_dict().items():  # running statistics among them
            torch.testing.assert_close(result[name]["state"][key], tensor, rtol=1e-5, atol=1e-6)
    assert results[0][name]["loss"] != results[1][name]["loss"]


def test_shared_batch_normalisation_equals_that_of_the_joined_batch(results: list[Result]) -> None:
    module = make_batch_norm()
    norm: Any = module[0]
    assert type(norm) is nn.BatchNorm1d
    inputs, weight = (torch.cat(parts) for parts in zip(*for_batch_norm(), strict=True))
    inputs.requires_grad_()
    outputs = [module(inputs) for _ in range(2)]
    (outputs[-1] * weight).sum().backward()
    found = [result["batch norm"] for result in results]
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(torch.cat([one["output"] for one in found]), outputs[0].detach(), **close)
    assert inputs.grad is not None
    torch.testing.assert_close(torch.cat([one["input gradient"] for one in found]), inputs.grad, **close)
    for row, parameter in enumerate((norm.weight, norm.bias)):  # each process has those by way of its own items
        assert parameter.grad is not None
        torch.testing.assert_close(sum(one["gradients"][row] for one in found), parameter.grad, **close)
    module(inputs.detach().bfloat16().float())
    settled = module.eval()(inputs).detach()
    for one in found:
        assert one["type"] == "SharedBatchNorm"
        assert list(one["state"]) == list(module.state_dict())
        for key, tensor in module.state_dict().items():
            torch.testing.assert_close(one["state"][key], tensor, **close)
        assert one["half"].dtype == torch.bfloat16
    torch.testing.assert_close(torch.cat([one["settled"] for one in found]), settled, **close)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("label", ["steps", "accumulated"])
def test_processes_draw_different_batches(results: list[Result], name: str, label: str, store: StemStore) -> None:
    recipe = make_recipe(name, **(STEPS if label == "steps" else ACCUMULATED))
    sampler = recipe.sampler(store)
    sums = set()
    for rank, result in enumerate(results):
        found = result[f"{name} {label}"]
        assert found["seeds"] == [batch_seed(3, step, rank) for step in range(4)], "dropout's too"
        assert len(found["batches"]) == 4
        for seed, batch in zip(found["seeds"], found["batches"], strict=True):
            assert torch.equal(batch, sampler.batch(sampler.draw(4, torch.Generator().manual_seed(seed))))
            sums.add(float(batch.double().square().sum()))
    assert len(sums) == 8


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("label", ["steps", "accumulated"])
def test_a_run_equals_that_of_one_process_with_both_batches(
    results: list[Result], name: str, label: str, store: StemStore
) -> None:
    config: TrainingConfig
    recipe = make_recipe(name, **(STEPS if label == "steps" else ACCUMULATED))
    config = recipe.config
    recipe.initialise(store)
    objective = make_objective(recipe)
    optimizer = torch.optim.Adam(objective.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    losses = []
    batches = [[result[f"{name} {label}"]["batches"][step] for result in results] for step in range(4)]
    for one, other in batches:
        optimizer.zero_grad()
        pairs = zip(one.chunk(config.accumulate), other.chunk(config.accumulate), strict=True)
        parts = [objective(*next(iter(recipe.inputs(torch.cat(pair)).values()))) for pair in pairs]
        loss = torch.stack(parts).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    for result in results:
        found = result[f"{name} {label}"]
        means = [loss for entry in found["log"] for loss in entry["train_loss"].values()]
        assert means == pytest.approx([sum(losses[:2]) / 2, sum(losses[2:]) / 2], rel=1e-4)
        assert found["losses"][0] == pytest.approx(losses[0], rel=1e-5)
        for key, tensor in objective.state_dict().items():
            if key.endswith("input_mean"):
                continue  # bn1 takes it out again: its gradient is rounding, which Adam blows up
            trained = found["weights"][f"{'vocals' if name == 'open-unmix' else 'all'}.{key}"]
            assert relative_error(trained.float(), tensor.float()) <= 1e-3, key


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("label", ["steps", "accumulated"])
def test_all_processes_end_with_the_same_weights(results: list[Result], name: str, label: str) -> None:
    one, other = (result[f"{name} {label}"] for result in results)
    for part in ("weights", "optimizer", "groups", "step", "losses"):
        assert_same(one[part], other[part], part)
    assert [entry["valid_loss"] for entry in one["log"]] == [entry["valid_loss"] for entry in other["log"]]


@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(results: list[Result], name: str) -> None:
    for result in results:
        whole, resumed = result[f"{name} steps"], result[f"{name} resumed"]
        for part in ("weights", "optimizer", "groups", "plateau", "step"):
            assert_same(resumed[part], whole[part], part)


def test_only_the_first_process_writes(results: list[Result], folder: Path) -> None:
    assert len(results) == 2
    for name in RECIPES:
        for label in ("steps", "accumulated"):
            assert (folder / f"{name} {label} 0" / "model.json").is_file()
            assert not (folder / f"{name} {label} 1").exists()


def test_all_processes_stop_when_patience_runs_out(results: list[Result]) -> None:
    for result in results:
        assert result["early"] == {"step": 4, "losses": [3.0, 2.0, 2.5, 2.5]}


def test_a_loss_that_is_not_finite_in_one_process_stops_all(results: list[Result], folder: Path) -> None:
    for result in results:
        assert "not finite at step 2" in result["broken"]["error"]
    assert '"not finite"' in (folder / "broken 0" / "job" / "log.jsonl").read_text()
    assert not (folder / "broken 1").exists()


@pytest.mark.parametrize("run", ["open-unmix steps", "demucs steps", "broken"])
def test_no_wrapped_network_outlives_its_training(results: list[Result], run: str) -> None:
    """A wrapped network that does can hang the process at exit, see Trainer._wrapped."""
    for result in results:
        assert result[run]["wrapped"] in ([False], [False] * 4)


def test_the_log_names_the_seed_of_the_batch_that_was_not_finite(results: list[Result], folder: Path) -> None:
    """Any process may have drawn it."""
    assert len(results) == 2
    last = json.loads((folder / "broken 0" / "job" / "log.jsonl").read_text().splitlines()[-1])
    assert str(batch_seed(3, 2, 1)) in json.dumps(last)


def test_an_epoch_is_shared_among_the_processes(results: list[Result]) -> None:
    assert [result["epoch_steps"] for result in results] == [6, 6]  # 3 tracks, 16 excerpts of each, 4 for each process


def test_a_single_process_wraps_nothing() -> None:
    processes = ProcessGroup()
    module = make_batch_norm()
    assert processes.wrap(module) is module
    assert type(next(module.children())) is nn.BatchNorm1d
    assert processes.mean(torch.ones(2)).tolist() == [1, 1]
    assert processes.from_first([2.0]) == [2.0]
    assert processes.first


def test_sharing_batch_norms_keeps_names_and_other_modules() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Sequential(nn.BatchNorm1d(3)), nn.BatchNorm2d(2))
    before = dict(copy.deepcopy(module.state_dict()))
    share_batch_norms(module)
    assert_same(dict(module.state_dict()), before)
    kinds = [type(child) for child in module.modules() if not list(child.children())]
    assert kinds == [nn.Linear, SharedBatchNorm, SharedBatchNorm, nn.BatchNorm2d]


def test_joining_without_torchrun_starts_no_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert join("cpu") == ProcessGroup()
    leave(ProcessGroup())


def test_a_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert join("auto") == ProcessGroup()
    with pytest.raises(ValueError, match="there is no CUDA device here: choose --device cpu or auto"):
        join("cuda")


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="process 3 of this machine has no GPU: there are 2"):
        join("auto")


@pytest.mark.slow  # 10 s each; the tests above compare two processes with one, step by step
@pytest.mark.parametrize("name", RECIPES)
def test_torchrun_trains_one_model_that_separates(name: str, data_root: Path, tmp_path: Path) -> None:
    config = (TINY_OPEN_UNMIX if name == "open-unmix" else TINY_DEMUCS) | {"epochs": 2, "epoch_steps": 2, "ema": 0.5}
    (tmp_path / "tiny.toml").write_text(toml(config))
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "separation",
    ]
    command += ["train", name, "--root", str(data_root), "--out", str(out), "--config", str(tmp_path / "tiny.toml")]
    done = subprocess.run(
        [*command, "--device", "cpu", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)  # one, not two
    assert (document["run"], document["job"], document["steps"]) == (str(out), "all", 4)
    assert done.stderr.count("is a model: separate with") == 1
    assert done.stderr.count("epoch 2: training loss") == 1

    song = data_root / "valid" / "song 0" / "vocals.wav"
    arguments = ["separate", song, "--method", name, "--model", out, "--out", tmp_path / "stems"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    stems = tmp_path / "stems" / "vocals" / name
    assert sorted(path.stem for path in stems.glob("*.wav")) == sorted(SOURCES)
    assert soundfile.info(stems / "bass.wav").frames == soundfile.info(song).frames
