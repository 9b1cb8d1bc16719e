"""Configuration of training runs: the common options of all recipes, read from TOML."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from separation.datasets.mix_config import MixConfig
from separation.toml_files import load_toml

__all__ = ["TrainingConfig", "as_dict", "from_dict", "read_toml"]

Config = TypeVar("Config", bound="TrainingConfig")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(MixConfig):
    """Options of all recipes, in addition to those of :class:`~separation.datasets.mix_config.MixConfig`.

    Attributes
    ----------
    seed : int
        Seed of the initial weights and of every batch.
    batch : int
        Items per optimiser step and process.
    accumulate : int
        Number of parts of a batch whose gradients are accumulated, to save memory.
    epochs : int
        Maximum number of epochs.
    epoch_steps : int or None
        Optimiser steps per epoch. None derives them from `excerpts_per_track`.
    excerpts_per_track : int
        Average number of excerpts of every track in an epoch, unless `epoch_steps` is given.
    learning_rate, weight_decay : float
        Parameters of Adam.
    schedule : "plateau", "decay" or "constant"
        "plateau" multiplies the learning rate by `plateau_factor` after `plateau_patience` epochs without a
        better validation loss, then waits `plateau_cooldown` epochs. "decay" warms up for 50 steps, then is
        constant, then falls linearly to a fiftieth over the last `decay_share` of all epochs.
    patience : int or None
        Number of epochs without a better validation loss after which training stops; None for no limit.
    best_by : "loss" or "sdr"
        Criterion on the validation tracks by which the saved model is chosen.
    validate_every : int
        Number of epochs from one validation to the next.
    ema : float
        Decay per step of an exponential moving average of the weights; 0 for none. If there is an average, it
        is validated and saved as the model.
    clip : float or None
        Maximum norm of each network's gradient; None for no limit.
    precision : "auto", "fp32", "bf16" or "fp16"
        "auto" uses the half precision of a GPU, and float32 on a CPU.
    compile : bool
        Compile the networks with ``torch.compile``.
    """

    seed: int = 42
    batch: int = 16
    accumulate: int = 1
    epochs: int = 1000
    epoch_steps: int | None = None
    excerpts_per_track: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["plateau", "decay", "constant"] = "constant"
    plateau_factor: float = 0.3
    plateau_patience: int = 80
    plateau_cooldown: int = 10
    decay_share: float = 0.4
    patience: int | None = None
    best_by: Literal["loss", "sdr"] = "loss"
    validate_every: int = 1
    ema: float = 0.0
    clip: float | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch", "accumulate", "epochs", "excerpts_per_track", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("plateau_patience", "plateau_cooldown"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("epoch_steps", "patience", "clip"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0 or omitted, got {getattr(self, name)}")
        if self.batch % self.accumulate:
            raise ValueError(f"a batch of {self.batch} does not divide into {self.accumulate} parts")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and 0 <= self.seed < 2**63):
            raise ValueError(
                "learning_rate must be above 0, weight_decay and seed at least 0, "
                f"got {self.learning_rate}, {self.weight_decay}, {self.seed}"
            )
        if not (0 <= self.ema < 1 and 0 < self.decay_share <= 1 and 0 < self.plateau_factor < 1):
            raise ValueError(
                "ema must be in 0..1 (1 excluded), decay_share and plateau_factor in 0..1, "
                f"got {self.ema}, {self.decay_share}, {self.plateau_factor}"
            )
        if self.shuffle_groups and (self.batch // self.accumulate) % self.shuffle_groups:
            raise ValueError(
                f"{self.batch // self.accumulate} items do not divide into groups of {self.shuffle_groups}"
            )


def read_toml(config: type[Config], path: Path | None) -> Config:
    """Read a recipe's config from a TOML file that names the options to change.

    Raises
    ------
    ValueError
        If the file cannot be read, or if a key is unknown or its value is invalid; the message names the key.
    """
    if path is None:
        return config()
    given = load_toml(path)
    try:
        return from_dict(config, given)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def as_dict(config: TrainingConfig) -> dict[str, Any]:
    """Return the options as a dict that can be written to JSON."""
    return {
        f.name: dict(value) if isinstance(value := getattr(config, f.name), Mapping) else value
        for f in dataclasses.fields(config)
    }


def from_dict(config: type[Config], given: Mapping[str, Any]) -> Config:
    """Build a config from a dict; raise ValueError for unknown keys and wrong types."""
    hints = typing.get_type_hints(config)
    if unknown := sorted(set(given) - set(hints)):
        raise ValueError(f"unknown key {unknown[0]!r}; the keys are {', '.join(sorted(hints))}")
    return config(**{name: _convert(name, value, hints[name]) for name, value in given.items()})


def _convert(name: str, value: Any, hint: Any) -> Any:
    """Convert a TOML value to a field's type: lists to tuples, and integers to floats where a float is expected."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in inner:
            return value
        raise ValueError(f"{name} must be one of {', '.join(inner)}, got {value!r}")
    if origin is types.UnionType:
        if value is None and type(None) in inner:
            return None
        return _convert(name, value, next(kind for kind in inner if kind is not type(None)))
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(name, item, inner[0]) for item in value)
    if origin is not None and isinstance(value, Mapping) and issubclass(origin, Mapping):
        return {key: _convert(f"{name}.{key}", item, inner[1]) for key, item in value.items()}
    if type(value) is int and abs(value) >= 2**63:
        raise ValueError(f"{name} is too large")
    if hint is float and type(value) is int:
        return float(value)
    if origin is None and type(value) is hint:
        return value
    raise ValueError(f"{name} must be {getattr(hint, '__name__', hint)}, got {value!r}")
