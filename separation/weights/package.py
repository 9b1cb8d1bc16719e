"""Find weights in an installed Python package without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["package_folder"]


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed top-level package without importing it; None if it is not installed."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))) if locations else None
