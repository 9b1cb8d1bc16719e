"""`score`: score stems against the true sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from separation.cli.common import Json, log_line, one_line_errors, print_json, write_json

__all__ = ["score"]


def score(
    references: Annotated[
        Path,
        typer.Argument(metavar="REFERENCE_DIR", help="Folder with <source>.wav, or with any files and stems.toml."),
    ],
    estimates: Annotated[
        Path,
        typer.Argument(
            metavar="ESTIMATE_DIR", help="Folder with the same names; accompaniment stands for all other sources."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Also write the JSON document to this file.")] = None,
    json_output: Json = False,
) -> None:
    """Score stems against the true sources: BSSEval v4 as museval computes it, uSDR and SI-SDR."""
    from separation.evaluation.folder_scores import score_folders

    with one_line_errors():
        document = score_folders(references, estimates)
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
    metrics = ("SDR", "ISR", "SIR", "SAR", "uSDR", "SI-SDR")
    print(f"{'':12}" + "".join(f"{metric:>9}" for metric in metrics) + f"   dB; {document['aggregation']}")
    for target, scores in document["targets"].items():
        cells = ("-" if scores[metric] is None else f"{scores[metric]:.2f}" for metric in metrics)
        print(f"{target:12}" + "".join(f"{cell:>9}" for cell in cells))
