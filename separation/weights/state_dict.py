"""Read tensors from weight files without executing anything in them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CheckpointError", "read_state_dict", "sha256_of"]


class CheckpointError(ValueError):
    """Raised if a model is unknown, not installed, damaged or unavailable; the message says what to do."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file in float32, without executing anything in it.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or holds anything but named tensors.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            state = load(path.read_bytes())  # not memory-mapped: if the file shrank meanwhile, the process would crash
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.name} is missing") from error
    except Exception as error:  # each reader raises its own errors for a damaged file
        raise CheckpointError(f"{path.name} is damaged, or holds more than tensors, and was not loaded") from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise CheckpointError(f"{path.name} does not hold a dictionary of tensors")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
