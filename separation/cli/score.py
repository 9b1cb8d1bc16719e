"""`score`: score stems against the true sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from separation.cli.common import Json, log_line, one_line_errors, print_json, print_line, verification_line, write_json

__all__ = ["score"]


def score(
    references: Annotated[
        Path,
        typer.Argument(metavar="REFERENCE_DIR", help="Folder with <source>.wav, or with any files and stems.toml."),
    ],
    estimates: Annotated[
        Path,
        typer.Argument(
            metavar="ESTIMATE_DIR",
            help="Folder with the same names; accompaniment stands for all references without an estimate.",
        ),
    ],
    metrics: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Additional metrics, separated by commas: bleedless, fullness, l1_freq, aura_stft, log_wmse; or all.",
        ),
    ] = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the scores with museval's own, which takes minutes per song.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON document to this file.")] = None,
    json_output: Json = False,
) -> None:
    """Score stems against the true sources: BSSEval v4 as museval computes it, uSDR, SI-SDR and others."""
    with one_line_errors():
        from separation.evaluation.folder_scores import score_folders
        from separation.evaluation.metrics import parse_metrics
        from separation.evaluation.verification import require_museval

        extra = parse_metrics(metrics)
        if verify:
            require_museval()
        document = score_folders(references, estimates, metrics=extra, verify=verify)
        if out is not None:
            write_json(out, document)
    for note in document["notes"]:
        log_line(f"note: {note}")
    for failed in document["failed"]:
        log_line(f"error: {failed['target']}: {failed['error']}")
    if json_output:
        print_json(document)
    else:
        _print(document)
    if document["failed"]:
        raise typer.Exit(1)


def _print(document: dict[str, Any]) -> None:
    from separation.evaluation.metrics import METRIC_UNITS

    first = next(iter(document["targets"].values()))
    metrics = [metric for metric in METRIC_UNITS if metric in first]
    print(
        f"{'':12}"
        + "".join(f"{metric:>10}" for metric in metrics)
        + f"   {document['aggregation']}; SDR to SI-SDR in dB"
    )
    for target, scores in document["targets"].items():
        cells = ("-" if scores[metric] is None else f"{scores[metric]:.2f}" for metric in metrics)
        print_line(f"{target:12}" + "".join(f"{cell:>10}" for cell in cells))
    if "verification" in document:
        print(verification_line(document["verification"]))
