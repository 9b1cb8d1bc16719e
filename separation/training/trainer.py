"""The training loop, one for all recipes.

A step is: draw a batch by a seed of its own, mix it on the device, and for each of the recipe's networks
one loss, one backward pass, one clipped update. Seeds depend on the run's seed, the step and the process
alone, so that a run that was killed goes on as if nothing had been - on a processor bit by bit.
"""

from __future__ import annotations

import contextlib
import math
import platform
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from separation.datasets.store import StemStore
from separation.training.autocast_check import check_autocast_accuracy
from separation.training.config import as_dict
from separation.training.distributed import ProcessGroup
from separation.training.loader import BatchLoader, batch_seed
from separation.training.recipe import Objective, Recipe
from separation.training.run_folder import RunFolder
from separation.training.tensorboard import TensorBoardWriter
from separation.training.throughput import Report, Throughput

__all__ = ["WARM_UP", "Trainer"]

WARM_UP = 50  # steps, of the "decay" schedule


class Trainer:
    """A training with all its state.

    Parameters
    ----------
    validation : list of Tensor, each (sources, channels, time)
        Whole tracks.
    initial : mapping of state dicts, optional
        Weights to start from, per objective; `initial_name` says whose, for the record.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: StemStore,
        validation: list[Tensor],
        run: RunFolder,
        *,
        processes: ProcessGroup = ProcessGroup(),
        initial: Mapping[str, dict[str, Tensor]] | None = None,
        initial_name: str | None = None,
    ) -> None:
        self.recipe, self.store, self.validation = recipe, store, validation
        self.run_folder, self.processes = run, processes
        self.origin = {"data": store.fingerprint, "initial": initial_name}
        self.config = config = recipe.config
        self.device = processes.device
        torch.manual_seed(config.seed)
        if initial is None:
            recipe.initialise(store)
        else:
            for name, state in initial.items():
                recipe.objectives[name].network.load_state_dict(state)
        self.excerpts = recipe.excerpts(store)
        self.objectives = nn.ModuleDict(recipe.objectives).to(self.device)
        self.average = None
        if config.ema:
            self.average = AveragedModel(
                self.objectives, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True
            )
        parameters = [p for p in self.objectives.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer,
            factor=config.plateau_factor,
            patience=config.plateau_patience,
            cooldown=config.plateau_cooldown,
        )
        self.precision = _precision(config.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision is torch.float16)
        tracks = sum(recording.speed == 1 for recording in store.recordings)
        per_epoch = tracks * config.excerpts_per_track / (config.batch * processes.size)
        self.epoch_steps = config.epoch_steps or max(1, math.ceil(per_epoch))
        self.heard: Tensor | None = None  # the estimates for the first validation track, for TensorBoard
        self.step = 0
        self.log: list[dict[str, Any]] = []

    # -- the loop ----------------------------------------------------------------------------------

    def train(self, *, resume: bool = False) -> Iterator[Report]:
        """Train to the last epoch, or until nothing gets better; yields a report after every step.

        Raises
        ------
        ValueError
            If `resume` is given and the run was begun on other data, or without it and there is one; if the
            processor computes a layer wrongly in the chosen precision.
        FloatingPointError
            If a loss is not finite; the batch's seed is in the message and in the log.
        """
        with self._wrapped():
            self._begin(resume)
            yield from self._steps()

    def _begin(self, resume: bool) -> None:
        if self.processes.first:
            self.run_folder.begin(as_dict(self.config) | self.origin, resume=resume)
        if resume and not self._load() and self.processes.first:
            self.run_folder.refuse_other_beginning(self.origin["initial"])
        if self.processes.first:
            self.run_folder.log(self.log)  # a kill can have come between a checkpoint and its entry
            self.curves = TensorBoardWriter(self.run_folder.own, sample_rate=self.store.sample_rate, step=self.step)

    def _steps(self) -> Iterator[Report]:
        config = self.config
        steps = config.epochs * self.epoch_steps
        meter = Throughput(batch=config.batch * self.processes.size, epoch_steps=self.epoch_steps, epochs=config.epochs)
        losses: list[Tensor] = []
        first = self.step
        with self._batches(steps) as batches:
            while self.step < steps and not self._patience_is_over():
                self._set_learning_rate(steps)
                with meter.waiting():
                    sources = next(batches)
                if self.step == first:
                    self._check_arithmetic(sources)
                losses.append(self._one_step(sources))
                loss = float(losses[-1].mean())
                self.step += 1
                validation: dict[str, Any] = {}
                if self.step % self.epoch_steps == 0:
                    with meter.paused():
                        validation = self._end_epoch(torch.stack(losses).mean(0), meter, self.step == steps)
                    losses = []
                yield meter.report(self.step, loss, validation)

    @contextlib.contextmanager
    def _wrapped(self) -> Iterator[None]:
        """The networks as they are stepped: compiled if asked for, their gradients the mean over the processes.

        No longer than the steps last: a reducer that is the last to hold the process group ends the group's threads
        with Python's lock held, and hangs for ever when one of them still wants it, to free a tensor.
        """
        self.wrapped = {name: self.processes.wrap(module) for name, module in self.objectives.items()}
        self.stepped = {name: torch.compile(m) if self.config.compile else m for name, m in self.wrapped.items()}
        try:
            yield
        finally:
            self.wrapped, self.stepped = {}, {}

    def _batches(self, steps: int) -> BatchLoader:
        seeds = (batch_seed(self.config.seed, step, self.processes.rank) for step in range(self.step, steps))
        return BatchLoader(self.excerpts, seeds, size=self.config.batch, device=self.device)

    def _check_arithmetic(self, sources: Tensor) -> None:
        if self.device.type == "cpu" and self.precision != torch.float32:
            inputs = self.recipe.inputs(sources.chunk(self.config.accumulate)[0])
            for name, objective in self.objectives.items():
                check_autocast_accuracy(objective, inputs[name], self.precision)

    def _one_step(self, sources: Tensor) -> Tensor:
        """Update every network by one batch; returns the losses (objectives,), the mean over all processes."""
        losses = self.processes.mean(self._gradients(sources))
        if not torch.isfinite(losses).all():
            self._refuse(losses)
        self.scaler.unscale_(self.optimizer)
        if self.config.clip:
            for module in self.objectives.values():
                nn.utils.clip_grad_norm_(module.parameters(), self.config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.objectives)
        return losses

    def _gradients(self, sources: Tensor) -> Tensor:
        """Compute those of a batch, the mean over all processes; returns this process's losses (objectives,)."""
        seed = batch_seed(self.config.seed, self.step, self.processes.rank)
        torch.manual_seed(seed)  # of the dropout
        parts = sources.chunk(self.config.accumulate)
        totals = torch.zeros(len(self.stepped), device=self.device)
        self.optimizer.zero_grad(set_to_none=True)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            inputs = self.recipe.inputs(part)
            for index, (name, objective) in enumerate(self.stepped.items()):
                together = contextlib.nullcontext() if last else _without_averaging(self.wrapped[name])
                with together:
                    with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                        loss = objective(*inputs[name]) / len(parts)
                    self.scaler.scale(loss).backward()
                totals[index] += loss.detach()
        return totals

    def _refuse(self, losses: Tensor) -> None:
        values = [str(float(loss)) for loss in losses]
        seeds = [batch_seed(self.config.seed, self.step, rank) for rank in range(self.processes.size)]
        entry = {"step": self.step, "losses": values, "batch_seed": seeds[0] if len(seeds) == 1 else seeds}
        if self.processes.first:
            self.run_folder.log([*self.log, {"not finite": entry}])
        raise FloatingPointError(
            f"the loss is not finite at step {self.step} ({', '.join(values)}); "
            f"the batch's seed is {', '.join(map(str, seeds))}, and the last checkpoint is from before"
        )

    def _set_learning_rate(self, steps: int) -> None:
        if self.config.schedule != "decay":
            return  # the plateau's is changed by its scheduler
        left = max(0.0, 1 - self.step / steps) / self.config.decay_share
        rate = self.config.learning_rate * min(1.0, (self.step + 1) / WARM_UP) * max(0.02, min(1.0, left))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _patience_is_over(self) -> bool:
        validated = [entry for entry in self.log if "valid_loss" in entry]
        if self.config.patience is None or not validated:
            return False
        best = min(validated, key=lambda entry: entry["valid_loss"])
        return bool(validated[-1]["epoch"] - best["epoch"] >= self.config.patience)

    # -- the end of an epoch -----------------------------------------------------------------------

    def _end_epoch(self, losses: Tensor, meter: Throughput, last: bool) -> dict[str, Any]:
        epoch = self.step // self.epoch_steps
        entry: dict[str, Any] = {
            "epoch": epoch,
            "step": self.step,
            "train_loss": dict(zip(self.stepped, losses.tolist(), strict=True)),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "examples_per_second": round(meter.speed, 2),
        }
        validated = epoch % self.config.validate_every == 0 or last
        if validated:
            if self.processes.first:
                entry |= self._validate()
            entry["valid_loss"] = self.processes.from_first([entry.get("valid_loss", 0.0)])[0]
            if not math.isfinite(entry["valid_loss"]):
                loss = entry["valid_loss"]
                raise FloatingPointError(
                    f"the validation loss is {loss} after epoch {epoch}; the last checkpoint is from before"
                )
            if self.config.schedule == "plateau":
                self.plateau.step(entry["valid_loss"])
        best = validated and self.processes.first and self._is_best(entry)
        self.log.append(entry)
        if self.processes.first:
            if best:
                self._keep()
            self._save()
            self.run_folder.log(self.log)
            self._draw(entry, sounds=best)
        shown = {"train": float(losses.mean())}
        return shown | ({"loss": entry["valid_loss"], "sdr": entry.get("sdr", {}), "best": best} if validated else {})

    def _draw(self, entry: dict[str, Any], *, sounds: bool) -> None:
        self.curves.add(entry)
        if sounds and self.heard is not None:
            estimates = dict(zip(self.recipe.targets, self.heard, strict=True))
            self.curves.add_sounds(estimates, self.step)

    @property
    def kept(self) -> dict[str, nn.Module]:
        """The networks that are validated and kept: the averaged ones, if there is an average."""
        modules = self.objectives if self.average is None else self.average.module
        assert isinstance(modules, nn.ModuleDict)
        return {name: cast("Objective", module).network for name, module in modules.items()}

    @torch.inference_mode()
    def _validate(self) -> dict[str, Any]:
        """Mean loss, and mean SDR of every target over the tracks in which it can be heard; None if there are none."""
        networks = self.kept
        for network in networks.values():
            network.eval()
        losses, scores = [], []
        for number, track in enumerate(self.validation):
            loss, estimates = self.recipe.evaluate(networks, track.to(self.device))
            references = torch.stack([track[self.recipe.sources.index(name)] for name in self.recipe.targets])
            losses.append(loss.mean().item())
            scores.append(_sdr(references, estimates.cpu()))
            if number == 0:
                self.heard = estimates.cpu()
        for network in networks.values():
            network.train()
        means = [None if math.isnan(mean) else mean for mean in torch.stack(scores).nanmean(0).tolist()]
        return {"valid_loss": float(np.mean(losses)), "sdr": dict(zip(self.recipe.targets, means, strict=True))}

    def merit(self, entry: Mapping[str, Any]) -> float:
        """What the best of the log's validated entries has most of."""
        scores = [score for score in entry["sdr"].values() if score is not None]
        if self.config.best_by == "sdr" and scores:
            return float(np.mean(scores))
        return -float(entry["valid_loss"])  # also where no validation track holds the target

    def _is_best(self, entry: dict[str, Any]) -> bool:
        return all(self.merit(entry) > self.merit(other) for other in self.log if "sdr" in other)

    def _keep(self) -> None:
        fixed = {
            "name": self.run_folder.folder.resolve().name,
            "method": self.recipe.method,
            "sources": list(self.recipe.sources),
            "sample_rate": self.store.sample_rate,
            "channels": self.store.samples.shape[-1],
            "trained_on": ", ".join(dict.fromkeys(recording.collection for recording in self.store.recordings)),
        }
        states = {name: network.state_dict() for name, network in self.kept.items()}
        self.run_folder.keep(states, fixed | self.recipe.description())

    # -- checkpoints -------------------------------------------------------------------------------

    def _save(self) -> None:
        weights = dict(self.objectives.state_dict())
        if self.average is not None:
            weights |= {f"average.{name}": tensor.clone() for name, tensor in self.average.state_dict().items()}
        state = {
            "step": self.step,
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
            "scaler": self.scaler.state_dict(),
            "log": self.log,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "config": as_dict(self.config),
            "data": self.store.fingerprint,
            "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        }
        self.run_folder.save(self.step, weights, state)

    def _load(self) -> bool:
        """Whether there was a checkpoint to go on from."""
        found = self.run_folder.load(self.device)
        if found is None:
            return False
        weights, state = found
        if state["data"] != self.store.fingerprint:
            raise ValueError("the run was begun on other data than what --root names now")
        averages = {
            name.removeprefix("average."): weights.pop(name) for name in list(weights) if name.startswith("average.")
        }
        self.objectives.load_state_dict(weights)
        if self.average is not None:
            self.average.load_state_dict(averages)
        self.optimizer.load_state_dict(state["optimizer"])
        self.plateau.load_state_dict(state["plateau"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.log = state["step"], state["log"]
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])
        return True


def _without_averaging(module: nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Gradients stay this process's own until the last part of a batch."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else contextlib.nullcontext()


def _precision(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _sdr(references: Tensor, estimates: Tensor) -> Tensor:
    """10 log10 of the reference's energy over the error's, whole track; NaN where the reference is silent."""
    energy = references.square().sum((1, 2))
    error = (references - estimates).square().sum((1, 2))
    return torch.where(energy > 0, 10 * torch.log10(energy / error.clamp(min=1e-12)), torch.nan)
