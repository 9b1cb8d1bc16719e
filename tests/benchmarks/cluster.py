"""Songs per minute on a local dask cluster, against one process; and whether killed workers cost more than time.

Prints JSON. The processor time per song is that of the workers and their parts of dask, without starting and loading;
on a busy machine it says more than the songs per minute.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from separation.pipeline.batch import Job, JobOptions, JobResult, find_jobs, separate_song
from separation.pipeline.many import separate_on_worker
from separation.workers.cluster import connect, map_on_cluster
from tests.benchmarks.machine import describe

__all__ = ["write_songs"]

RATE = 44100


def write_songs(folder: Path, count: int, seconds: float) -> None:
    """Write so many different songs of noise."""
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).uniform(-0.3, 0.3, (round(seconds * RATE), 2))
        soundfile.write(folder / f"{number:04}.wav", noise, RATE)


def one_process(jobs: list[Job]) -> dict[str, float]:
    """In this process, with the model loaded."""
    began, before = time.perf_counter(), time.process_time()
    errors = [result.error for job in jobs if (result := separate_song(job)).error]
    return _figures(len(jobs), len(errors), time.perf_counter() - began, time.process_time() - before)


def on_cluster(jobs: list[Job], client: Any, *, kill_after: list[float] | None = None) -> dict[str, float]:
    """On the workers of a client; at each of the given seconds one of the busy workers is killed."""
    killers = [threading.Timer(seconds, _kill_one, (client,)) for seconds in kill_after or []]
    before = sum(client.run(_processor_time).values())
    began, client_before = time.perf_counter(), time.process_time()
    for killer in killers:
        killer.start()
    results = list(map_on_cluster(client, separate_on_worker, jobs, lost=_lost))
    wall = time.perf_counter() - began
    for killer in killers:
        if killer.is_alive():
            raise RuntimeError("the songs were finished before the last worker was to be killed: separate more songs")
    worked = sum(client.run(_processor_time).values()) - before
    figures = _figures(len(jobs), sum(bool(result.error) for result in results), wall, worked)
    return figures | {"client and scheduler, CPU ms per song": (time.process_time() - client_before) / len(jobs) * 1000}


def _figures(songs: int, failed: int, wall: float, processor: float) -> dict[str, float]:
    print(f"{songs} songs, {failed} failed: {wall:.1f} s, {processor:.1f} s of processors", file=sys.stderr, flush=True)
    return {
        "songs": songs,
        "failed": failed,
        "songs per minute": songs / wall * 60,
        "wall s per song": wall / songs,
        "CPU s per song": processor / songs,
    }


def _lost(job: Job) -> JobResult:
    return JobResult(job=job, error="given up")


def _processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _busy(dask_worker: Any) -> int | None:
    return os.getpid() if dask_worker.state.executing else None


def _kill_one(client: Any) -> None:
    for process in client.run(_busy).values():
        if process is not None:
            os.kill(process, signal.SIGKILL)
            return
    raise RuntimeError("no worker was busy: separate more songs")


def _nothing(number: int) -> int:
    return number


def _stems(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.wav")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", help="not needed")
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--method", default="open-unmix")
    arguments = parser.parse_args()
    options = JobOptions(method=arguments.method)
    result: dict[str, Any] = {"benchmark": "cluster", **describe(), "seconds of a song": arguments.seconds}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_songs(folder / "warm", 4, 3.0)
        write_songs(folder / "music", arguments.songs, arguments.seconds)

        def jobs(name: str, music: str = "music") -> list[Job]:
            return find_jobs([folder / music], folder / name, options)

        one_process(jobs("warm-0", "warm"))
        result["one process"] = one_process(jobs("one"))
        expected = _stems(folder / "one")
        for workers in (1, 2):
            began = time.perf_counter()
            with connect(f"local:{workers}") as client:
                result[f"start of {workers} (s)"] = time.perf_counter() - began
                on_cluster(jobs(f"warm-{workers}", "warm"), client)
                result[f"{workers} workers"] = on_cluster(jobs(f"on {workers}"), client)
                result[f"{workers} workers"]["identical"] = _stems(folder / f"on {workers}") == expected
                if workers == 2:
                    kill_after = [2.0, 6.0]  # a song that loses three workers fails
                    killed = on_cluster(jobs("killed"), client, kill_after=kill_after)
                    del killed["CPU s per song"]  # the killed workers' is lost
                    result[f"workers killed: {len(kill_after)}"] = killed
                    killed["identical"] = _stems(folder / "killed") == expected
                    killed["left over"] = sum(1 for _ in (folder / "killed").rglob(".*"))
                    result["empty jobs per second"] = _empty_jobs(client)
    print(json.dumps(result, indent=1))


def _empty_jobs(client: Any, count: int = 500) -> float:
    began = time.perf_counter()
    for _ in map_on_cluster(client, _nothing, range(count), lost=_nothing):
        pass
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
