"""Separators that stay in memory, for programs that separate many songs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from separation.separators.factory import create, model_names
from separation.separators.registry import find_method
from separation.weights.catalogue import model_files

if TYPE_CHECKING:
    from separation.separators.base import Separator

__all__ = ["load"]


def load(
    method: str,
    *,
    model: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    options: Mapping[str, object] | None = None,
) -> Separator:
    """Return the separator of :func:`separation.separators.factory.create`, from memory if it was created before.

    It is created again if the files of its models or its preset have changed. Oracles belong to one song: create them.
    """
    chosen = tuple(sorted((options or {}).items()))
    return _load(method, model, device, precision, chosen, _state(method, model))


@lru_cache(maxsize=8)
def _load(
    method: str, model: str | None, device: str, precision: str, options: tuple[tuple[str, object], ...], state: str
) -> Separator:
    return create(method, model=model, device=device, precision=precision, options=dict(options))


def _state(method: str, model: str | None) -> str:
    """Return a text that changes with the preset and with the files of the models."""
    try:
        files = [file.stat() for name in model_names(method, model) for file in model_files(name)]
    except (ValueError, OSError):  # `create` says what is wrong
        return ""
    return repr((find_method(method).preset, [(file.st_ino, file.st_size, file.st_mtime_ns) for file in files]))
