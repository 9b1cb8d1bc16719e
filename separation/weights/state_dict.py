"""Read tensors from weight files without executing anything in them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CheckpointError", "is_complete", "read_metadata", "read_state_dict", "sha256_of"]


class CheckpointError(ValueError):
    """Raised if a model is unknown, not installed, damaged or unavailable; the message says what to do."""


def read_state_dict(path: Path, *, numpy_arrays: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file in float32, without executing anything in it.

    Parameters
    ----------
    path : Path
    numpy_arrays : bool
        Also accept float32 NumPy arrays in a torch file. Use it only for files of known hash.

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
            with torch.serialization.safe_globals(_numpy_globals() if numpy_arrays else []):
                state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.name} is missing") from error
    except Exception as error:  # each reader raises its own errors for a damaged file
        raise CheckpointError(f"{path.name} is damaged, or holds more than tensors, and was not loaded") from error
    state = _unwrapped(state)
    if numpy_arrays and isinstance(state, dict):
        state = dict(zip(state, map(_tensor, state.values()), strict=True))
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise CheckpointError(f"{path.name} does not hold a dictionary of tensors")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _unwrapped(content: Any) -> Any:
    """Return the state dict among the entries of a training program's checkpoint, or anything else as it is."""
    for key in ("state", "state_dict", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            return content[key]
    return content


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file, which are texts.

    Raises
    ------
    CheckpointError
        If the file is missing or incomplete.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.name} is missing") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is not a complete file of weights") from error


def is_complete(path: Path) -> bool:
    """Return whether a safetensors file has the length that its header gives."""
    try:
        read_metadata(path)
    except CheckpointError:
        return False
    return True


def _numpy_globals() -> list[Any]:
    """Return what rebuilds a float32 NumPy array, for torch's restricted unpickler."""
    import numpy as np
    from numpy._core.multiarray import _reconstruct

    # The module was renamed in NumPy 2; files name it in both ways.
    names = [f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")]
    return [*((_reconstruct, name) for name in names), np.ndarray, np.dtype, np.dtypes.Float32DType]


def _tensor(value: Any) -> Any:
    """Return a float32 NumPy array as a tensor, anything else as it is."""
    import numpy as np
    import torch

    return torch.from_numpy(value) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
