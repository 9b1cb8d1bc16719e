"""`evaluate`: scores of a method on a data set."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from separation.cli.common import (
    Json,
    log_line,
    one_line_errors,
    one_line_warnings,
    option_pair,
    print_json,
    verification_line,
)
from separation.cli.progress import progress
from separation.separators import DEFAULT_METHOD, find_method

if TYPE_CHECKING:
    from separation.datasets.musdb18 import Track
    from separation.datasets.stem_folders import FolderTrack
    from separation.evaluation.evaluate import Job, TrackOutcome
    from separation.evaluation.museval_json import TrackResult

__all__ = ["evaluate"]


def evaluate(
    root: Annotated[
        Path,
        typer.Option(
            envvar="MUSDB_ROOT", help="A MUSDB18 folder with train and test, or a folder of <track>/<source>.wav."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Scores are written to OUT/<method>/<subset>/<track>.json.")],
    method: Annotated[str, typer.Option("--method", "-m", help="As for separate.")] = DEFAULT_METHOD,
    model: Annotated[str | None, typer.Option(help="Name of a model (see: models list), or a model folder.")] = None,
    wav: Annotated[bool, typer.Option("--wav", help="MUSDB18-HQ: folders of WAV files.")] = False,
    subset: Annotated[str, typer.Option(help="train or test; a set without these folders is scored whole.")] = "test",
    split: Annotated[str | None, typer.Option(help="Part of the train subset: train or valid.")] = None,
    jobs: Annotated[int, typer.Option(help="Number of tracks to process in parallel.")] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A dask scheduler, or local:N for a local one with N workers."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Option of the method, such as iterations=0. An unknown name lists all options."
        ),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(metavar="NAME,...", help="More metrics: bleedless, fullness, l1_freq, aura_stft, log_wmse; all."),
    ] = "",
    verify: Annotated[
        int, typer.Option(metavar="N", min=0, help="Compare the scores of the first N tracks with museval's own.")
    ] = 0,
    json_output: Json = False,
) -> None:
    """Separate and score a data set. Finished tracks are skipped."""
    with one_line_errors():
        from separation.datasets.dataset import find_tracks, unused_files
        from separation.evaluation.evaluate import plan_jobs
        from separation.evaluation.metrics import parse_metrics
        from separation.evaluation.verification import require_museval

        extra = parse_metrics(metrics)
        if verify:
            require_museval()
        name = find_method(method).name
        folder = out / name
        tracks = find_tracks(root, wav=wav, subset=subset, split=split)
        if note := unused_files(tracks):
            log_line(f"note: {note}")
        if note := _trained_on_test(tracks, method, model):
            log_line(f"note: {note}")
        options = dict(option_pair(text) for text in option or [])
        todo, done = plan_jobs(
            tracks, folder, method=method, model=model, device=device, options=options, metrics=extra, verify=verify
        )
        if done:
            log_line(f"{len(done)} of {len(tracks)} tracks were finished earlier")
        try:
            failed = _evaluate_all(todo, jobs=jobs, cluster=cluster)
            results = _summarise(folder, [job.file for job in (*done, *todo) if job.is_scored])
        except OSError as error:
            raise ValueError(f"cannot write to {out}: {error.strerror or error}") from error
    _print_silent(results)
    for outcome in failed:
        log_line(f"error: {outcome.name}: {outcome.error}")
    _print(name, results, failed, json_output=json_output)
    if failed:
        raise typer.Exit(1 if results else 2)


def _trained_on_test(tracks: Sequence[Track | FolderTrack], method: str, model: str | None) -> str:
    """Return a sentence if a model was trained on the tracks that it is to be scored on; otherwise nothing."""
    from separation.datasets.musdb18 import Track
    from separation.separators.factory import model_names
    from separation.weights import catalogue

    if not any(isinstance(track, Track) and track.subset == "test" for track in tracks):
        return ""
    used = model_names(method, model)
    seen = next((known.name for known in catalogue.list_models() if known.trained_on_test and known.name in used), "")
    return f"{seen} was trained on MUSDB18's test set, so these scores do not show its quality" if seen else ""


def _evaluate_all(todo: list[Job], *, jobs: int, cluster: str | None) -> list[TrackOutcome]:
    """Separate and score tracks, showing the progress, and return the failures."""
    from separation.evaluation.evaluate import evaluate_tracks

    start, failed = time.monotonic(), []
    with one_line_warnings(), progress(unit="count", lines=0) as show:
        for count, outcome in enumerate(evaluate_tracks(todo, workers=jobs, cluster=cluster), start=1):
            line = _progress_line(outcome, count, len(todo), time.monotonic() - start)
            show("separating and scoring", count, len(todo), line, outcome.name)
            if outcome.error:
                failed.append(outcome)
    return failed


def _summarise(folder: Path, files: list[Path]) -> list[TrackResult]:
    """Return the scores of this run's tracks, and write ``summary.csv`` for all tracks in the folder."""
    from separation.evaluation.museval_json import read_result, read_results, write_summary

    results = [read_result(file) for file in sorted(files)]
    if results:
        write_summary(folder / "summary.csv", read_results(folder))
    return results


def _print_silent(results: list[TrackResult]) -> None:
    """Print a note for every silent reference or estimate, since they leave a track without scores."""
    from separation.evaluation.track_scores import SILENT

    for result in results:
        for note in result.provenance.get("notes", []):
            if SILENT in note:
                log_line(f"note: {result.name}: {note}")


def _print(method: str, results: list[TrackResult], failed: list[TrackOutcome], *, json_output: bool) -> None:
    import numpy as np

    from separation.evaluation.museval_json import AGGREGATION, extra_metrics, medians, scores_by_target
    from separation.evaluation.statistics import confidence_interval
    from separation.evaluation.track_scores import defined

    extra = extra_metrics(results)
    verification = _verification(results)
    if json_output:
        rows = [
            {
                "name": result.name,
                "targets": {
                    target: {name: defined(value) for name, value in values.items()}
                    | {name: defined(result.whole[target].get(name, math.nan)) for name in extra}
                    for target, values in result.medians.items()
                },
                "file": str(result.file),
            }
            for result in results
        ]
        print_json(
            {
                "method": method,
                "model": results[0].provenance.get("model") if results else None,
                "aggregation": AGGREGATION,
                "median": medians(results) if results else {},
                "tracks": rows,
                "failed": [{"name": outcome.name, "error": outcome.error} for outcome in failed],
                **({"verification": verification} if verification else {}),
            }
        )
        return
    if not results:
        return
    overall = medians(results)
    print(
        f"{method}, {len(results)} tracks: {AGGREGATION}; SDR to SAR in dB, SDR with a 95 % interval from six tracks on"
    )
    print(f"{'':14}{'SDR':>8}{'':18}{'ISR':>8}{'SIR':>8}{'SAR':>8}" + "".join(f"{name:>10}" for name in extra))
    for target, scores in scores_by_target(results, "SDR").items():
        row = overall[target]
        rest = "".join(_cell(row[name]) for name in ("ISR", "SIR", "SAR"))
        rest += "".join(f"{_cell(row[name]):>10}" for name in extra)
        low, high = confidence_interval(np.array(list(scores.values())))
        interval = "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"
        print(f"{target:14}{_cell(row['SDR'])}{interval:>18}{rest}")
    if verification:
        refused = f" ({verification['refused']} others are refused by museval)" if verification["refused"] else ""
        print(f"{verification['tracks']} tracks verified{refused}: {verification_line(verification)}")


def _verification(results: list[TrackResult]) -> dict[str, Any]:
    """Return the comparison with museval's own scores, empty if no track has one."""
    from separation.evaluation.verification import summarise_verifications

    found = [result.provenance["verification"] for result in results if "verification" in result.provenance]
    return summarise_verifications(found) if found else {}


def _cell(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.2f}':>8}"


def _progress_line(outcome: TrackOutcome, done: int, total: int, seconds: float) -> str:
    remaining = round(seconds / done * (total - done))
    result = "failed" if outcome.error else "done"
    return f"{done} of {total}: {outcome.name}, {result}, {remaining // 60}:{remaining % 60:02} left"
