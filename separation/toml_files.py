"""TOML files that users write: presets, recipes and maps of stems."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

__all__ = ["load_toml"]


def load_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file; raise ValueError, which names the file, if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not a readable TOML file: {error}") from error
