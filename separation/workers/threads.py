"""Run work items on all cores, one per core.

torch parallelises within an operation. The Wiener filter and the networks run many small or strictly
sequential operations, so that running whole work items side by side halves the time.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

__all__ = ["keep_freed_memory", "limit_malloc_arenas", "map_parts", "map_threads"]

Item = TypeVar("Item")
Made = TypeVar("Made")

_PARTS = 8

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h

_worker = threading.local()  # marks worker threads: nested calls run inline instead of deadlocking


def map_threads(function: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """Return ``[function(item) for item in items]``, computed in inference mode on as many cores as torch may use."""
    threads = torch.get_num_threads()
    if threads == 1 or len(items) == 1 or hasattr(_worker, "busy"):
        return [function(item) for item in items]

    def work(item: Item) -> Made:
        with torch.inference_mode():  # inference mode is per thread
            return function(item)

    return list(_workers(threads).map(work, items))


def map_parts(function: Callable[[int, int], Made], length: int) -> list[Made]:
    """Return ``function(first, last)`` of consecutive parts of ``range(length)``, computed on all cores.

    The parts do not depend on the number of cores, so that sums over them have the same rounding on every machine.
    """
    edges = [length * part // _PARTS for part in range(_PARTS + 1)]
    parts = [(first, last) for first, last in itertools.pairwise(edges) if first < last]
    return map_threads(lambda part: function(*part), parts)


@lru_cache(maxsize=1)
def _workers(threads: int) -> ThreadPoolExecutor:
    """Return a pool of threads in which torch uses one core each."""
    all_ready = threading.Barrier(threads + 1)

    def begin() -> None:
        _worker.busy = True
        torch.get_num_threads()  # a thread latches the global setting on first use: trigger that here
        torch.set_num_threads(1)
        all_ready.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="core")
    for _ in range(threads):
        pool.submit(begin)
    all_ready.wait()
    torch.set_num_threads(threads)  # restore the setting for threads started elsewhere
    return pool


def limit_malloc_arenas() -> None:
    """Make all threads allocate from one heap, on systems with GNU's C library; call it early.

    By default every thread keeps a heap as large as it ever needed. Separating half an hour with Open-Unmix
    on two cores then needs 100 MB more than two minutes; with one heap, the peaks are equal.
    """
    _mallopt(_M_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """Let GNU's C library keep freed blocks for the next allocation, up to its own limits of 32 and 64 MiB.

    It does so by default, but dask sets ``MALLOC_TRIM_THRESHOLD_`` for its workers. Every large block then comes from
    the system and goes back to it: Open-Unmix needs 1.7 times the processor time.
    """
    _mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    _mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def _mallopt(parameter: int, value: int) -> None:
    if os.name == "posix" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(parameter, value)
