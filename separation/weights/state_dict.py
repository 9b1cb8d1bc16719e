"""Read tensors from weight files without executing anything in them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CheckpointError", "is_complete", "read_metadata", "read_state_dict", "sha256_of", "write_pickle"]


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
        If the file is missing, damaged, or holds something other than named tensors.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            state = load(path.read_bytes())  # not memory-mapped: the process would crash if the file shrank
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
    """Return the state dict in a training program's checkpoint; return any other content unchanged."""
    for key in ("state", "state_dict", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            return content[key]
    return content


def write_pickle(content: Any, path: Path) -> None:
    """Write tensors, and other content, as a torch file; raise OSError if the disk does not take it."""
    import torch

    try:
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:  # torch hides the file's error
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file.

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
        raise CheckpointError(f"{path.name} is not a complete weights file") from error


def is_complete(path: Path) -> bool:
    """Return whether a safetensors file has the length that its header gives."""
    try:
        read_metadata(path)
    except CheckpointError:
        return False
    return True


def _numpy_globals() -> list[Any]:
    """Return the globals that torch's restricted unpickler needs to rebuild a float32 NumPy array."""
    import numpy as np
    from numpy._core.multiarray import _reconstruct

    # The module was renamed in NumPy 2; files use either name.
    names = [f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")]
    return [*((_reconstruct, name) for name in names), np.ndarray, np.dtype, np.dtypes.Float32DType]


def _tensor(value: Any) -> Any:
    """Convert a float32 NumPy array to a tensor; return anything else unchanged."""
    import numpy as np
    import torch

    return torch.from_numpy(value) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
