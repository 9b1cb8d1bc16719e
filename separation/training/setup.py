"""From the words of the command line to a training that is ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from separation.datasets.dataset import Dataset, fingerprint, open_dataset
from separation.datasets.store import Progress, StemStore, build_store
from separation.models.open_unmix import LEGACY_KEYS
from separation.sources import SOURCES
from separation.training.config import TrainingConfig, read_toml
from separation.training.demucs import DemucsConfig, DemucsRecipe
from separation.training.distributed import ProcessGroup
from separation.training.open_unmix import OpenUnmixConfig, OpenUnmixRecipe
from separation.training.recipe import Recipe
from separation.training.run_folder import RunFolder
from separation.training.trainer import Trainer
from separation.weights.catalogue import cache_dir, find_model

__all__ = ["RECIPES", "build_trainer"]

#: The recipes by name, with their configs.
RECIPES: dict[str, tuple[type[TrainingConfig], Any]] = {
    "open-unmix": (OpenUnmixConfig, OpenUnmixRecipe),
    "demucs": (DemucsConfig, DemucsRecipe),
}
RATE = 44100


def build_trainer(
    name: str,
    *,
    roots: Sequence[Path],
    out: Path,
    target: str = "all",
    config: Path | None = None,
    initial: str | None = None,
    wav: bool = False,
    processes: ProcessGroup = ProcessGroup(),
    progress: Progress = lambda done, total, name: None,
) -> Trainer:
    """Read the config, decode the data (once: stores are kept in ``SEPARATION_HOME``), make the networks.

    Parameters
    ----------
    name : str
        A recipe.
    roots : sequence of path
        Data sets, as :func:`separation.data.collections.open_dataset` takes them.
    out : path
        The run's folder.
    target : str
        One source, or "all".
    config : path, optional
        A TOML file with what differs from the published recipe.
    initial : str, optional
        A model, by name or folder, whose weights are the beginning.

    Raises
    ------
    ValueError
        For anything of this that cannot be used.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    config_type, recipe_type = RECIPES[name]
    settings = read_toml(config_type, config)
    torch.manual_seed(settings.seed)
    recipe: Recipe = recipe_type(settings, sources=SOURCES, target=target)
    initial_weights = _initial_weights(initial, recipe) if initial else None
    collections = [open_dataset(root, wav=wav) for root in roots]
    _refuse_same_names(collections)
    if not any(collection.valid for collection in collections):
        raise ValueError("there are no validation tracks: MUSDB18's are known, other data needs a valid folder")
    store = _store(collections, settings, processes, progress)
    validation = [_whole_track(track) for collection in collections for track in collection.valid]
    run = RunFolder(out, job=target)
    return Trainer(
        recipe,
        store.to(processes.device),
        validation,
        run,
        processes=processes,
        initial=initial_weights,
        initial_name=initial and Path(initial).name,
    )


def _store(
    collections: Sequence[Dataset], config: TrainingConfig, processes: ProcessGroup, progress: Progress
) -> StemStore:
    speeds = "-".join(f"{speed:g}" for speed in config.speeds)
    folder = cache_dir() / "stores" / f"{fingerprint(collections)}-{speeds}"
    shown = progress if processes.first else lambda done, total, name: None
    return build_store(folder, collections, sources=SOURCES, sample_rate=RATE, speeds=config.speeds, progress=shown)


def _whole_track(track: Any) -> Tensor:
    """(sources, channels, time), silence for a source that the track lacks."""
    _, references, rate = track.read()
    some = next(iter(references.values()))
    stems = np.stack([references.get(source, np.zeros_like(some)) for source in SOURCES])
    if stems.shape[1] == 1:
        stems = stems.repeat(2, axis=1)
    if rate != RATE:
        flat = soxr.resample(stems.reshape(-1, stems.shape[-1]).T, rate, RATE)
        stems = flat.T.reshape(*stems.shape[:2], -1)
    return torch.from_numpy(np.ascontiguousarray(stems, dtype=np.float32))


def _refuse_same_names(collections: Sequence[Dataset]) -> None:
    names = [collection.name for collection in collections]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two data sets are called {name!r}: configs could not tell them apart")


def _initial_weights(name: str, recipe: Recipe) -> dict[str, dict[str, Tensor]]:
    model = find_model(name, method=recipe.method)
    weights = {}
    for objective, module in recipe.objectives.items():
        model.load_into(
            module.network, model.file(objective), ignore=LEGACY_KEYS
        )  # refuses what does not fit, in words
        weights[objective] = {name: value.clone() for name, value in module.network.state_dict().items()}
    return weights
