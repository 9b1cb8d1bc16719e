"""`tracks`: list the tracks of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from separation.cli.common import Json, log_line, one_line_errors, print_json

__all__ = ["tracks"]


def tracks(
    root: Annotated[
        Path,
        typer.Option(envvar="MUSDB_ROOT", help="A MUSDB18 folder with train and test, or one of <track>/<source>.wav."),
    ],
    wav: Annotated[bool, typer.Option("--wav", help="MUSDB18-HQ: folders of WAV files.")] = False,
    json_output: Json = False,
) -> None:
    """List the tracks of a data set and check their files' headers."""
    from separation.datasets.dataset import find_tracks, unused_files

    rows: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    with one_line_errors():
        listed = find_tracks(root, wav=wav)
    for track in listed:
        try:
            duration = round(track.duration, 3)
        except ValueError as error:
            failed.append({"name": track.name, "error": str(error)})
            log_line(f"error: {track.name}: {error}")
        else:
            subset = track.subset or None
            rows.append({"name": track.name, "subset": subset, "duration": duration, "sources": list(track.sources)})
    if note := unused_files(listed):
        log_line(f"note: {note}")
    if json_output:
        print_json({"root": str(root), "tracks": rows, "failed": failed})
    else:
        for row in rows:
            print(f"{row['subset'] or '-':5} {row['duration']:7.1f} s  {row['name']}")
    if failed:
        raise typer.Exit(1 if rows else 2)
