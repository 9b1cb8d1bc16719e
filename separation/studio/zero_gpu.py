"""Hugging Face's ZeroGPU: a GPU that a Space has only while one call lasts."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
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
        if is_zero_gpu():  # other Spaces have the package too
            _leave_threads_to_forks()
        decorated: Work = spaces.GPU(duration=seconds)(work)
        return decorated

    return decorate


@lru_cache(maxsize=1)
def _leave_threads_to_forks() -> None:
    """Let this process compute in one thread, and those that it forks in as many as it could have.

    A process that was forked waits forever for OpenMP's threads if its parent had started them.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(threads))
