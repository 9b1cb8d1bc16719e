"""Run independent jobs: in turn, in several processes, or on a dask cluster.

A job that kills its worker is reported; the remaining jobs continue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from separation.workers.devices import choose_device

__all__ = ["WORKER_DIED", "map_jobs"]

Job = TypeVar("Job")
Result = TypeVar("Result")

WORKER_DIED = "the worker process died while processing this item (out of memory?)"


def map_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    lost: Callable[[Job], Result],
    workers: int = 1,
    cluster: str | None = None,
    device: str = "auto",
) -> Iterator[Result]:
    """Run a function on all jobs, yielding results as they finish, in any order.

    Parameters
    ----------
    function : callable
        A module-level function, so that other processes can import it. It must not raise.
    jobs : sequence
        Arguments of `function`, one call each.
    lost : callable
        Returns the result for a job whose worker died; :data:`WORKER_DIED` is a suitable message.
    workers : int
        Processes on this machine, through joblib; at most one per GPU on CUDA.
    cluster : str, optional
        Address of a `dask.distributed` scheduler, or ``local:N`` for a temporary one with N processes.
        Data and results must have the same paths on all its machines.
    device : str
        The device that the jobs use.

    Raises
    ------
    ValueError
        If `workers` is below 1, or the cluster cannot be reached.
    """
    if workers < 1:
        raise ValueError(f"at least one job at a time is needed, got {workers}")
    if not jobs:
        return
    if cluster is not None:
        yield from _on_cluster(function, jobs, lost, cluster)
        return
    if choose_device(device).type == "cuda":
        workers = min(workers, torch.cuda.device_count())
    if workers == 1:
        yield from map(function, jobs)
    else:
        yield from _in_processes(function, jobs, lost, workers)


def _numbered(function: Callable[[Job], Result], index: int, job: Job) -> tuple[int, Result]:
    return index, function(job)


def _in_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], lost: Callable[[Job], Result], workers: int
) -> Iterator[Result]:
    from concurrent.futures.process import BrokenProcessPool  # the base class of joblib's errors

    from joblib import Parallel, delayed

    remaining = dict(enumerate(jobs))
    try:
        parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch=workers)
        for index, result in parallel(delayed(_numbered)(function, index, job) for index, job in enumerate(jobs)):
            del remaining[index]
            yield result
    except BrokenProcessPool:
        # A worker died, and joblib stops all others with it. The remaining jobs run one by one, so that
        # only the job that kills its worker is lost.
        for job in remaining.values():
            try:
                yield Parallel(n_jobs=2)([delayed(function)(job)])[0]
            except BrokenProcessPool:
                yield lost(job)


def _on_cluster(
    function: Callable[[Job], Result], jobs: Sequence[Job], lost: Callable[[Job], Result], address: str
) -> Iterator[Result]:
    try:
        from dask.distributed import as_completed
    except ImportError as error:
        raise ValueError("a cluster needs dask: pip install 'stemscope[cluster]'") from error

    with _client(address) as client:
        futures = {client.submit(function, job, pure=False): job for job in jobs}
        for future in as_completed(list(futures)):  # dask itself moves a lost worker's jobs to the others
            yield lost(futures[future]) if future.status != "finished" else future.result()


@contextmanager
def _client(address: str) -> Iterator[Any]:
    import dask
    from dask.distributed import Client, LocalCluster

    kind, _, count = address.partition(":")
    if kind != "local":
        try:
            client = Client(address, timeout=10)
        except (OSError, ValueError) as error:
            raise ValueError(f"no cluster at {address!r}: give a scheduler's tcp://HOST:PORT, or local:N") from error
        with client:
            yield client
        return
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"a local cluster has 1 worker or more, such as local:2, got {address!r}")
    with (
        dask.config.set({"distributed.worker.daemon": False}),
        LocalCluster(n_workers=int(count), threads_per_worker=1, dashboard_address=None) as local_cluster,
        Client(local_cluster) as client,
    ):
        yield client
