"""`separate`: separate songs into stems."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Generator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from separation.cli.common import Json, log_line, one_line_errors, one_line_warnings, option_pair, print_json
from separation.cli.progress import Show, progress
from separation.separators import DEFAULT_METHOD

if TYPE_CHECKING:
    from separation.pipeline.batch import Job, JobOptions, JobResult
    from separation.pipeline.result import SeparationProgress

__all__ = ["separate"]


def separate(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Songs, in any common format, or folders; paths or URLs.")
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            help="A preset: best-offline, fast, best, or your own FILE.toml. A method: open-unmix, demucs, "
            "hybrid-demucs, htdemucs, spleeter, roformer, hpss, ica, mix. An oracle: irm, ibm, mwf.",
        ),
    ] = DEFAULT_METHOD,
    model: Annotated[
        str | None, typer.Option(help="Name of a model (see: models list), a model folder, or a RoFormer's checkpoint.")
    ] = None,
    out: Annotated[
        str,
        typer.Option(help="Stems are written to OUT/<file>/<method>/; a folder or a URL such as s3://bucket/stems."),
    ] = "separated",
    start: Annotated[float, typer.Option(help="Start of the excerpt in seconds.")] = 0.0,
    duration: Annotated[float | None, typer.Option(help="Length of the excerpt in seconds.")] = None,
    stems: Annotated[str | None, typer.Option(help="Write only these stems, such as vocals,drums.")] = None,
    two_stems: Annotated[
        str | None,
        typer.Option(
            "--two-stems", metavar="SOURCE", help="Only this source and the rest: vocals gives vocals and instrumental."
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="wav, flac, mp3 or ogg.")] = "wav",
    float32: Annotated[
        bool, typer.Option("--float32", help="Write WAV with 32-bit float samples, which cannot clip.")
    ] = False,
    sum_to_mixture: Annotated[
        bool, typer.Option("--sum-to-mixture", help="Distribute the residual among the stems.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse files that are cut off or damaged.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="auto, fp32, tf32 or bf16; bf16 is faster for large networks and less exact, tf32 is for NVIDIA GPUs."
        ),
    ] = "auto",
    jobs: Annotated[int, typer.Option(help="Number of songs to process in parallel.")] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A dask scheduler, or local:N for a local one with N workers."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Option of the method, such as iterations=0. An unknown name lists all options."
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Separate songs: FILE -> OUT/<file>/<method>/<source>.wav and result.json. Finished songs are skipped."""
    from separation.pipeline import batch
    from separation.workers.threads import limit_malloc_arenas

    limit_malloc_arenas()
    start_time = time.monotonic()
    with one_line_errors():
        job_options = batch.JobOptions(
            method=method,
            model=model,
            device=device,
            precision=precision,
            options=tuple(option_pair(text) for text in option or []),
            start=start,
            duration=duration,
            stems=None if stems is None else tuple(stem.strip() for stem in stems.split(",") if stem.strip()),
            two_stems=two_stems,
            format=format,
            float32=float32,
            sum_to_mixture=sum_to_mixture,
            strict=strict,
            command=shlex.join(["python", "-m", "separation", *sys.argv[1:]]),
        )
        with one_line_warnings():
            jobs_to_do = _find_jobs(files, out, job_options)
        results = _run(jobs_to_do, jobs=jobs, cluster=cluster)
    _conclude(results, time.monotonic() - start_time, json_output=json_output)


def _find_jobs(files: list[str], out: str, options: JobOptions) -> list[Job]:
    """Return one job per song; raise ValueError for a folder that cannot be read or invalid options."""
    from separation.pipeline import batch
    from separation.pipeline.storage import location

    try:
        found = batch.find_jobs([location(file) for file in files], location(out), options)
    except OSError as error:  # a folder or storage that cannot be read
        raise ValueError(f"{error.filename}: {error.strerror}") from error
    batch.check_options(options)
    return found


def _run(jobs_to_do: list[Job], *, jobs: int, cluster: str | None) -> list[JobResult]:
    """Separate all songs, printing each outcome, and return the results in the order of the jobs."""
    results = []
    with closing(_outcomes(jobs_to_do, jobs=jobs, cluster=cluster)) as outcomes, one_line_warnings():
        for outcome in outcomes:
            _report(outcome)
            results.append(outcome)
    order = {job.file: number for number, job in enumerate(jobs_to_do)}
    return sorted(results, key=lambda result: order[result.job.file])


def _conclude(outcomes: list[JobResult], seconds: float, *, json_output: bool) -> None:
    """Print the throughput and, if requested, the JSON document; exit with 1 if some songs failed, 2 if all did."""
    done = [outcome for outcome in outcomes if outcome.document is not None]
    speed = _throughput(done, seconds)
    if json_output:
        failed = [{"input": str(outcome.job.file), "error": outcome.error} for outcome in outcomes if outcome.error]
        results = [{**(outcome.document or {}), "skipped": outcome.skipped} for outcome in done]
        print_json({"results": results, "failed": failed, "throughput": speed})
    if len(done) < len(outcomes):
        raise typer.Exit(1 if done else 2)


def _outcomes(jobs_to_do: list[Job], *, jobs: int, cluster: str | None) -> Generator[JobResult, None, None]:
    """Yield results: one by one with a progress bar each, or in parallel."""
    from separation.pipeline import batch, many

    if jobs != 1 or cluster is not None:
        yield from many.separate_songs(jobs_to_do, workers=jobs, cluster=cluster)
        return
    for job in jobs_to_do:
        with progress() as show:
            outcome = batch.separate_song(job, partial(_show_progress, show, job.file.name))
        yield outcome


def _throughput(done: list[JobResult], seconds: float) -> dict[str, Any]:
    """Report the seconds of audio that were separated in this run, and hours of audio per hour."""
    new = [outcome.document for outcome in done if outcome.document and not outcome.skipped]
    audio_seconds = sum(document["frames"] / document["sample_rate"] for document in new)
    if len(done) > 1:
        skipped = f", {len(done) - len(new)} were finished earlier" if len(new) < len(done) else ""
        log_line(f"{len(new)} songs, {audio_seconds / 3600:.2f} h of audio in {seconds / 3600:.2f} h{skipped}")
        if new:
            log_line(f"{audio_seconds / seconds:.1f} hours of audio per hour")
    return {
        "audio_seconds": round(audio_seconds, 3),
        "seconds": round(seconds, 3),
        "hours_per_hour": round(audio_seconds / seconds, 3) if new else None,
    }


def _report(outcome: JobResult) -> None:
    if outcome.document is None:
        log_line(f"error: {outcome.error}")
        return
    document, name = outcome.document, outcome.job.file.name
    if outcome.skipped:
        log_line(f"{name}: finished earlier")
        return
    residual = "none" if document["residual_db"] is None else f"{document['residual_db']:.1f} dB"
    gain = f", all lowered by {-document['gain_db']:.1f} dB so that none clips" if document["gain_db"] else ""
    log_line(
        f"{name}: {', '.join(document['stems'])} in {document['seconds']:.1f} s "
        f"({document['real_time_factor']:.2f} of real time, {document['device']}), residual {residual}{gain}"
    )
    for path in document["stems"].values():
        log_line(f"  {path}")


def _show_progress(show: Show, name: str, state: SeparationProgress) -> None:
    if state.stage != "done":
        task = f"{name}: {state.stage}"
        remaining = "" if state.seconds_left is None else f", {state.seconds_left:.0f} s left"
        line = f"{task}, segment {state.segment} of {state.segments}{remaining}"
        show(task, state.segment, state.segments, line)
