"""A run that is killed at any moment and resumed ends with the same weights as an uninterrupted run."""

from __future__ import annotations

import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from separation.datasets.store import StemStore
from separation.training.run_folder import RunFolder
from separation.training.trainer import Trainer
from separation.weights.catalogue import find_model
from separation.weights.download import verify_model
from tests.conftest import ROOT
from tests.training.conftest import (
    RECIPES,
    TINY_DEMUCS,
    read_validation,
    tiny_recipe,
    toml,
    without_speed,
)

STEP, WRITING = b".", b"w"  # what a fork says

#: Every second kill is in the middle of writing such a file, in turn; the third only if the epoch is the best so far.
DRAFTS = (".step-*.safetensors.part", ".step-*.pt.part", ".[av]*.part")
CONFIGS: dict[str, dict[str, Any]] = {
    "open-unmix": {"schedule": "plateau", "plateau_patience": 1, "ema": 0.9, "clip": 5.0},
    "demucs": {"schedule": "decay", "ema": 0.9, "accumulate": 2, "shuffle_groups": 2},
}


# Importing torch takes seconds, so only one process imports it; the killed processes are its forks.


def train(name: str, root: Path, store: Path, folder: Path, *, draft: str, pipe: int) -> None:
    """Train to the end, then exit; write a byte to `pipe` after every step, and in the middle of writing `draft`."""
    torch.set_num_threads(1)
    target = "vocals" if name == "open-unmix" else "all"
    recipe = tiny_recipe(name, target=target, epochs=24, **CONFIGS[name])
    run = RunFolder(folder, target)
    trainer = Trainer(recipe, StemStore(store), read_validation(root), run)

    def write(file: IO[bytes], content: bytes) -> None:
        if draft and fnmatch(Path(file.name).name, draft):
            file.write(content[: len(content) // 2])
            file.flush()
            os.write(pipe, WRITING)
            time.sleep(60)  # the end comes sooner
        file.write(content)

    def write_bytes(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            write(file, content)

    Path.write_bytes = write_bytes  # type: ignore[assignment, method-assign]
    torch.save = lambda state, file: write(file, pickled(state))  # type: ignore[assignment, misc]
    for _ in trainer.train(resume=True):
        os.write(pipe, STEP)
    os._exit(0)


def pickled(state: Any, save: Any = torch.save) -> bytes:
    buffer = io.BytesIO()
    save(state, buffer)
    return buffer.getvalue()


def killed_while(
    name: str, root: Path, store: Path, folder: Path, *, draft: str = "", steps: float = math.inf, wait: float = 0.0
) -> str:
    """Fork, train, and kill the fork `wait` seconds after `steps` steps or while it writes `draft`.

    Returns what happened.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            train(name, root, store, folder, draft=draft, pipe=write_end)
        finally:
            os._exit(1)
    os.close(write_end)
    received = b""
    while received.count(STEP) < steps and WRITING not in received:
        data = os.read(read_end, 100)
        if not data:
            break  # training has ended
        received += data
    time.sleep(wait)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(read_end)
    if os.WIFEXITED(status):
        return f"ended with {os.WEXITSTATUS(status)}"
    return f"killed while writing {draft}" if WRITING in received else "killed"


def kill_repeatedly(kills: int, name: str, root: str, store: str, folder: str) -> None:
    """Kill a run repeatedly, then let it finish; print what happened as JSON."""
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # imports more of torch: once, not in every fork
    chance = random.Random(7)
    given = name, Path(root), Path(store)
    outcomes = []
    for number in range(kills):
        if number % 2:
            outcome = killed_while(*given, Path(folder), draft=DRAFTS[number // 2 % 3], steps=6)
        else:
            outcome = killed_while(*given, Path(folder), steps=chance.randint(0, 5), wait=chance.uniform(0, 0.05))
        outcomes.append(outcome)
    outcomes += [killed_while(*given, Path(folder)), killed_while(*given, Path(f"{folder}-whole"))]
    print(json.dumps(outcomes))


def assert_equal_runs(one: Path, other: Path, job: str) -> None:
    """Check that weights, checkpoints and logs are equal bit by bit, and that no partly written file is left."""
    models = [json.loads((folder / "model.json").read_text()) | {"name": ""} for folder in (one, other)]
    assert models[0] == models[1]
    for path in [*other.glob("*.safetensors"), *other.glob(f"{job}/step-*.safetensors")]:
        assert (one / path.relative_to(other)).read_bytes() == path.read_bytes(), path.name
    assert len(list(one.glob("*.safetensors"))) == len(models[0]["files"])
    assert verify_model(find_model(str(one), method=models[0]["method"])) == []
    logs = [(folder / job / "log.jsonl").read_text().splitlines() for folder in (one, other)]
    assert [without_speed(json.loads(line)) for line in logs[0]] == [
        without_speed(json.loads(line)) for line in logs[1]
    ]
    checkpoints = [sorted(path.name for path in folder.glob(f"{job}/step-*")) for folder in (one, other)]
    assert checkpoints[0] == checkpoints[1]
    assert len(checkpoints[0]) == 2
    assert not list(one.rglob("*.part"))


@pytest.mark.parametrize(
    ("name", "kills"),
    [("open-unmix", 4), *(pytest.param(name, 10, marks=pytest.mark.slow) for name in RECIPES)],  # one loop for both
)
def test_a_run_killed_repeatedly_ends_with_the_same_weights(
    name: str, kills: int, data_root: Path, store_folder: Path, tmp_path: Path
) -> None:
    given = [kills, name, str(data_root), str(store_folder), str(tmp_path / "run")]
    code = f"from tests.training.test_kill import kill_repeatedly; kill_repeatedly(*{given})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    *outcomes, last, whole = json.loads(done.stdout)
    assert (last, whole) == ("ended with 0", "ended with 0"), done.stderr
    assert len(outcomes) == kills
    assert all(chapter.startswith("killed") for chapter in outcomes), (outcomes, done.stderr)
    for chapter, draft in ((1, 0), (3, 1), (7, 0), (9, 1)):
        assert chapter >= kills or outcomes[chapter] == f"killed while writing {DRAFTS[draft]}"
    assert_equal_runs(tmp_path / "run", tmp_path / "run-whole", "vocals" if name == "open-unmix" else "all")


@pytest.mark.slow  # three processes; the kills above and the option --resume in test_command.py cover it
def test_the_command_line_resumes_a_killed_run(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(toml(TINY_DEMUCS | CONFIGS["demucs"] | {"epochs": 10}))
    fixed = ["train", "demucs", "--root", str(data_root), "--config", str(tmp_path / "tiny.toml"), "--device", "cpu"]

    with ExitStack() as running:

        def start(folder: str, *more: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "separation", *fixed, "--out", str(tmp_path / folder), *more]
            process = running.enter_context(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE))
            running.callback(process.kill)  # if the test fails
            return process

        killed, whole = start("run"), start("whole")
        fourth, deadline = tmp_path / "run" / "all" / "step-00000004.pt", time.monotonic() + 120
        while not fourth.exists() and killed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        killed.kill()
        _, before = killed.communicate()
        assert killed.returncode == -signal.SIGKILL, before.decode()
        steps = [path.name for path in (tmp_path / "run" / "all").glob("step-*.pt")]
        assert steps
        assert "step-00000020.pt" not in steps, "it was over before it could be killed"
        resumed = start("run", "--resume")
        for process in (resumed, whole):
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said.decode()
    assert_equal_runs(tmp_path / "run", tmp_path / "whole", "all")
