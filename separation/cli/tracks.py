"""`tracks`: list the tracks of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from separation.cli.common import Json, one_line_errors, print_json

__all__ = ["tracks"]


def tracks(
    root: Annotated[Path, typer.Option(envvar="MUSDB_ROOT", help="A MUSDB18 folder with train and test.")],
    wav: Annotated[bool, typer.Option("--wav", help="MUSDB18-HQ: folders of WAV files.")] = False,
    json_output: Json = False,
) -> None:
    """List the tracks of a MUSDB18 folder."""
    from separation.datasets.musdb18 import list_tracks

    with one_line_errors():
        found = list_tracks(root, wav=wav)
    if json_output:
        rows = [
            {"name": t.name, "subset": t.subset, "duration": round(t.duration, 3), "sources": list(t.sources)}
            for t in found
        ]
        print_json({"root": str(root), "tracks": rows})
        return
    for track in found:
        print(f"{track.subset:5} {track.duration:7.1f} s  {track.name}")
