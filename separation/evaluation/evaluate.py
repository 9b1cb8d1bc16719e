"""Separate and score a data set, track by track, in one process, several, or on a cluster.

A track is finished when its file is there, whole: what is killed on the way goes on where it was,
and who comes second to a track finds that nothing is left to do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from separation.audio import Audio
from separation.data.musdb18 import Track
from separation.evaluation.bss_eval import ArraySignals
from separation.evaluation.results import read_result, write_result
from separation.evaluation.track_scores import score_signals
from separation.pipeline import run
from separation.separators import METHODS, create
from separation.separators.base import Separator, choose_device

__all__ = ["Job", "Outcome", "evaluate", "evaluate_track", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One track for one method, as it travels between processes.

    Attributes
    ----------
    track : Track
    file : Path
        Where the scores go.
    method : str
    model : str or None
    device : str
    options : tuple of (str, value)
        Of the method.
    made : tuple of (str, value)
        What the file says of its origin, and what one from an earlier run must say.
    """

    track: Track
    file: Path
    method: str
    model: str | None
    device: str
    options: tuple[tuple[str, Any], ...]
    made: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a track: its scores are in the file, or `error` says why not."""

    name: str
    file: Path
    error: str | None = None


# -- what there is to do ---------------------------------------------------------------------------


def prepare(
    tracks: Sequence[Track],
    folder: Path,
    *,
    method: str,
    model: str | None = None,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
) -> tuple[list[Job], list[Job]]:
    """The jobs, ``folder/<subset>/<track>.json`` each, that are still to be done, and those that are done.

    Raises
    ------
    ValueError
        If the method cannot be made like this, or `folder` holds scores of another model or other options.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; the methods are {', '.join(METHODS)}")
    made: dict[str, Any] = {"method": method, "model": None, "model_sha256": None, "options": dict(options or {})}
    chosen = tuple((options or {}).items())
    if not METHODS[method].needs_references:
        separator = _separator(method, model, device, chosen)
        made |= {"model": separator.model, "model_sha256": separator.model_hash, "options": asdict(separator.options)}
    jobs = [
        Job(
            track=track,
            file=folder.absolute() / track.subset / f"{track.name}.json",
            method=method,
            model=model,
            device=device,
            options=chosen,
            made=tuple(made.items()),
        )
        for track in tracks
    ]
    done = [job for job in jobs if job.file.exists()]
    for job in done:
        _refuse_other_origin(job)
    return [job for job in jobs if job not in done], done


def _refuse_other_origin(job: Job) -> None:
    """Scores of two models in one folder would be taken for those of one."""
    before = read_result(job.file).made
    for name, value in job.made:
        if before.get(name) != value:
            raise ValueError(
                f"{job.file.parent.parent.name!r} holds scores with {name} {before.get(name)!r}, "
                f"now it is {value!r}: choose another --out"
            )


# -- one track -------------------------------------------------------------------------------------


def evaluate_track(job: Job) -> Outcome:
    """Separate, score and write one track; whatever goes wrong with it is its outcome."""
    if job.file.exists():  # by a worker that was lost before it could say so
        return Outcome(name=job.track.name, file=job.file)
    try:
        with _one_gpu(job.device):
            scores = _scores(job)
        write_result(job.file, scores, made=dict(job.made))
    except Exception as error:  # a bad file can raise anything, and the other tracks must go on
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return Outcome(name=job.track.name, file=job.file, error=said)
    return Outcome(name=job.track.name, file=job.file)


def _scores(job: Job) -> dict[str, Any]:
    mixture, references, rate = job.track.read()
    true = {source: torch.from_numpy(np.ascontiguousarray(wave)) for source, wave in references.items()}
    audio = Audio(waveform=torch.from_numpy(np.ascontiguousarray(mixture)), sample_rate=rate)
    if METHODS[job.method].needs_references:
        separator = create(job.method, options=dict(job.options), references=true)
    else:
        separator = _separator(job.method, job.model, job.device, job.options)
    stems = torch.cat(list(run(separator, audio)), dim=-1).cpu()
    named = [source for source in true if source in separator.sources]
    if not named:  # components, which nobody has given names to
        return _score(true, stems, rate, separator, permute=True)
    estimates = {source: stems[separator.sources.index(source)] for source in named}
    if len(named) < len(true):  # as SiSEC: what is not the target accompanies it
        estimates["accompaniment"] = audio.waveform - sum(estimates.values())
        rest = torch.stack([wave for source, wave in true.items() if source not in named]).sum(0)
        true = {source: true[source] for source in named} | {"accompaniment": rest}
    return _score(true, torch.stack([estimates[source] for source in true]), rate, separator)


def _score(
    true: Mapping[str, torch.Tensor], estimates: torch.Tensor, rate: int, separator: Separator, *, permute: bool = False
) -> dict[str, Any]:
    return score_signals(
        list(true),
        ArraySignals(torch.stack(list(true.values()))),
        ArraySignals(estimates),
        rate,
        permute=permute,
        device=str(separator.device),
    )


@lru_cache(maxsize=1)
def _separator(method: str, model: str | None, device: str, options: tuple[tuple[str, Any], ...]) -> Separator:
    """Made once per process, not per track."""
    return create(method, model=model, device=device, options=dict(options))


# -- GPUs ------------------------------------------------------------------------------------------

_claimed: dict[str, FileLock] = {}  # this process's GPU, held until it ends, however it ends


@contextmanager
def _one_gpu(device: str) -> Iterator[None]:
    """Within: torch's "cuda" is a GPU that no other worker of this machine's user has taken."""
    if choose_device(device).type != "cuda":
        yield
        return
    with torch.cuda.device(_own_gpu()):
        yield


def _own_gpu() -> int:
    for index in range(torch.cuda.device_count()):
        name = f"stemscope-{os.getuid()}-gpu-{index}"
        if name in _claimed:
            return index
        lock = FileLock(Path(tempfile.gettempdir()) / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        _claimed[name] = lock
        return index
    return 0  # more workers than GPUs, of another run: they share


# -- many tracks -----------------------------------------------------------------------------------


def evaluate(jobs: Sequence[Job], *, workers: int = 1, cluster: str | None = None) -> Iterator[Outcome]:
    """Do all jobs; yields each one's outcome as it comes, in any order.

    Parameters
    ----------
    workers : int
        Processes on this machine, through joblib; at most one per GPU where there are any.
    cluster : str, optional
        Address of a `dask.distributed` scheduler instead, or ``local:N``: one of N processes, for as
        long as this takes. Data and results must have the same paths on all its machines.

    Raises
    ------
    ValueError
        If `workers` is below 1 or there is no such cluster.
    """
    if workers < 1:
        raise ValueError(f"at least one job at a time is needed, got {workers}")
    if not jobs:
        return
    if cluster is not None:
        yield from _on_cluster(jobs, cluster)
        return
    if choose_device(jobs[0].device).type == "cuda":
        workers = min(workers, torch.cuda.device_count())
    if workers == 1:
        yield from map(evaluate_track, jobs)
    else:
        yield from _in_processes(jobs, workers)


def _in_processes(jobs: Sequence[Job], workers: int) -> Iterator[Outcome]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

    left = {job.file: job for job in jobs}
    try:
        parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch=workers)
        for outcome in parallel(delayed(evaluate_track)(job) for job in jobs):
            del left[outcome.file]
            yield outcome
    except (BrokenProcessPool, TerminatedWorkerError):
        # A worker was killed, and joblib gives up all others with it. What is left is done one by
        # one, so that only the track that a worker dies of is lost.
        for job in left.values():
            try:
                yield Parallel(n_jobs=2)([delayed(evaluate_track)(job)])[0]
            except (BrokenProcessPool, TerminatedWorkerError):
                yield _lost(job)


def _on_cluster(jobs: Sequence[Job], address: str) -> Iterator[Outcome]:
    from dask.distributed import as_completed

    with _client(address) as client:
        futures = {client.submit(evaluate_track, job, pure=False): job for job in jobs}
        for future in as_completed(list(futures)):  # a lost worker's tracks go to the others, by dask itself
            job = futures[future]
            yield _lost(job) if future.status != "finished" else future.result()


def _lost(job: Job) -> Outcome:
    return Outcome(name=job.track.name, file=job.file, error="the worker was killed while it was at it: out of memory?")


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
        LocalCluster(n_workers=int(count), threads_per_worker=1, dashboard_address=None) as own,
        Client(own) as client,
    ):
        yield client
