"""Support for Hugging Face's ZeroGPU, which lends a GPU for the duration of one call."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

__all__ = ["is_zero_gpu", "with_gpu"]

Work = TypeVar("Work", bound=Callable[..., object])


def is_zero_gpu() -> bool:
    """Return whether this is a ZeroGPU Space, where models must be loaded in the main thread before launch."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def with_gpu(seconds: Callable[..., float]) -> Callable[[Work], Work]:
    """Decorate a function or generator so that on ZeroGPU it runs in a process that holds a GPU.

    Arguments and results are pickled. Without the package `spaces`, which only Spaces have, nothing changes.

    Parameters
    ----------
    seconds : callable
        Takes the same arguments and returns the longest duration of the call, after which the GPU is taken away. A
        longer duration waits longer in ZeroGPU's queue.
    """

    def decorate(work: Work) -> Work:
        try:
            import spaces
        except ImportError:
            return work
        if is_zero_gpu():  # other Spaces have the package `spaces` too
            _leave_threads_to_forks()
        decorated: Work = spaces.GPU(duration=seconds)(work)
        return decorated

    return decorate


@lru_cache(maxsize=1)
def _leave_threads_to_forks() -> None:
    """Compute in one thread in this process, and in all threads in the processes it forks.

    A forked process waits forever for OpenMP's threads if its parent has started them.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(threads))
