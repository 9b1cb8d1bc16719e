"""Separate and score a data set, track by track, in one process, several, or on a cluster.

A track is finished when its file exists. Files are written atomically, so that a killed run resumes after the last
finished track, and each track is scored once even if two runs share a folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from separation.audio.signal import Audio
from separation.datasets.musdb18 import Track
from separation.datasets.stem_folders import FolderTrack
from separation.evaluation.metrics import EXTRA_METRICS
from separation.evaluation.museval_json import extra_metrics, read_result, write_result
from separation.evaluation.signals import ArraySignals
from separation.evaluation.track_scores import score_signals
from separation.pipeline.run import run
from separation.separators import create, find_method
from separation.separators.loaded import load
from separation.sources import ACCOMPANIMENT, PARTS_OF_OTHER
from separation.workers.devices import claim_gpu
from separation.workers.executor import WORKER_DIED, map_jobs

__all__ = ["Job", "TrackOutcome", "evaluate_track", "evaluate_tracks", "plan_jobs"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One track for one method; pickled for worker processes.

    Attributes
    ----------
    track : Track or FolderTrack
    file : Path
        File for the scores.
    method : str
    model : str or None
    device : str
    options : tuple of (str, value)
        Options of the method.
    provenance : tuple of (str, value)
        Provenance that the file records, and that an earlier file must match.
    metrics : tuple of str
        Extra metrics; see :func:`separation.evaluation.track_scores.score_signals`.
    verify : bool
        Whether museval scores the track as well.
    """

    track: Track | FolderTrack
    file: Path
    method: str
    model: str | None
    device: str
    options: tuple[tuple[str, Any], ...]
    provenance: tuple[tuple[str, Any], ...]
    metrics: tuple[str, ...] = ()
    verify: bool = False

    @property
    def is_scored(self) -> bool:
        """Whether the file exists. A name that is too long is an error of its track only, when it is written."""
        return os.path.exists(self.file)  # noqa: PTH110 - Path.exists raises an error for such a name


@dataclass(frozen=True, kw_only=True)
class TrackOutcome:
    """The outcome for one track: `error` says why it could not be scored; it is None if the scores are in the file."""

    name: str
    file: Path
    error: str | None = None


# Planning.


def plan_jobs(
    tracks: Sequence[Track | FolderTrack],
    folder: Path,
    *,
    method: str,
    model: str | None = None,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
    metrics: Sequence[str] = (),
    verify: int = 0,
) -> tuple[list[Job], list[Job]]:
    """Return the pending and the finished jobs, one per track; each writes ``folder/<subset>/<track>.json``.

    Parameters
    ----------
    tracks : sequence of Track or FolderTrack
    folder : path
        The method's folder of scores.
    method, model, device, options
        See :func:`separation.separators.factory.create`.
    metrics : sequence of str
        Extra metrics. A track that was scored without them is pending; the metrics in its file are kept.
    verify : int
        Number of tracks that museval scores as well: the first ones.

    Raises
    ------
    ValueError
        If the method cannot be created, or `folder` holds scores of another model or other options.
    """
    chosen = tuple((options or {}).items())
    provenance = _provenance(method, model, device, chosen)
    jobs = [
        Job(
            track=track,
            file=folder.absolute() / (track.subset or "test") / f"{track.name}.json",
            method=method,
            model=model,
            device=device,
            options=chosen,
            provenance=provenance,
            metrics=tuple(metrics),
            verify=number < verify,
        )
        for number, track in enumerate(tracks)
    ]
    for job in jobs:
        if job.is_scored:
            _refuse_other_origin(job)
    done = [job for job in jobs if _is_finished(job)]
    return [job for job in jobs if job not in done], done


def _provenance(
    method: str, model: str | None, device: str, options: tuple[tuple[str, Any], ...]
) -> tuple[tuple[str, Any], ...]:
    """Return what a file of scores records of its method; an oracle is not created, since it needs references."""
    entry = find_method(method)
    provenance = {"method": entry.name, "model": None, "model_sha256": None, "options": dict(options)}
    if not entry.needs_references:
        separator = load(method, model=model, device=device, options=dict(options))
        provenance |= {
            "model": separator.model,
            "model_sha256": separator.model_hash,
            "options": asdict(separator.options),
        }
    return tuple(provenance.items())


def _is_finished(job: Job) -> bool:
    """Return whether the track's file exists and has all that the job asks for."""
    if not job.is_scored:
        return False
    if not (job.metrics or job.verify):
        return True
    before = read_result(job.file)
    complete = all(metric in scores for scores in before.whole.values() for metric in job.metrics)
    return complete and (not job.verify or "verification" in before.provenance)


def _refuse_other_origin(job: Job) -> None:
    """Raise ValueError if a finished file has scores of another model or other options."""
    before = read_result(job.file).provenance
    for name, value in job.provenance:
        if before.get(name) != value:
            raise ValueError(
                f"{job.file.parent.parent.name!r} holds scores with {name} {before.get(name)!r}, "
                f"now it is {value!r}: choose another --out"
            )


# One track.


def evaluate_track(job: Job) -> TrackOutcome:
    """Separate, score and write one track; errors are returned, not raised."""
    error = None
    try:
        if not _is_finished(job):  # else scored by a worker that died before reporting it
            with claim_gpu(job.device):
                scores = _scores(_with_stored(job))
            write_result(job.file, scores, provenance=dict(job.provenance))
    except Exception as raised:  # a bad file can raise anything; the other tracks must continue
        error = _reason(raised)
    return TrackOutcome(name=job.track.name, file=job.file, error=error)


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"


def _with_stored(job: Job) -> Job:
    """Return the job with the metrics and the verification that the track's file holds: the new file keeps them."""
    if not job.is_scored:
        return job
    before = read_result(job.file)
    metrics = tuple(metric for metric in EXTRA_METRICS if metric in (*job.metrics, *extra_metrics([before])))
    return replace(job, metrics=metrics, verify=job.verify or "verification" in before.provenance)


def _scores(job: Job) -> dict[str, Any]:
    mixture, references, rate = job.track.read()
    true = {source: torch.from_numpy(np.ascontiguousarray(wave)) for source, wave in references.items()}
    audio = Audio(waveform=torch.from_numpy(np.ascontiguousarray(mixture)), sample_rate=rate)
    if find_method(job.method).needs_references:
        separator = create(job.method, options=dict(job.options), references=true)
    else:
        separator = load(job.method, model=job.model, device=job.device, options=dict(job.options))
    stems = torch.cat(list(run(separator, audio)), dim=-1).cpu()
    named = [source for source in true if source in separator.sources]
    unnamed = not named and ACCOMPANIMENT not in separator.sources  # components
    if not unnamed:
        estimates = dict(zip(separator.sources, stems, strict=True))
        for source in PARTS_OF_OTHER:  # such as piano: MUSDB18 counts it as other
            if "other" in named and source in estimates and source not in true:
                estimates["other"] = estimates["other"] + estimates[source]
        if len(named) < len(true):  # as in SiSEC, everything but the targets is their accompaniment
            if ACCOMPANIMENT not in estimates:
                estimates[ACCOMPANIMENT] = audio.waveform - torch.stack([estimates[source] for source in named]).sum(0)
            rest = torch.stack([wave for source, wave in true.items() if source not in named]).sum(0)
            true = {source: true[source] for source in named} | {ACCOMPANIMENT: rest}
        stems = torch.stack([estimates[source] for source in true])
    return score_signals(
        list(true),
        ArraySignals(torch.stack(list(true.values()))),
        ArraySignals(stems),
        rate,
        permute=unnamed,
        metrics=job.metrics,
        mixture=ArraySignals(audio.waveform[None]),
        verify=job.verify,
        device="cpu" if separator.device.type == "mps" else str(separator.device),  # Apple's GPUs have no float64
    )


# Many tracks.


def evaluate_tracks(jobs: Sequence[Job], *, workers: int = 1, cluster: str | None = None) -> Iterator[TrackOutcome]:
    """Run all jobs, yielding each outcome as it finishes; see :func:`separation.workers.executor.map_jobs`."""
    device = jobs[0].device if jobs else "auto"
    yield from map_jobs(evaluate_track, jobs, lost=_worker_died, workers=workers, cluster=cluster, device=device)


def _worker_died(job: Job) -> TrackOutcome:
    return TrackOutcome(name=job.track.name, file=job.file, error=WORKER_DIED)
