"""Run independent jobs: in turn, in several processes, or on a dask cluster.

A job that kills its worker is reported; the remaining jobs continue. Warnings that jobs issue in other processes
are issued in this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from separation.workers.cluster import connect, map_on_cluster
from separation.workers.devices import choose_device
from separation.workers.warned import Warned, catch_warned

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
    key: Callable[[Job], str] | None = None,
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
    key : callable, optional
        Returns a job's name on the cluster. Two clients that run jobs of the same name at once share the work.

    Raises
    ------
    ValueError
        If `workers` is below 1, or the cluster cannot be reached or is lost.
    """
    if workers < 1:
        raise ValueError(f"--jobs must be at least 1, got {workers}")
    if not jobs:
        return
    if cluster is not None:
        with connect(cluster) as client:
            yield from map_on_cluster(client, function, jobs, lost=lost, key=key)
        return
    if choose_device(device).type == "cuda":
        workers = min(workers, torch.cuda.device_count())
    if workers == 1:
        yield from map(function, jobs)
    else:
        yield from _in_processes(function, jobs, lost, workers)


def _numbered(function: Callable[[Job], Result], index: int, job: Job) -> tuple[int, Warned[Result]]:
    return index, catch_warned(function, job)


def _in_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], lost: Callable[[Job], Result], workers: int
) -> Iterator[Result]:
    from concurrent.futures.process import BrokenProcessPool  # the base class of joblib's errors

    from joblib import Parallel, delayed

    remaining = dict(enumerate(jobs))
    try:
        parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch=workers)
        for index, answer in parallel(delayed(_numbered)(function, index, job) for index, job in enumerate(jobs)):
            del remaining[index]
            yield answer.unpack()
    except BrokenProcessPool:
        # A worker died, and joblib stops all others with it. The remaining jobs run one by one, so that
        # only the job that kills its worker is lost.
        yield from _one_by_one(function, list(remaining.values()), lost)


def _one_by_one(
    function: Callable[[Job], Result], jobs: Sequence[Job], lost: Callable[[Job], Result]
) -> Iterator[Result]:
    """Run jobs in another process, and those after a job that kills it in a new one."""
    from concurrent.futures.process import BrokenProcessPool

    from joblib.externals.loky import ProcessPoolExecutor

    process = ProcessPoolExecutor(max_workers=1)
    try:
        for job in jobs:
            try:
                answer = process.submit(catch_warned, function, job).result()
            except BrokenProcessPool:
                process = ProcessPoolExecutor(max_workers=1)
                yield lost(job)
            else:
                yield answer.unpack()
    finally:
        process.shutdown(kill_workers=True)  # at once, also if nobody wants the remaining results
