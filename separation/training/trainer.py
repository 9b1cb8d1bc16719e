"""The training loop, one for all recipes.

Every step draws a batch from its own seed, mixes it on the device, and computes one loss, one backward pass and
one clipped update for each network of the recipe. Seeds depend only on the run's seed, the step and the process,
so that a run that was killed resumes as if it had not been interrupted; on a CPU, bit by bit. A step only launches
operations: losses stay on the device and are checked together every few steps, so that a GPU never waits for the host.
"""

from __future__ import annotations

import contextlib
import math
import platform
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from separation.datasets.store import StemStore
from separation.training.autocast_check import autocast_dtype, check_autocast_accuracy
from separation.training.average import WeightAverage
from separation.training.config import as_dict
from separation.training.distributed import ProcessGroup, without_gradient_averaging
from separation.training.loader import BatchLoader, batch_seed
from separation.training.recipe import Objective, Recipe
from separation.training.run_folder import RunFolder
from separation.training.tensorboard import TensorBoardWriter
from separation.training.throughput import Report, Throughput
from separation.training.validation import is_out_of_patience, validate, validation_score

__all__ = ["CHECK_EVERY", "Trainer"]

WARM_UP = 50  # steps of the "decay" schedule
CHECK_EVERY = 50  # steps after which the losses are read from the device
NOT_FINITE_ADVICE = 'start a new run with a lower learning_rate or with precision = "fp32"'


class Trainer:
    """A training run with all its state.

    Parameters
    ----------
    validation : list of Tensor, each (sources, channels, time)
        Whole validation tracks.
    initial : mapping of state dicts, optional
        Weights to start from, by objective.
    initial_name : str, optional
        Name of the model that `initial` comes from, recorded in the run's config.
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
        self.provenance = {"data": store.fingerprint, "initial": initial_name}
        self.config = config = recipe.config
        self.device = processes.device
        if store.sample_rate != recipe.sample_rate:
            raise ValueError(f"the recipe expects {recipe.sample_rate} Hz, but the store has {store.sample_rate} Hz")
        torch.manual_seed(config.seed)
        if initial is None:
            recipe.initialise(store)
        else:
            for name, state in initial.items():
                recipe.objectives[name].network.load_state_dict(state)
        self.sampler = recipe.sampler(store)
        self.objectives = nn.ModuleDict(recipe.objectives).to(self.device)
        self.average = WeightAverage(self.objectives, config.ema) if config.ema else None
        parameters, decay = [p for p in self.objectives.parameters() if p.requires_grad], config.weight_decay
        self.optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=decay, fused=True)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer,
            factor=config.plateau_factor,
            patience=config.plateau_patience,
            cooldown=config.plateau_cooldown,
        )
        self.precision = autocast_dtype(config.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision is torch.float16)
        tracks = sum(recording.speed == 1 for recording in store.recordings)
        per_epoch = tracks * config.excerpts_per_track / (config.batch * processes.size)
        self.epoch_steps = config.epoch_steps or max(1, math.ceil(per_epoch))
        self.validation_estimates: Tensor | None = None  # estimates for the first validation track, for TensorBoard
        self.step = 0
        self.log: list[dict[str, Any]] = []

    def train(self, *, resume: bool = False) -> Iterator[Report]:
        """Train until the last epoch or early stopping; yield a report after every step.

        Raises
        ------
        ValueError
            If `resume` is True and the run was started with other data, if it is False and a run exists
            already, if another process trains in the folder, or if the CPU computes a layer wrongly in the chosen
            precision.
        FloatingPointError
            If a loss is not finite. The batch's seed is in the message and in the log.
        """
        hold = self.run_folder.locked() if self.processes.first else contextlib.nullcontext()
        with hold, self._wrapped():
            self._start(resume)
            yield from self._steps()

    def _start(self, resume: bool) -> None:
        if self.processes.first:
            self.run_folder.begin(as_dict(self.config) | self.provenance, resume=resume)
        if resume and not self._load_checkpoint() and self.processes.first:
            self.run_folder.check_initial(self.provenance["initial"])
        if self.processes.first:
            self.run_folder.write_log(self.log)  # the run may have been killed between a checkpoint and its log entry
            self.tensorboard = TensorBoardWriter(
                self.run_folder.job_folder, sample_rate=self.store.sample_rate, step=self.step
            )

    def _steps(self) -> Iterator[Report]:
        config = self.config
        steps = config.epochs * self.epoch_steps
        throughput = Throughput(
            batch=config.batch * self.processes.size, epoch_steps=self.epoch_steps, epochs=config.epochs
        )
        losses: list[Tensor] = []  # of this epoch, per step
        checked, first = 0, self.step
        with self._batches(steps) as batches:
            while self.step < steps and not is_out_of_patience(self.log, config):
                self._set_learning_rate(steps)
                with throughput.waiting(lambda: batches.waited_for_step):
                    sources = next(batches)
                if self.step == first:
                    self._check_autocast(sources)
                losses.append(self._one_step(sources))
                self.step += 1
                loss, validation = losses[-1], {}
                ends_epoch = self.step % self.epoch_steps == 0
                if ends_epoch or len(losses) - checked == CHECK_EVERY:
                    self._check_finite(losses[checked:])
                    checked = len(losses)
                if ends_epoch:
                    with throughput.paused():
                        validation = self._end_epoch(torch.stack(losses).mean(0), throughput, self.step == steps)
                    losses, checked = [], 0
                yield throughput.report(self.step, loss, validation)

    @contextlib.contextmanager
    def _wrapped(self) -> Iterator[None]:
        """Within the context, hold the modules to be trained: compiled if configured, with averaged gradients.

        They are released when training ends. A DistributedDataParallel reducer that holds the last reference to the
        process group ends the group's threads while it holds the GIL, and hangs forever if one of them needs the GIL
        to free a tensor.
        """
        self.wrapped = {name: self.processes.wrap(module) for name, module in self.objectives.items()}
        self.step_modules = {name: torch.compile(m) if self.config.compile else m for name, m in self.wrapped.items()}
        try:
            yield
        finally:
            self.wrapped, self.step_modules = {}, {}

    def _batches(self, steps: int) -> BatchLoader:
        seeds = (batch_seed(self.config.seed, step, self.processes.rank) for step in range(self.step, steps))
        return BatchLoader(self.sampler, seeds, size=self.config.batch, device=self.device)

    def _check_autocast(self, sources: Tensor) -> None:
        if self.device.type == "cpu" and self.precision != torch.float32:
            inputs = self.recipe.inputs(sources.chunk(self.config.accumulate)[0])
            for name, objective in self.objectives.items():
                check_autocast_accuracy(objective, inputs[name], self.precision)

    def _one_step(self, sources: Tensor) -> Tensor:
        """Update every network on one batch; return the losses (objectives,), averaged over all processes."""
        losses = self.processes.mean(self._gradients(sources))
        self.scaler.unscale_(self.optimizer)
        if self.config.clip:
            for module in self.objectives.values():
                nn.utils.clip_grad_norm_(module.parameters(), self.config.clip, foreach=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.objectives, first=self.step == 0)
        return losses

    def _gradients(self, sources: Tensor) -> Tensor:
        """Accumulate the gradients of one batch, averaged over all processes; return the local losses (objectives,)."""
        seed = batch_seed(self.config.seed, self.step, self.processes.rank)
        torch.manual_seed(seed)  # for dropout
        parts = sources.chunk(self.config.accumulate)
        losses = torch.zeros(len(self.step_modules), device=self.device)
        self.optimizer.zero_grad(set_to_none=True)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            inputs = self.recipe.inputs(part)
            for index, (name, objective) in enumerate(self.step_modules.items()):
                with contextlib.nullcontext() if last else without_gradient_averaging(self.wrapped[name]):
                    with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                        loss = objective(*inputs[name]) / len(parts)
                    self.scaler.scale(loss).backward()
                losses[index] += loss.detach()
        return losses

    def _check_finite(self, steps: list[Tensor]) -> None:
        """Raise FloatingPointError for the first of the last steps whose losses are not finite."""
        losses = torch.stack(steps).cpu()
        for index, finite in enumerate(losses.isfinite().all(1).tolist()):
            if not finite:
                self._raise_not_finite(losses[index], self.step - len(steps) + index)

    def _raise_not_finite(self, losses: Tensor, step: int) -> None:
        values = [str(float(loss)) for loss in losses]
        seeds = [batch_seed(self.config.seed, step, rank) for rank in range(self.processes.size)]
        entry = {"step": step, "losses": values, "batch_seed": seeds[0] if len(seeds) == 1 else seeds}
        if self.processes.first:
            self.run_folder.write_log([*self.log, {"not finite": entry}])
        raise FloatingPointError(
            f"the loss is not finite at step {step} ({', '.join(values)}); the batch's seed is "
            f"{', '.join(map(str, seeds))}. The last checkpoint is from before; {NOT_FINITE_ADVICE}"
        )

    def _set_learning_rate(self, steps: int) -> None:
        if self.config.schedule != "decay":
            return  # "plateau" is handled by its scheduler
        remaining = max(0.0, 1 - self.step / steps) / self.config.decay_share
        rate = self.config.learning_rate * min(1.0, (self.step + 1) / WARM_UP) * max(0.02, min(1.0, remaining))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _end_epoch(self, losses: Tensor, throughput: Throughput, last: bool) -> dict[str, Any]:
        """Validate if due, write the checkpoint, the log and the best model; return the report's validation."""
        epoch = self.step // self.epoch_steps
        entry: dict[str, Any] = {
            "epoch": epoch,
            "step": self.step,
            "train_loss": dict(zip(self.step_modules, losses.tolist(), strict=True)),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "examples_per_second": round(throughput.speed, 2),
        }
        validated = epoch % self.config.validate_every == 0 or last
        if validated:
            self._validate_epoch(entry)
        best = validated and self.processes.first and self._is_best(entry)
        self.log.append(entry)
        if self.processes.first:
            if best:
                self._save_model()
            self._save_checkpoint()
            self.run_folder.write_log(self.log)
            self.tensorboard.add(entry)
            if best and self.validation_estimates is not None:
                estimates = dict(zip(self.recipe.targets, self.validation_estimates, strict=True))
                self.tensorboard.add_audio(estimates, self.step)
        shown = {"train": float(losses.mean())}
        return shown | ({"loss": entry["valid_loss"], "sdr": entry.get("sdr", {}), "best": best} if validated else {})

    def _validate_epoch(self, entry: dict[str, Any]) -> None:
        """Add the validation to a log entry, in the first process; broadcast the loss to all processes."""
        if self.processes.first:
            entry |= self._validate()
        loss = entry["valid_loss"] = self.processes.from_first([entry.get("valid_loss", 0.0)])[0]
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the validation loss is {loss} after epoch {entry['epoch']}. "
                f"The last checkpoint is from before; {NOT_FINITE_ADVICE}"
            )
        if self.config.schedule == "plateau":
            self.plateau.step(loss)

    @property
    def eval_networks(self) -> dict[str, nn.Module]:
        """The networks that are validated and saved as the model, with averaged weights if `ema` is on."""
        modules = self.objectives if self.average is None else self.average.module
        assert isinstance(modules, nn.ModuleDict)
        return {name: cast("Objective", module).network for name, module in modules.items()}

    def _validate(self) -> dict[str, Any]:
        """Return the validation fields of a log entry."""
        outcome = validate(self.recipe, self.eval_networks, self.validation, device=self.device)
        self.validation_estimates = outcome.estimates
        return {"valid_loss": outcome.loss, "sdr": outcome.sdr}

    def validation_score(self, entry: Mapping[str, Any]) -> float:
        """Return the score of a validated log entry by which the best epoch is chosen; higher is better."""
        return validation_score(entry, self.config.best_by)

    def _is_best(self, entry: dict[str, Any]) -> bool:
        score = self.validation_score(entry)
        return all(score > self.validation_score(other) for other in self.log if "sdr" in other)

    def _save_model(self) -> None:
        description = {
            "name": self.run_folder.folder.resolve().name,
            "method": self.recipe.method,
            "sources": list(self.recipe.sources),
            "sample_rate": self.store.sample_rate,
            "channels": self.store.samples.shape[-1],
            "trained_on": ", ".join(dict.fromkeys(recording.collection for recording in self.store.recordings)),
        }
        states = {name: network.state_dict() for name, network in self.eval_networks.items()}
        self.run_folder.save_model(states, description | self.recipe.description())

    def _save_checkpoint(self) -> None:
        weights = dict(self.objectives.state_dict())
        if self.average is not None:
            weights |= {f"average.{name}": tensor.clone() for name, tensor in self.average.state_dict().items()}
        state = {
            "step": self.step,
            "epoch_steps": self.epoch_steps,
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

    def _load_checkpoint(self) -> bool:
        """Restore the newest checkpoint; return False if there is none."""
        checkpoint = self.run_folder.load(self.device)
        if checkpoint is None:
            return False
        weights, state = checkpoint
        if state["data"] != self.store.fingerprint:
            raise ValueError("the run was started with other data than that of --root; pass the same data sets again")
        if (then := state.get("epoch_steps", self.epoch_steps)) != self.epoch_steps:
            now = self.epoch_steps
            raise ValueError(
                f"an epoch had {then} steps and would now have {now}: resume the run with as many processes"
            )
        averages = {
            name.removeprefix("average."): weights.pop(name) for name in list(weights) if name.startswith("average.")
        }
        self.objectives.load_state_dict(weights)
        if self.average is not None:
            self.average.load_state_dict(averages)
        for group in state["optimizer"]["param_groups"]:
            group |= {"fused": True, "foreach": None}  # as here, whichever implementation wrote the checkpoint
        self.optimizer.load_state_dict(state["optimizer"])
        self.plateau.load_state_dict(state["plateau"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.log = state["step"], state["log"]
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])
        return True
