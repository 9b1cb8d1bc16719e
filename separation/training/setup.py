"""Prepare a training run from command-line arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from separation.datasets.dataset import Dataset, fingerprint, open_dataset, unused_files
from separation.datasets.musdb18 import Track
from separation.datasets.stem_folders import FolderTrack
from separation.datasets.store import Progress, SkippedTrack, StemStore, build_store, read_sources
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
SAMPLE_RATE = 44100  # sample rate of all training data in Hz, that of the published models
SHORTEST_VALIDATION = 0.1  # in seconds; longer than the STFT windows of the published recipes


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
    skipped: Callable[[SkippedTrack], None] = lambda track: None,
    note: Callable[[str], None] = lambda text: None,
) -> Trainer:
    """Read the config, decode the data sets, and build the networks and their trainer.

    Decoded data sets are stored under ``SEPARATION_HOME`` and reused by later runs.

    Parameters
    ----------
    name : str
        Name of a recipe.
    roots, wav : sequence of path, bool
        Folders of data sets; whether they are MUSDB18-HQ. See :func:`separation.datasets.dataset.open_dataset`.
    out : path
        The run's folder.
    target : str
        One source, or "all".
    config : path, optional
        A TOML file with the options that differ from the published recipe.
    initial : str, optional
        Name or folder of a model whose weights training starts from.
    progress : callable
        Receives the number of decoded recordings, their total, and the name of the next.
    skipped : callable
        Receives each track that cannot be used; the others are trained on.
    note : callable
        Receives a sentence about unused audio files, if there are any.

    Raises
    ------
    ValueError
        If an argument, the config or a data set cannot be used.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; choose {' or '.join(RECIPES)}")
    config_type, recipe_type = RECIPES[name]
    settings = read_toml(config_type, config)
    torch.manual_seed(settings.seed)
    recipe: Recipe = recipe_type(settings, sources=SOURCES, target=target, sample_rate=SAMPLE_RATE)
    initial_weights = _initial_weights(initial, recipe) if initial else None
    datasets = _open_datasets(roots, wav, note)
    store = _build_store(datasets, settings, processes, progress)
    for track in store.skipped:
        skipped(track)
    validation = _read_validation_tracks(datasets, skipped)
    return Trainer(
        recipe,
        store.to(processes.device),
        validation,
        RunFolder(out, job=target),
        processes=processes,
        initial=initial_weights,
        initial_name=initial and Path(initial).name,
    )


def _open_datasets(roots: Sequence[Path], wav: bool, note: Callable[[str], None]) -> list[Dataset]:
    datasets = [open_dataset(root, wav=wav) for root in roots]
    _check_names(datasets)
    if not any(dataset.valid for dataset in datasets):
        raise ValueError("no validation tracks were found: put some into a folder 'valid', or train on MUSDB18 as well")
    if unused := unused_files([track for dataset in datasets for track in (*dataset.train, *dataset.valid)]):
        note(unused)
    return datasets


def _build_store(
    datasets: Sequence[Dataset], config: TrainingConfig, processes: ProcessGroup, progress: Progress
) -> StemStore:
    speeds = "-".join(f"{speed:g}" for speed in config.speeds)
    folder = cache_dir() / "stores" / f"{fingerprint(datasets)}-{speeds}"
    report = progress if processes.first else lambda done, total, name: None
    return build_store(
        folder, datasets, sources=SOURCES, sample_rate=SAMPLE_RATE, speeds=config.speeds, progress=report
    )


def _read_validation_tracks(datasets: Sequence[Dataset], skipped: Callable[[SkippedTrack], None]) -> list[Tensor]:
    """Read the validation tracks that can be used; raise ValueError if none can."""
    tracks, unreadable = [], []
    for dataset in datasets:
        for track in dataset.valid:
            try:
                tracks.append(_read_validation_track(track))
            except ValueError as error:
                unreadable.append(SkippedTrack(name=track.name, collection=dataset.name, reason=str(error)))
                skipped(unreadable[-1])
    if not tracks:
        first = unreadable[0]
        raise ValueError(f"no validation track can be read; the first is {first.name!r}: {first.reason}")
    return tracks


def _read_validation_track(track: Track | FolderTrack) -> Tensor:
    """Read all sources of a track, shape (sources, channels, time), with silence for missing ones."""
    references, sample_rate = read_sources(track)
    silence = np.zeros_like(next(iter(references.values())))
    stems = np.stack([references.get(source, silence) for source in SOURCES])
    if stems.shape[1] > 2:
        raise ValueError(f"its stems have {stems.shape[1]} channels, not 1 or 2")
    if stems.shape[2] < SHORTEST_VALIDATION * sample_rate:
        raise ValueError(f"it has {stems.shape[2]} samples; validation needs {SHORTEST_VALIDATION:g} s")
    if stems.shape[1] == 1:
        stems = stems.repeat(2, axis=1)
    if sample_rate != SAMPLE_RATE:
        flat = soxr.resample(stems.reshape(-1, stems.shape[-1]).T, sample_rate, SAMPLE_RATE)
        stems = flat.T.reshape(*stems.shape[:2], -1)
    return torch.from_numpy(np.ascontiguousarray(stems, dtype=np.float32))


def _check_names(datasets: Sequence[Dataset]) -> None:
    names = [dataset.name for dataset in datasets]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"two data sets are called {name!r}, so that configs cannot distinguish them: rename a folder"
            )


def _initial_weights(name: str, recipe: Recipe) -> dict[str, dict[str, Tensor]]:
    model = find_model(name, method=recipe.method)
    weights = {}
    for objective, module in recipe.objectives.items():
        model.load_into(module.network, model.file(objective), ignore=LEGACY_KEYS)
        weights[objective] = {name: value.clone() for name, value in module.network.state_dict().items()}
    return weights
