"""Jobs on a dask cluster."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from separation.studio.jobs import cluster, runner, speeds, store
from separation.studio.jobs.queue import FairQueue
from separation.studio.jobs.store import JobState
from separation.studio.results import storage
from tests.conftest import ROOT
from tests.forked import forked
from tests.studio.job_helpers import order, state_of, wait_until

pytestmark = pytest.mark.usefixtures("own_results")


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a scheduler, which the studio uses within the test."""
    pytest.importorskip("distributed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    host, port = address.split(":")
    with dask("scheduler", "--host", host, "--port", port, "--dashboard-address", ":0"):
        monkeypatch.setenv("STEMSCOPE_CLUSTER", f"tcp://{address}")
        monkeypatch.setattr(runner, "QUEUE", FairQueue(slots=cluster.slots))
        cluster.connect.cache_clear()
        yield f"tcp://{address}"
        cluster.connect().close()
        cluster.connect.cache_clear()


@contextmanager
def dask(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler or a worker within the block."""
    kind, *rest = words
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *rest]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def worker(scheduler: str, name: str) -> tuple[str, ...]:
    return ("worker", scheduler, "--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard")


@pytest.mark.slow  # starts a scheduler and two workers; the tests below cover the rest without
def test_a_lost_workers_job_goes_to_another(scheduler: str) -> None:
    with dask(*worker(scheduler, "first")) as first:
        wait_until(lambda: cluster.connect().nthreads())
        token = runner.submit(order("mix", "hpss", "ica", seconds=8.0), "visitor")
        wait_until(lambda: state_of(token).results)
        os.kill(first.pid, signal.SIGKILL)
        time.sleep(1)
        assert state_of(token).state == "working", "it is waiting for another worker, not interrupted"
        before = (storage.RESULTS / token / "mix" / "result.json").stat().st_mtime_ns
        with dask(*worker(scheduler, "second")):
            state = runner.wait(token)
    assert state is not None
    assert (state.state, state.finished, state.run) == ("done", 3, 1)
    assert (storage.RESULTS / token / "mix" / "result.json").stat().st_mtime_ns == before


def test_a_cluster_that_cannot_be_reached_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setenv("STEMSCOPE_CLUSTER", "tcp://127.0.0.1:9")
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.2)
    cluster.connect.cache_clear()
    with pytest.raises(cluster.ClusterError, match="cannot connect to a scheduler at"):
        runner.submit(order("mix"), "visitor")
    assert not list(storage.RESULTS.glob("*"))


def test_a_client_that_does_not_start_under_load_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")

    def start(*_: object, **__: object) -> None:
        raise AssertionError  # as distributed's event loop does after 10 s

    monkeypatch.setenv("STEMSCOPE_CLUSTER", "tcp://127.0.0.1:9")
    monkeypatch.setattr(distributed.utils.LoopRunner, "start", start)
    cluster.connect.cache_clear()
    with pytest.raises(cluster.ClusterError, match="cannot connect"):
        cluster.connect()


def test_a_job_of_a_lost_cluster_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: object, **__: object) -> None:
        raise cluster.ClusterError("the cluster has lost this job")

    monkeypatch.setenv("STEMSCOPE_CLUSTER", "tcp://127.0.0.1:9")
    monkeypatch.setattr(cluster, "connect", lambda: None)
    monkeypatch.setattr(cluster, "run", lose)
    monkeypatch.setattr(runner, "QUEUE", FairQueue())
    state = runner.wait(runner.submit(order("mix"), "visitor"))
    assert state is not None
    assert state.can_go_on


def test_speeds_on_a_worker_are_known_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(work: Callable[..., None], *arguments: object, key: str, on_poll: Callable[[], None]) -> None:
        assert forked(partial(work, *arguments)) == (0, "")

    monkeypatch.setenv("STEMSCOPE_CLUSTER", "tcp://127.0.0.1:9")
    monkeypatch.setattr(cluster, "connect", lambda: None)
    monkeypatch.setattr(cluster, "run", run)
    monkeypatch.setattr(runner, "QUEUE", FairQueue())
    monkeypatch.setattr(speeds, "_factors", {})
    monkeypatch.setattr(speeds, "LONG_ENOUGH", 0.5)
    runner.wait(runner.submit(order("mix", seconds=0.5), "visitor"))
    assert speeds.speed_of("mix")


def test_a_run_that_was_replaced_does_nothing() -> None:
    folder = storage.new_folder()
    store.save_order(folder, order("mix"))
    store.write_state(folder, JobState(name="song", run=2))
    runner.run_job(folder, 1)
    assert state_of(folder.name).state == "waiting"
    runner.run_job(folder, 2)
    assert state_of(folder.name).state == "done"
