"""Jobs on a dask cluster: one at a time on each worker, moved if a worker is lost, cancelled with the client."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

from separation import __version__
from separation.workers.threads import keep_freed_memory, limit_malloc_arenas
from separation.workers.warned import Warned, catch_warned

__all__ = ["CancelledError", "connect", "map_on_cluster", "report", "stop_if_cancelled", "submit"]

Job = TypeVar("Job")
Result = TypeVar("Result")

_DEATHS = 3  # of a job's workers, after which the job has failed
_POLL_SECONDS = 1.0  # new workers get their first job after this time at the latest
_PATIENCE = 60.0  # seconds to wait for cancelled jobs to clean up before a local cluster is stopped

_one_job = threading.Lock()  # of a worker process: a job uses all its threads, its GPU, and settings of the process


class CancelledError(Exception):
    """Raised in a job whose client has cancelled it, or is gone."""


# In the client.


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """Yield a `dask.distributed.Client` of a scheduler, or of a temporary local cluster.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT`` of a scheduler, or ``local:N`` for N processes on this machine, which share its cores.

    Raises
    ------
    ValueError
        If the cluster cannot be reached, or its workers have another version of this package.
    """
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ValueError("a cluster needs dask: in the project's folder, run pip install '.[cluster]'") from error

    kind, _, count = address.partition(":")
    if kind == "local":
        if not count.isdecimal() or int(count) < 1:
            raise ValueError(f"a local cluster has 1 worker or more, such as local:2, got {address!r}")
        with _local_client(int(count)) as client:
            yield client
        return
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError, AssertionError) as error:  # an assertion, if load delays dask's thread by 10 s
        raise ValueError(f"no cluster at {address!r}: give a scheduler's tcp://HOST:PORT, or local:N") from error
    with client:
        _check_workers(client)
        yield client


@contextmanager
def _local_client(workers: int) -> Iterator[Any]:
    import dask
    from dask.distributed import Client, LocalCluster, WorkerPlugin

    class IgnoreInterrupts(WorkerPlugin):
        """Lets workers end their jobs in order when Ctrl-C reaches all processes of a terminal."""

        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    settings = {
        "distributed.worker.daemon": False,
        "distributed.scheduler.allowed-failures": _DEATHS - 1,
        "distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": max(1, (os.cpu_count() or 1) // workers),
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # dask would pause a worker that holds a large network, for ever
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(IgnoreInterrupts())
        try:
            yield client
        except BaseException:
            with suppress(Exception):  # stopping a worker in the middle of a job would leave its drafts
                client.run(_until_idle)
            raise


def _check_workers(client: Any) -> None:
    try:
        versions = client.run(_version)
    except ImportError as error:
        raise ValueError(f"the workers of the cluster need stemscope {__version__}: {error}") from error
    for worker, version in versions.items():
        if version != __version__:
            raise ValueError(f"the worker {worker} has stemscope {version}, but this is {__version__}")


def map_on_cluster(
    client: Any,
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    lost: Callable[[Job], Result],
    key: Callable[[Job], str] | None = None,
) -> Iterator[Result]:
    """Run a function on all jobs, yielding results as they finish; see :func:`separation.workers.executor.map_jobs`.

    At most one job per worker is submitted at a time: a job that waits for a worker would be suspected when that
    worker dies. When the generator is closed, the remaining jobs are cancelled.
    """
    pending = list(reversed(jobs))
    running: dict[Any, Job] = {}
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    try:
        while pending or running:
            workers = len(client.nthreads()) if pending else 0
            while pending and len(running) < workers:
                job = pending.pop()
                future = submit(client, function, job, key=key(job) if key else None)
                running[future] = job
                future.add_done_callback(finished.put)
            try:
                future = finished.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            yield _result(future, running.pop(future), lost)
            del future  # the cluster forgets it
    finally:
        client.cancel(list(running))


def submit(client: Any, function: Callable[..., Result], *arguments: Any, key: str | None = None) -> Any:
    """Submit a function; return a future of :class:`separation.workers.warned.Warned`, its result and warnings.

    Parameters
    ----------
    client : dask.distributed.Client
    function : callable
        A module-level function. Relative paths work if the worker has the client's current folder.
    arguments
        Arguments of the function.
    key : str, optional
        Clients that submit the same key at the same time share one computation.
    """
    return client.submit(_execute, function, arguments, str(Path.cwd()), key=key or f"job-{uuid.uuid4()}", pure=False)


def _result(future: Any, job: Job, lost: Callable[[Job], Result]) -> Result:
    from dask.distributed import KilledWorker

    if future.status == "finished":
        answer: Warned[Result] = future.result()
        return answer.unpack()
    error = future.exception() if future.status == "error" else None
    if isinstance(error, KilledWorker):
        return lost(job)
    if error is not None:
        raise ValueError(f"a worker of the cluster failed: {type(error).__name__}: {error}") from error
    raise ValueError("the connection to the cluster was lost: run the command again to do the rest")


# In the workers.


def _version() -> str:
    return __version__


async def _until_idle() -> None:
    for _ in range(round(_PATIENCE / 0.05)):
        if not _one_job.locked():
            break
        await asyncio.sleep(0.05)


def _execute(function: Callable[..., Result], arguments: tuple[Any, ...], folder: str) -> Warned[Result]:
    """Run a job as in the client's process: in the client's folder, with warnings collected for the client."""
    from dask.distributed import get_worker

    with _one_job:
        limit_malloc_arenas()
        keep_freed_memory()
        tempfile.tempdir = get_worker().local_directory  # dask removes it after a worker's death
        stop_if_cancelled()
        with chdir(folder) if Path(folder).is_dir() else nullcontext():
            return catch_warned(function, *arguments)


def stop_if_cancelled() -> None:
    """Raise :class:`CancelledError` if this is a job that its client has cancelled; do nothing outside a cluster."""
    from dask.distributed import get_worker

    try:
        worker = get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
    except ValueError:  # not on a worker
        return
    if task is None or task.state == "cancelled":
        raise CancelledError


def report(topic: str, message: dict[str, Any]) -> None:
    """Send a message from a job to the clients that have called `Client.subscribe_topic` for its topic."""
    from dask.distributed import get_worker

    get_worker().log_event(topic, message)
