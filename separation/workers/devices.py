"""Compute devices: choosing one, and one GPU per worker process."""

from __future__ import annotations

import torch

__all__ = ["choose_device"]


def choose_device(device: str) -> torch.device:
    """ "auto" is the GPU where there is one; raises ValueError for one that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device here: choose --device cpu or auto")
    return torch.device(device)
