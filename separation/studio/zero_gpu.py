"""Hugging Face's ZeroGPU: a GPU that a Space has only while one call lasts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

__all__ = ["is_zero_gpu", "with_gpu"]

Work = TypeVar("Work", bound=Callable[..., object])


def is_zero_gpu() -> bool:
    """Whether this is such a Space: models must then be loaded in the main thread, before the studio is launched."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def with_gpu(seconds: Callable[..., float]) -> Callable[[Work], Work]:
    """Decorate a function or generator that computes: on ZeroGPU it runs in a process that holds a GPU.

    Arguments and results are pickled on their way. Where there is no package `spaces`, which only
    Spaces have, nothing changes.

    Parameters
    ----------
    seconds : callable
        Of the same arguments: how long a call lasts at most; then the GPU is taken away. A longer time
        waits longer for its turn.
    """

    def decorate(work: Work) -> Work:
        try:
            import spaces
        except ImportError:
            return work
        decorated: Work = spaces.GPU(duration=seconds)(work)
        return decorated

    return decorate
