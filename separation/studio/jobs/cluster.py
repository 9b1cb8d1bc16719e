"""Jobs on a dask cluster: ``STEMSCOPE_CLUSTER`` is the address of its scheduler."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from separation.studio.errors import HostError

if TYPE_CHECKING:
    from dask.distributed import Client

__all__ = ["ClusterError", "address", "connect", "run", "slots"]

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # to reach the scheduler
SECONDS_KNOWN = 5  # for which the number of workers is not asked for again


class ClusterError(HostError):
    """The cluster cannot be reached, or has lost a job."""

    told = "the machines that compute cannot be reached, or have lost this job: try again later"


def address() -> str | None:
    """Return the scheduler's address; None to work in this process."""
    return os.environ.get("STEMSCOPE_CLUSTER", "").strip() or None


@cache
def connect() -> Client:
    """Return this process's connection; raise ClusterError if no scheduler answers at the address."""
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ClusterError("a cluster needs dask: in the project's folder, run pip install '.[cluster]'") from error
    try:
        return Client(address(), timeout=PATIENCE_SECONDS, set_as_default=False)
    except (OSError, ValueError, AssertionError) as error:  # an assertion, if load delays dask's thread by 10 s
        raise ClusterError(f"STEMSCOPE_CLUSTER: cannot connect to a scheduler at {address()!r}") from error


def slots() -> int:
    """Return the number of jobs that can run at once: one per worker, and one without a cluster."""
    return _workers(int(time.monotonic() / SECONDS_KNOWN)) if address() else 1


@lru_cache(maxsize=1)
def _workers(now: int) -> int:
    return max(1, len(connect().nthreads()))


def run(function: Callable[..., Any], *arguments: Any, key: str, on_poll: Callable[[], None]) -> None:
    """Run a function on a worker and wait for it; the scheduler moves it to another if its worker dies.

    The scheduler keeps the task if this process dies. A task of the same key is not started twice.

    Raises
    ------
    ClusterError
        If the scheduler is gone, or the task has killed several workers.
    """
    from dask.distributed import fire_and_forget

    future = connect().submit(function, *arguments, key=key)
    fire_and_forget(future)
    while not future.done():
        on_poll()
        time.sleep(POLL_SECONDS)
    if future.status != "finished":
        raise ClusterError(f"the cluster has lost this job ({future.status})")
