"""The files of a run: they are atomic, also after failures and with several writers."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import resource
import signal
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from separation.separators import create
from separation.training.run_folder import RunFolder
from separation.weights.catalogue import find_model
from separation.weights.download import verify_model
from separation.weights.state_dict import CheckpointError
from tests.forked import forked
from tests.training.conftest import SOURCES, MakeTrainer, run_all, tiny_recipe

CPU = torch.device("cpu")
CONFIG = {"batch": 4, "epochs": 3, "gain": (0.25, 1.25), "shares": {}, "data": "abc"}


def some_weights(value: float) -> dict[str, Tensor]:
    return {"a": torch.full((3, 2), value), "b": torch.full((), value)}


def some_state(step: int) -> dict[str, Any]:
    return {"step": step, "log": [{"epoch": step}], "optimizer": {"lr": 0.1, "moments": torch.full((2,), float(step))}}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run", "vocals")
    folder.begin(CONFIG, resume=False)
    return folder


def saved_step(run: RunFolder) -> int | None:
    """Return the step of the newest checkpoint, after checking that its two files match."""
    found = run.load(CPU)
    if found is None:
        return None
    weights, state = found
    assert float(weights["b"]) == state["step"] == float(state["optimizer"]["moments"][0])
    return int(state["step"])


def test_the_config_is_written_as_json(run: RunFolder) -> None:
    assert json.loads((run.job_folder / "config.json").read_text()) == CONFIG | {"gain": [0.25, 1.25]}
    assert run.job_folder == run.folder / "vocals"
    assert names(run.job_folder) == ["config.json"]


def test_an_existing_run_is_not_started_again(run: RunFolder) -> None:
    with pytest.raises(
        ValueError, match="'run' already holds a run of 'vocals': pass --resume to continue it, or another --out"
    ):
        run.begin(CONFIG, resume=False)
    RunFolder(run.folder, "drums").begin(CONFIG, resume=False)  # another job may move in


def test_resuming_a_run_that_does_not_exist_starts_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "new", "all")
    run.begin(CONFIG, resume=True)
    assert (run.job_folder / "config.json").is_file()
    assert run.load(CPU) is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("batch", 8, "batch = 4, not 8"),
        ("gain", (0.5, 1.25), r"gain = \[0.25, 1.25\], not \[0.5, 1.25\]"),
        ("shares", {"a": 1.0}, r"shares = {}, not {'a': 1.0}"),
        ("data", "xyz", "data = 'abc', not 'xyz'"),
        ("novel", 1, "novel = None, not 1"),
    ],
)
def test_another_config_is_refused_when_resuming(run: RunFolder, key: str, value: Any, said: str) -> None:
    before = (run.job_folder / "config.json").read_bytes()
    with pytest.raises(ValueError, match=rf"the run was started with {said}"):
        run.begin(CONFIG | {key: value}, resume=True)
    assert (run.job_folder / "config.json").read_bytes() == before


def test_a_missing_key_is_refused_when_resuming(run: RunFolder) -> None:
    with pytest.raises(ValueError, match="the run was started with batch = 4, not None"):
        run.begin({key: value for key, value in CONFIG.items() if key != "batch"}, resume=True)


def test_only_the_number_of_epochs_may_change(run: RunFolder) -> None:
    run.begin(CONFIG | {"epochs": 9}, resume=True)
    assert json.loads((run.job_folder / "config.json").read_text())["epochs"] == 9


def test_the_log_holds_a_line_per_entry_and_none_twice(run: RunFolder) -> None:
    entries: list[dict[str, Any]] = [{"epoch": 1, "sdr": {"vocals": 1.5}}, {"epoch": 2}]
    run.write_log(entries[:1])
    run.write_log(entries)
    text = (run.job_folder / "log.jsonl").read_text()
    assert [json.loads(line) for line in text.splitlines()] == entries
    assert text.endswith("\n")


def test_a_checkpoint_is_two_files_and_replaces_older_ones(run: RunFolder) -> None:
    assert run.load(CPU) is None
    for step in (2, 4, 100):
        run.save(step, some_weights(step), some_state(step))
        stem = f"step-{step:08d}"
        assert names(run.job_folder) == ["config.json", f"{stem}.pt", f"{stem}.safetensors"]
        found = run.load(CPU)
        assert found is not None
        weights, state = found
        assert {name: tensor.tolist() for name, tensor in weights.items()} == {
            name: tensor.tolist() for name, tensor in some_weights(step).items()
        }
        assert torch.equal(state["optimizer"]["moments"], torch.full((2,), float(step)))
        assert (state["step"], state["log"]) == (step, [{"epoch": step}])


def test_tensors_that_are_not_contiguous_are_saved(run: RunFolder) -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T
    run.save(1, {"t": tensor}, {})
    found = run.load(CPU)
    assert found is not None
    assert torch.equal(found[0]["t"], tensor)


class Broken:
    """A stand-in for a function that works a number of times, then writes half of its output and fails."""

    def __init__(self, function: Callable[..., Any], works: int, error: BaseException) -> None:
        self.function, self.works, self.error = function, works, error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.works -= 1
        if self.works >= 0:
            return self.function(*args, **kwargs)
        for path in args:
            if isinstance(path, Path) and path.name.endswith(".part"):
                path.write_text("half of it")
            elif isinstance(path, io.IOBase):
                path.write(b"half of it")
        raise self.error


FAILURES = [
    pytest.param(Path, "write_bytes", 0, id="weights half written"),
    pytest.param(torch, "save", 0, id="state half written"),
    pytest.param(os, "fsync", 0, id="weights not synced"),
    pytest.param(os, "fsync", 1, id="state not synced"),
    pytest.param(Path, "replace", 0, id="weights not renamed"),
    pytest.param(Path, "replace", 1, id="state not renamed"),
]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize(("place", "function", "works"), FAILURES)
def test_a_checkpoint_that_fails_leaves_the_one_before(
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    function: str,
    works: int,
    error: BaseException,
) -> None:
    run.save(2, some_weights(2), some_state(2))
    broken = Broken(getattr(place, function), works, error)
    monkeypatch.setattr(place, function, lambda *args, **kwargs: broken(*args, **kwargs))
    with pytest.raises(type(error)):
        run.save(4, some_weights(4), some_state(4))
    monkeypatch.undo()
    assert saved_step(run) == 2
    assert not [name for name in names(run.job_folder) if name.endswith(".part")]
    run.save(4, some_weights(4), some_state(4))
    assert saved_step(run) == 4
    assert names(run.job_folder) == ["config.json", "step-00000004.pt", "step-00000004.safetensors"]


@pytest.mark.parametrize(
    ("weights", "state"),
    [({"a": torch.zeros(9000)}, {}), ({"a": torch.zeros(1)}, {"moments": torch.zeros(9000)})],
    ids=["weights", "state"],
)
def test_a_disk_that_takes_no_more_is_an_error_of_the_system(
    run: RunFolder, weights: dict[str, Tensor], state: dict[str, Any]
) -> None:
    def save() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        with pytest.raises(OSError, match="File too large"):
            run.save(2, weights, state)

    assert forked(save) == (0, "")
    assert names(run.job_folder) in (["config.json"], ["config.json", "step-00000002.safetensors"])


def test_two_processes_do_not_train_in_one_folder(run: RunFolder) -> None:
    def train() -> None:
        with RunFolder(run.folder, "drums").locked():
            pass
        with (
            pytest.raises(ValueError, match="another process is training 'vocals' in 'run'"),
            RunFolder(run.folder, "vocals").locked(),
        ):
            pass

    with run.locked():
        assert forked(train) == (0, "")
    with RunFolder(run.folder, "vocals").locked():
        pass


def kill_after(run: RunFolder, step: int, operations: int) -> None:
    """Save in a child process that dies before the n-th file system operation, without cleaning up."""
    pid = os.fork()
    if pid == 0:
        left = operations

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                if left == 0:
                    os._exit(9)
                left -= 1
                return function(*args, **kwargs)

            return call

        torch.save = counted(torch.save)
        os.fsync = counted(os.fsync)
        for name in ("write_bytes", "replace", "unlink"):
            setattr(Path, name, counted(getattr(Path, name)))
        run.save(step, some_weights(step), some_state(step))
        os._exit(0)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("operations", range(9))
def test_a_complete_checkpoint_exists_wherever_a_save_is_killed(run: RunFolder, operations: int) -> None:
    run.save(2, some_weights(2), some_state(2))
    kill_after(run, 4, operations)
    assert saved_step(run) in (2, 4)
    if operations < 6:  # write, sync and rename the weights, then the state
        assert saved_step(run) == 2
    else:
        assert saved_step(run) == 4
    run.save(6, some_weights(6), some_state(6))
    assert saved_step(run) == 6
    assert [name for name in names(run.job_folder) if name.startswith("step")] == [
        "step-00000006.pt",
        "step-00000006.safetensors",
    ]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "emptied", "gone", "other"])
def test_a_damaged_checkpoint_is_reported(run: RunFolder, suffix: str, damage: str) -> None:
    run.save(2, some_weights(2), some_state(2))
    path = run.job_folder / f"step-00000002{suffix}"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
        if suffix == ".pt":
            assert run.load(CPU) is None, "without its state there is no checkpoint"
            return
    else:
        path.write_bytes({"truncated": content[:-20], "emptied": b"", "other": b"{}" + content[2:]}[damage])
    with pytest.raises(CheckpointError, match=r"the checkpoint step-00000002\.pt is damaged: delete it to start over"):
        run.load(CPU)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "executed"))


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_checkpoint_is_executed(run: RunFolder, tmp_path: Path, zipped: bool) -> None:
    run.save(2, some_weights(2), some_state(2))
    path, mark = run.job_folder / "step-00000002.pt", tmp_path / "mark"
    torch.save({"step": 2, "log": Bomb(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="damaged"):
        run.load(CPU)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.read_text() == "executed", "it is a bomb indeed"


def description(hidden_size: int = 8) -> dict[str, Any]:
    recipe = tiny_recipe("open-unmix", target="vocals", hidden_size=hidden_size)
    fixed = {"name": "run", "method": "open-unmix", "sources": list(SOURCES), "sample_rate": 44100, "channels": 2}
    return fixed | {"trained_on": "tiny"} | recipe.description()


def state_of(target: str, seed: int = 0, hidden_size: int = 8) -> dict[str, Tensor]:
    recipe = tiny_recipe("open-unmix", target=target, seed=seed, hidden_size=hidden_size)
    return dict(recipe.objectives[target].network.state_dict())


def parameters_of(target: str) -> int:
    network = tiny_recipe("open-unmix", target=target).objectives[target].network
    return sum(parameter.numel() for parameter in network.parameters())


def model_of(run: RunFolder) -> dict[str, Any]:
    return json.loads((run.folder / "model.json").read_text())


def test_the_best_weights_are_a_model_named_by_their_hash(run: RunFolder) -> None:
    run.save_model({"vocals": state_of("vocals")}, description())
    model = model_of(run)
    (entry,) = model["files"]
    assert model["sources"] == ["vocals"]
    path = run.folder / entry["name"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    assert entry["name"] == f"vocals-{entry['sha256'][:8]}.safetensors"
    for name, tensor in load_file(path).items():
        assert torch.equal(tensor, state_of("vocals")[name])
    found = find_model(str(run.folder), method="open-unmix")
    assert verify_model(found) == []
    assert create("open-unmix", model=str(run.folder), options={"residual": True}).sources == ("vocals", "residual")
    assert path.stat().st_mode & 0o777 == 0o644


def test_jobs_of_one_target_each_become_one_model(run: RunFolder) -> None:
    for target in ("other", "vocals", "bass", "drums"):
        RunFolder(run.folder, target).save_model({target: state_of(target)}, description())
        files = model_of(run)["files"]
        assert [entry["source"] for entry in files] == model_of(run)["sources"]
        assert [entry["source"] for entry in files] == [s for s in SOURCES if s in {e["source"] for e in files}]
    model = model_of(run)
    assert model["sources"] == list(SOURCES)
    assert [entry["source"] for entry in model["files"]] == list(SOURCES)
    assert verify_model(find_model(str(run.folder), method="open-unmix")) == []
    for entry in model["files"]:
        for name, tensor in load_file(run.folder / entry["name"]).items():
            assert torch.equal(tensor, state_of(entry["source"])[name])
    separator = create("open-unmix", model=str(run.folder))
    assert separator.sources == SOURCES


def test_the_number_of_parameters_is_that_of_all_jobs_networks(run: RunFolder) -> None:
    """As for every other model, the statistics of batch normalisation do not count."""
    run.save_model({"vocals": state_of("vocals")}, description())
    assert find_model(str(run.folder), method="open-unmix").parameters == parameters_of("vocals")
    RunFolder(run.folder, "bass").save_model({"bass": state_of("bass")}, description())
    run.save_model({"vocals": state_of("vocals", seed=1)}, description())
    assert find_model(str(run.folder), method="open-unmix").parameters == 2 * parameters_of("vocals")


def test_better_weights_replace_the_old_file(run: RunFolder) -> None:
    RunFolder(run.folder, "drums").save_model({"drums": state_of("drums")}, description())
    (drums,) = run.folder.glob("drums-*.safetensors")
    run.save_model({"vocals": state_of("vocals", seed=1)}, description())
    (old,) = run.folder.glob("vocals-*.safetensors")
    run.save_model({"vocals": state_of("vocals", seed=2)}, description())
    (new,) = run.folder.glob("vocals-*.safetensors")
    assert new != old
    assert drums.is_file()
    assert verify_model(find_model(str(run.folder), method="open-unmix")) == []
    run.save_model({"vocals": state_of("vocals", seed=2)}, description())  # the same again
    assert verify_model(find_model(str(run.folder), method="open-unmix")) == []
    assert sorted(run.folder.glob("*.safetensors")) == sorted([drums, new])


def test_a_job_of_all_targets_is_a_model(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run", "all")
    run.save_model({source: state_of(source) for source in SOURCES}, description())
    assert [entry["source"] for entry in model_of(run)["files"]] == list(SOURCES)
    demucs = tiny_recipe("demucs")
    run = RunFolder(tmp_path / "demucs", "all")
    fixed = {"name": "d", "method": "demucs", "sources": list(SOURCES), "sample_rate": 44100, "channels": 2}
    run.save_model({"all": demucs.network.state_dict()}, fixed | demucs.description())
    assert model_of(run)["sources"] == list(SOURCES)
    assert [entry["source"] for entry in model_of(run)["files"]] == ["all"]
    assert create("demucs", model=str(run.folder)).sources == SOURCES


def test_a_job_of_another_architecture_keeps_the_folders_model_usable(run: RunFolder) -> None:
    """It is refused, and the model of the earlier job remains usable."""
    run.save_model({"vocals": state_of("vocals")}, description())
    other = RunFolder(run.folder, "bass")
    other.begin(CONFIG | {"hidden_size": 16}, resume=False)
    with pytest.raises(ValueError, match="holds other targets with another architecture: pass another --out"):
        other.save_model({"bass": state_of("bass", hidden_size=16)}, description(hidden_size=16))
    assert "vocals" in create("open-unmix", model=str(run.folder), options={"residual": True}).sources


MODEL_FAILURES = [
    pytest.param(Path, "write_bytes", 0, id="weights half written"),
    pytest.param(os, "fsync", 0, id="weights not synced"),
    pytest.param(Path, "replace", 0, id="weights not renamed"),
    pytest.param(os, "fsync", 1, id="model.json not synced"),
    pytest.param(Path, "replace", 1, id="model.json not renamed"),
]


@pytest.mark.parametrize(("place", "function", "works"), MODEL_FAILURES)
def test_a_model_that_cannot_be_written_leaves_the_one_before(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, place: Any, function: str, works: int
) -> None:
    run.save_model({"vocals": state_of("vocals", seed=1)}, description())
    before = model_of(run)
    broken = Broken(getattr(place, function), works, OSError(28, "No space left on device"))
    monkeypatch.setattr(place, function, lambda *args, **kwargs: broken(*args, **kwargs))
    with pytest.raises(OSError, match="No space left"):
        run.save_model({"vocals": state_of("vocals", seed=2)}, description())
    monkeypatch.undo()
    assert model_of(run) == before
    assert verify_model(find_model(str(run.folder), method="open-unmix")) == []
    run.save_model({"vocals": state_of("vocals", seed=2)}, description())
    assert verify_model(find_model(str(run.folder), method="open-unmix")) == []
    assert len(list(run.folder.glob("*.safetensors"))) == 1


def test_weights_that_cannot_be_written_leave_nothing_half_written(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(Path.write_bytes, 0, OSError(28, "No space left on device"))
    monkeypatch.setattr(Path, "write_bytes", lambda *args: broken(*args))
    with pytest.raises(OSError, match="No space left"):
        run.save_model({"vocals": state_of("vocals")}, description())
    assert not list(run.folder.glob(".*.part"))


def save_repeatedly(run: RunFolder, target: str, state: dict[str, Tensor], words: dict[str, Any], barrier: Any) -> None:
    barrier.wait(60)
    for number in range(25):
        run.save_model({target: state | {"output_mean": torch.full((257,), float(number))}}, words)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_two_jobs_that_save_at_once_are_both_in_the_model(run: RunFolder, kind: str) -> None:
    context = multiprocessing.get_context("fork")
    barrier = threading.Barrier(2) if kind == "threads" else context.Barrier(2)
    make: Any = threading.Thread if kind == "threads" else context.Process
    workers = [
        make(
            target=save_repeatedly,
            args=(RunFolder(run.folder, target), target, state_of(target), description(), barrier),
        )
        for target in ("drums", "bass")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive()
    model = model_of(run)
    assert model["sources"] == ["drums", "bass"]
    assert verify_model(find_model(str(run.folder), method="open-unmix")) == []
    for entry in model["files"]:
        assert float(load_file(run.folder / entry["name"])["output_mean"][0]) == 24
    assert len(list(run.folder.glob("*.safetensors"))) == 2
    assert not list(run.folder.glob(".*.part"))


def test_the_files_in_a_runs_folder(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("open-unmix", target="bass", ema=0.9, epochs=2)
    run_all(trainer)
    folder = trainer.run_folder.folder
    files = [name for name in names(folder) if not name.startswith(".")]
    (weights,) = folder.glob("*.safetensors")
    assert files == sorted(["bass", weights.name, "model.json"])
    events = [name for name in names(folder / "bass") if name.startswith("events.out.tfevents")]
    assert len(events) == 1
    expected = ["config.json", "log.jsonl", "step-00000004.pt", "step-00000004.safetensors"]
    assert names(folder / "bass") == sorted([".lock", *expected, *events])
    config = json.loads((folder / "bass" / "config.json").read_text())
    assert (config["ema"], config["hidden_size"], config["data"]) == (0.9, 8, trainer.store.fingerprint)
    model = json.loads((folder / "model.json").read_text())
    assert (model["name"], model["method"], model["sources"]) == ("run", "open-unmix", ["bass"])
    assert (model["sample_rate"], model["channels"], model["trained_on"]) == (44100, 2, "tiny")
    state = torch.load(folder / "bass" / "step-00000004.pt", weights_only=True)
    assert state["versions"]["torch"] == str(torch.__version__)
    assert zipfile.is_zipfile(folder / "bass" / "step-00000004.pt")
