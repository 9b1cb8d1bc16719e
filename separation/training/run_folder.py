"""What a run leaves on disk: checkpoints to go on from, and the best weights as a model.

    RUN/model.json, <target>-<hash>.safetensors    the best weights so far: the folder is a model
    RUN/<job>/config.json                          every number of the run
    RUN/<job>/log.jsonl                            an entry per epoch
    RUN/<job>/step-<n>.safetensors and .pt         where to go on: weights, and everything else

A job is the target that is learned, or "all". Several runs, one per target, may share a folder: their
weights become one model. Every file appears whole or not at all, and a checkpoint counts once its
``.pt`` is there, which is written last.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from separation.atomic import atomic_write
from separation.weights.state_dict import CheckpointError

__all__ = ["RunFolder"]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class RunFolder:
    """One job's part of a run's folder."""

    def __init__(self, folder: Path, job: str) -> None:
        self.folder = folder
        self.own = folder / job

    # -- the config and the log --------------------------------------------------------------------

    def begin(self, config: Mapping[str, Any], *, resume: bool) -> None:
        """Write down the config, or compare it with the one that the run was begun with.

        Raises
        ------
        ValueError
            If there is a run and `resume` is False, or its config differs in more than `epochs`; what it was
            begun from ("initial") stays written down and need not be said again.
        """
        path = self.own / "config.json"
        if path.is_file():
            if not resume:
                raise ValueError(
                    f"{self.folder.name!r} holds a run of {self.own.name!r} already: say --resume to go on"
                )
            before = json.loads(path.read_text(encoding="utf-8"))
            now = json.loads(json.dumps(config))
            config = dict(config) | {"initial": before.get("initial")}
            compared = sorted({*before, *now} - {"epochs", "initial"})
            different = [key for key in compared if before.get(key) != now.get(key)]
            if different:
                key = different[0]
                raise ValueError(f"the run was begun with {key} = {before.get(key)!r}, not {now.get(key)!r}")
        self.own.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")

    def refuse_other_beginning(self, initial: str | None) -> None:
        """ValueError if the config says other initial weights: a run without a checkpoint begins with them again."""
        before = json.loads((self.own / "config.json").read_text(encoding="utf-8")).get("initial")
        if before != initial:
            again = f"with --init and the model {before!r}" if before else "without --init"
            raise ValueError(f"the run was stopped before its first checkpoint: begin it again as before, {again}")

    def log(self, entries: list[dict[str, Any]]) -> None:
        """All entries so far; whole, so that a killed and resumed run leaves none twice."""
        with atomic_write(self.own / "log.jsonl") as draft:
            draft.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")

    # -- checkpoints -------------------------------------------------------------------------------

    def save(self, step: int, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint, then drop the older ones."""
        stem = f"step-{step:08d}"
        with atomic_write(self.own / f"{stem}.safetensors") as draft:
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, draft)
        with atomic_write(self.own / f"{stem}.pt") as draft:
            torch.save(state, draft)
        for path in self.own.glob("step-*"):
            if not path.name.startswith(stem):
                path.unlink(missing_ok=True)

    def load(self, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint's weights and state; None if there is none.

        Raises
        ------
        CheckpointError
            If it is there but cannot be read.
        """
        finished = sorted(self.own.glob("step-*.pt"))
        if not finished:
            return None
        try:
            state = torch.load(finished[-1], map_location="cpu", weights_only=True)
            return load_file(finished[-1].with_suffix(".safetensors"), device=str(device)), state
        except Exception as error:  # both readers have errors of their own
            raise CheckpointError(f"the checkpoint {finished[-1].name} is damaged: remove it to begin anew") from error

    # -- the model ---------------------------------------------------------------------------------

    def keep(self, states: Mapping[str, dict[str, Tensor]], description: Mapping[str, Any]) -> None:
        """Make these the folder's model; those of other jobs in the same folder stay part of it.

        Parameters
        ----------
        states : mapping of str to state dicts
            Per target, or one as "all".
        description : mapping
            Fields of ``model.json``; its "sources" give the order.
        """
        with FileLock(self.folder / ".lock"):
            path = self.folder / "model.json"
            before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"files": []}
            files = {entry["source"]: entry for entry in before["files"]}
            if files.keys() - states.keys() and before["architecture"] != description["architecture"]:
                raise ValueError(
                    f"{self.folder.name!r} holds other targets of another size: give this run its own folder"
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
            for other in self.folder.glob("*.safetensors"):
                if other.name not in {entry["name"] for entry in entries}:
                    other.unlink(missing_ok=True)

    def _write_weights(self, source: str, state: dict[str, Tensor]) -> dict[str, str]:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        digest = hashlib.sha256(save(tensors)).hexdigest()
        name = f"{source}-{digest[:8]}.safetensors"
        with atomic_write(self.folder / name) as draft:
            save_file(tensors, draft)
            draft.chmod(0o644)
        return {"source": source, "name": name, "sha256": digest}


def _parameters(path: Path) -> int:
    """How many numbers in a file were learned: all but the statistics of batch normalisation."""
    with safe_open(path, framework="pt") as file:
        learned = [name for name in file.keys() if not name.endswith(STATISTICS)]  # noqa: SIM118  # not a dictionary
        return sum(math.prod(file.get_slice(name).get_shape()) for name in learned)
