"""The files of a run: checkpoints for resuming, and the best weights as a model.

    RUN/model.json, <target>-<hash>.safetensors    the best weights so far: the folder is a model
    RUN/<job>/config.json                          the configuration of the run
    RUN/<job>/log.jsonl                            an entry per epoch
    RUN/<job>/.lock                                held while a process trains
    RUN/<job>/step-<n>.safetensors and .pt         the newest checkpoint: weights, and all other state

A job is named after its target, or "all". Several runs, one per target, may share a folder: their
weights become one model. Every file is written atomically. The ``.pt`` of a checkpoint is written last,
and only then is the checkpoint complete.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from separation.atomic import atomic_write
from separation.weights.state_dict import CheckpointError, write_pickle

__all__ = ["RunFolder"]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class RunFolder:
    """The files of one job in a run's folder."""

    def __init__(self, folder: Path, job: str) -> None:
        self.folder = folder
        self.job_folder = folder / job

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run within the block.

        Raises
        ------
        ValueError
            If another process trains in it: each would delete the other's checkpoints.
        """
        self.job_folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.job_folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(f"another process is training {self.job_folder.name!r} in {self.folder.name!r}") from error
        try:
            yield
        finally:
            lock.release()

    def begin(self, config: Mapping[str, Any], *, resume: bool) -> None:
        """Write the config, or compare it with the one that the run was started with.

        The name of the initial model ("initial") is kept from the first start and is not compared.

        Raises
        ------
        ValueError
            If a run exists and `resume` is False, or if its config differs in anything but `epochs`.
        """
        path = self.job_folder / "config.json"
        if path.is_file():
            if not resume:
                raise ValueError(
                    f"{self.folder.name!r} already holds a run of {self.job_folder.name!r}: "
                    "pass --resume to continue it, or another --out"
                )
            stored = json.loads(path.read_text(encoding="utf-8"))
            current = json.loads(json.dumps(config))
            config = dict(config) | {"initial": stored.get("initial")}
            for key in sorted({*stored, *current} - {"epochs", "initial"}):
                if stored.get(key) != current.get(key):
                    raise ValueError(f"the run was started with {key} = {stored.get(key)!r}, not {current.get(key)!r}")
        self.job_folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")

    def check_initial(self, initial: str | None) -> None:
        """Raise ValueError if the run was started with another initial model.

        A run that was stopped before its first checkpoint starts again from the initial weights.
        """
        stored = json.loads((self.job_folder / "config.json").read_text(encoding="utf-8")).get("initial")
        if stored != initial:
            option = f"with --init and the model {stored!r}" if stored else "without --init"
            raise ValueError(f"the run was stopped before its first checkpoint: resume it as it was started, {option}")

    def write_log(self, entries: list[dict[str, Any]]) -> None:
        """Rewrite the log with all entries so far, so that a resumed run has no duplicate entries."""
        with atomic_write(self.job_folder / "log.jsonl") as draft:
            draft.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")

    def save(self, step: int, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint, then delete the older ones."""
        stem = f"step-{step:08d}"
        with atomic_write(self.job_folder / f"{stem}.safetensors") as draft:
            draft.write_bytes(save({name: tensor.contiguous() for name, tensor in weights.items()}))
        with atomic_write(self.job_folder / f"{stem}.pt") as draft:
            write_pickle(state, draft)
        for path in self.job_folder.glob("step-*"):
            if not path.name.startswith(stem):
                path.unlink(missing_ok=True)

    def load(self, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the weights and the state of the newest checkpoint, or None if there is none.

        Raises
        ------
        CheckpointError
            If the checkpoint cannot be read.
        """
        complete = sorted(self.job_folder.glob("step-*.pt"))
        if not complete:
            return None
        try:
            state = torch.load(complete[-1], map_location="cpu", weights_only=True)
            return load_file(complete[-1].with_suffix(".safetensors"), device=str(device)), state
        except Exception as error:  # each reader raises its own types
            raise CheckpointError(f"the checkpoint {complete[-1].name} is damaged: delete it to start over") from error

    def save_model(self, states: Mapping[str, dict[str, Tensor]], description: Mapping[str, Any]) -> None:
        """Save the weights as the folder's model, together with those of other jobs in the same folder.

        Parameters
        ----------
        states : mapping of str to state dicts
            One per target, or one as "all".
        description : mapping
            Fields of ``model.json``; its "sources" give the order.

        Raises
        ------
        ValueError
            If another job in the folder trains networks of another architecture.
        """
        with FileLock(self.folder / ".lock"):
            path = self.folder / "model.json"
            previous = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"files": []}
            files = {entry["source"]: entry for entry in previous["files"]}
            if files.keys() - states.keys() and previous["architecture"] != description["architecture"]:
                raise ValueError(
                    f"{self.folder.name!r} holds other targets with another architecture: pass another --out"
                )
            for source, state in states.items():
                files[source] = self._write_weights(source, state)
            order = [*description["sources"], "all"]
            entries = sorted(files.values(), key=lambda entry: order.index(entry["source"]))
            sources = description["sources"] if "all" in files else [entry["source"] for entry in entries]
            parameters = sum(_parameters(self.folder / entry["name"]) for entry in entries)
            model = dict(description) | {"sources": sources, "parameters": parameters, "files": entries}
            with atomic_write(path) as draft:
                draft.write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
            for weights in self.folder.glob("*.safetensors"):
                if weights.name not in {entry["name"] for entry in entries}:
                    weights.unlink(missing_ok=True)

    def _write_weights(self, source: str, state: dict[str, Tensor]) -> dict[str, str]:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        content = save(tensors)
        digest = hashlib.sha256(content).hexdigest()
        name = f"{source}-{digest[:8]}.safetensors"
        with atomic_write(self.folder / name) as draft:
            draft.write_bytes(content)
            draft.chmod(0o644)
        return {"source": source, "name": name, "sha256": digest}


def _parameters(path: Path) -> int:
    """Return the number of trained parameters in a file, excluding the statistics of batch normalisation."""
    with safe_open(path, framework="pt") as file:
        learned = [name for name in file.keys() if not name.endswith(STATISTICS)]  # noqa: SIM118  # not a dictionary
        return sum(math.prod(file.get_slice(name).get_shape()) for name in learned)
