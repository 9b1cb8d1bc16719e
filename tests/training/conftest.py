"""Fixtures and helpers of the training tests: a tiny synthetic data set, and networks with fast steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from separation.datasets.dataset import open_dataset
from separation.datasets.store import StemStore, build_store
from separation.training.config import TrainingConfig
from separation.training.demucs import DemucsConfig, DemucsRecipe
from separation.training.distributed import ProcessGroup
from separation.training.open_unmix import OpenUnmixConfig, OpenUnmixRecipe
from separation.training.recipe import Recipe
from separation.training.run_folder import RunFolder
from separation.training.throughput import Report
from separation.training.trainer import Trainer

RATE = 44100
SOURCES = ("vocals", "drums", "bass", "other")

#: A network with all layers of the full one, whose steps take a few milliseconds.
TINY_OPEN_UNMIX: dict[str, Any] = {
    "seconds": 0.2,
    "batch": 4,
    "epochs": 3,
    "epoch_steps": 2,
    "hidden_size": 8,
    "n_fft": 512,
    "hop_length": 256,
}
TINY_DEMUCS: dict[str, Any] = {
    "seconds": 0.1,
    "batch": 4,
    "epochs": 3,
    "epoch_steps": 2,
    "channels": 4,
    "depth": 2,
    "resample": False,
    "shift": 0.01,
    "repitch": 0.0,
}
RECIPES = ("open-unmix", "demucs")


def tiny_open_unmix(**changed: Any) -> OpenUnmixConfig:
    return OpenUnmixConfig(**TINY_OPEN_UNMIX | changed)


def tiny_demucs(**changed: Any) -> DemucsConfig:
    return DemucsConfig(**TINY_DEMUCS | changed)


def tiny_config(name: str, **changed: Any) -> TrainingConfig:
    return tiny_open_unmix(**changed) if name == "open-unmix" else tiny_demucs(**changed)


def tiny_recipe(name: str, *, target: str = "all", **changed: Any) -> Any:
    """Return a recipe whose networks are initialised with the config's seed."""
    config = tiny_config(name, **changed)
    torch.manual_seed(config.seed)
    recipe_type: Any = OpenUnmixRecipe if name == "open-unmix" else DemucsRecipe
    return recipe_type(config, sources=SOURCES, target=target)


def toml(config: dict[str, Any]) -> str:
    """Format a config as TOML; numbers, strings and lists are written as in JSON."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())


def synthetic_stems(seed: int, frames: int) -> dict[str, np.ndarray]:
    """Return four stems as different as vocals, drums, bass and other, each (time, 2)."""
    generator = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / RATE
    pitch = generator.uniform(200, 400)
    vibrato = 0.2 * np.sin(2 * np.pi * 5 * time)
    voice = sum(np.sin(2 * np.pi * n * pitch * time + n * vibrato) / n for n in range(1, 6))
    beat = np.exp(-30 * (time % generator.uniform(0.2, 0.4)))
    noise = generator.uniform(-1, 1, (frames, 2))
    chord = sum(np.sin(2 * np.pi * ratio * pitch * time) for ratio in (2.0, 2.5, 3.0))
    sounds = {
        "vocals": 0.15 * voice,
        "drums": 0.3 * beat * noise,
        "bass": 0.3 * np.sin(2 * np.pi * generator.uniform(50, 90) * time),
        "other": 0.1 * chord,
    }
    balance = generator.uniform(0.5, 1, (4, 2))
    return {name: balance[row] * sound + 1e-3 * noise for row, (name, sound) in enumerate(sounds.items())}


def write_track(folder: Path, *, seconds: float = 1.5, seed: int = 0, silent: tuple[str, ...] = ()) -> None:
    folder.mkdir(parents=True)
    for source, sound in synthetic_stems(seed, round(seconds * RATE)).items():
        soundfile.write(folder / f"{source}.wav", sound * (source not in silent), RATE, subtype="PCM_16")


def write_data_set(root: Path, *, train: int = 3, valid: int = 2, seconds: float = 1.5) -> Path:
    """Write plain folders ``train`` and ``valid`` of ``<track>/<source>.wav``; all tracks differ in length."""
    for number in range(train):
        write_track(root / "train" / f"song {number}", seconds=seconds + 0.1 * number, seed=number)
    for number in range(valid):
        write_track(root / "valid" / f"song {number}", seconds=seconds / 2 + 0.1 * number, seed=100 + number)
    return root


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_set(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="session")
def store_folder(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "tiny"
    build_store(folder, [open_dataset(data_root)], sources=SOURCES)
    return folder


@pytest.fixture(scope="session")
def store(store_folder: Path) -> StemStore:
    return StemStore(store_folder)


@pytest.fixture(scope="session")
def validation(data_root: Path) -> list[Tensor]:
    """Return whole tracks, each (sources, channels, time)."""
    return read_validation(data_root)


def read_validation(root: Path) -> list[Tensor]:
    tracks = [track.read()[1] for track in open_dataset(root).valid]
    return [torch.stack([torch.from_numpy(stems[source]) for source in SOURCES]) for stems in tracks]


MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def make_trainer(store: StemStore, validation: list[Tensor], tmp_path: Path) -> MakeTrainer:
    """Return ``make_trainer("demucs", folder="run", target="all", recipe=None, processes=..., **config)``."""

    def make(
        name: str,
        *,
        folder: str = "run",
        target: str = "all",
        recipe: Recipe | None = None,
        tracks: list[Tensor] | None = None,
        processes: ProcessGroup = ProcessGroup(),
        **changed: Any,
    ) -> Trainer:
        recipe = recipe or tiny_recipe(name, target=target, **changed)
        run = RunFolder(tmp_path / folder, target)
        return Trainer(recipe, store, validation if tracks is None else tracks, run, processes=processes)

    return make


def run_all(trainer: Trainer, *, resume: bool = False) -> list[Report]:
    return list(trainer.train(resume=resume))


def run_until(trainer: Trainer, step: int, *, resume: bool = False) -> None:
    """Stop at a step as after a power failure, without writing anything more."""
    for report in trainer.train(resume=resume):
        if report.step == step:
            return
    raise AssertionError(f"the training ended before step {step}")


def training_state(trainer: Trainer) -> dict[str, Any]:
    """Return all state of a trainer that determines its further steps."""
    optimizer = trainer.optimizer.state_dict()
    return {
        "weights": {name: tensor.clone() for name, tensor in trainer.objectives.state_dict().items()},
        "average": {} if trainer.average is None else dict(trainer.average.state_dict()),
        "optimizer": {
            f"{row}/{key}": value for row, state in optimizer["state"].items() for key, value in state.items()
        },
        "groups": optimizer["param_groups"],
        "plateau": dict(trainer.plateau.state_dict()),
        "log": [without_speed(entry) for entry in trainer.log],
        "step": trainer.step,
    }


def without_speed(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "examples_per_second"}


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Check that two values are equal bit by bit, recursively through dicts."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, Tensor):
        assert torch.equal(one, other), f"{where} differs by {(one.double() - other.double()).abs().max()}"
    else:
        assert one == other, f"{where}: {one} and {other}"
