"""Set torch's flags during inference that let NVIDIA GPUs round the inputs of float32 matrix products to TF32."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["float32_arithmetic"]

_lock = threading.Lock()
_requests: list[bool] = []  # of all threads that are computing, whether each allows TF32
_before: list[str] = []  # the flags to restore


@contextmanager
def float32_arithmetic(*, allow_tf32: bool) -> Iterator[None]:
    """Within the context, let float32 convolutions, recurrent layers and matrix products be exact, or allow TF32.

    The flags apply to the whole process. While several threads compute, arithmetic is exact if one of them requires it.
    """
    with _lock:
        if not _requests:
            _before[:] = [flag.fp32_precision for flag in _flags()]
        _requests.append(allow_tf32)
        _set_flags()
    try:
        yield
    finally:
        with _lock:
            _requests.remove(allow_tf32)
            _set_flags()


def _flags() -> tuple[Any, ...]:
    """Return the settings of torch that replace ``allow_tf32`` since torch 2.9; the two must not be mixed."""
    cudnn: Any = torch.backends.cudnn  # its type lacks these attributes
    return cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul


def _set_flags() -> None:
    values = ["tf32" if all(_requests) else "ieee"] * 3 if _requests else _before
    for flag, value in zip(_flags(), values, strict=True):
        flag.fp32_precision = value
