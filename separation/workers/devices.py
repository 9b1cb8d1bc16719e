"""Compute devices: choosing one, and one GPU per worker process."""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

__all__ = ["choose_device", "claim_gpu"]

_claimed: dict[str, FileLock] = {}  # released by the system when this process ends, even if it is killed


def choose_device(device: str) -> torch.device:
    """Return the torch device for "auto", "cpu", "cuda" or "mps".

    "auto" is the GPU if CUDA is available, else the CPU. Raises ValueError if the device is not available.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if device not in available:
        raise ValueError(f"device must be auto, cpu, cuda or mps, got {device!r}")
    if not available[device]:
        raise ValueError(f"there is no {device.upper()} device here: choose --device cpu or auto")
    return torch.device(device)


@contextmanager
def claim_gpu(device: str) -> Iterator[None]:
    """Within the context, let torch's "cuda" be a GPU that no other worker process of this user has claimed."""
    if choose_device(device).type != "cuda":
        yield
        return
    with torch.cuda.device(_claim()):
        yield


def _claim() -> int:
    for index in range(torch.cuda.device_count()):
        name = f"stemscope-{getpass.getuser()}-gpu-{index}"
        if name in _claimed:
            return index
        lock = FileLock(Path(tempfile.gettempdir()) / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        _claimed[name] = lock
        return index
    return 0  # more workers than GPUs: they share
