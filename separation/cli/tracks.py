"""`tracks`: list the tracks of a data set, or get the sample set of MUSDB18."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from separation.cli.common import Json, log_line, one_line_errors, print_json, print_line
from separation.cli.progress import progress

__all__ = ["tracks"]


def tracks(
    root: Annotated[
        Path | None,
        typer.Option(
            envvar="MUSDB_ROOT", help="A MUSDB18 folder with train and test, or a folder of <track>/<source>.wav."
        ),
    ] = None,
    wav: Annotated[bool, typer.Option("--wav", help="MUSDB18-HQ: folders of WAV files.")] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Download the 7-second sample set of MUSDB18 and list its tracks.")
    ] = False,
    json_output: Json = False,
) -> None:
    """List the tracks of a data set and check their files' headers."""
    from separation.datasets.dataset import find_tracks, unused_files
    from separation.datasets.sample_set import sample_set_folder

    rows: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    with one_line_errors():
        root = _download() if download else root or sample_set_folder()
        if root is None:
            raise ValueError("--root or MUSDB_ROOT must name a data set, or --download gets the sample set of MUSDB18")
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
            print_line(f"{row['subset'] or '-':5} {row['duration']:7.1f} s  {row['name']}")
    if failed:
        raise typer.Exit(1 if rows else 2)


def _download() -> Path:
    """Return the folder of the sample set, after downloading it if necessary."""
    from separation.datasets.sample_set import download_sample_set

    with progress(unit="bytes", transient=False) as show:
        folder = download_sample_set(lambda file, done, total: show(file, done, total, f"{file}: {done / 1e6:.0f} MB"))
    log_line(f"the sample set is in {folder}")
    return folder
