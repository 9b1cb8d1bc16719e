"""The command line: ``stemscope --help``, or ``python -m separation --help``."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from separation import __version__
from separation.cli import models
from separation.cli.evaluate import evaluate
from separation.cli.plot import plot
from separation.cli.score import score
from separation.cli.separate import separate
from separation.cli.studio import studio
from separation.cli.tracks import tracks
from separation.cli.train import train

app = typer.Typer(
    name="separation",
    help="Separate songs with ICA, Open-Unmix and Demucs, and compare the results.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"stemscope {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Separate songs with ICA, Open-Unmix and Demucs, and compare the results."""


for command in (separate, evaluate, score, plot, train, tracks, studio):
    app.command()(command)
app.add_typer(models.app, name="models")


def main() -> None:
    """Run the command line: parse ``sys.argv``, execute a command and exit with its code."""
    # Exit normally on SIGTERM, so that clean-up code removes partial output.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Before it exits, Python searches all objects for garbage: with torch imported, that takes 0.35 s.
    atexit.register(gc.freeze)
    name = Path(sys.argv[0]).stem
    app(prog_name="stemscope" if name == "stemscope" else "python -m separation")


if __name__ == "__main__":
    main()
