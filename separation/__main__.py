"""The command line: ``python -m separation --help``."""

from __future__ import annotations

import signal
import sys

import typer

from separation.commands import models
from separation.commands.evaluate import evaluate
from separation.commands.plot import plot
from separation.commands.score import score
from separation.commands.separate import separate
from separation.commands.tracks import tracks
from separation.commands.train import train

app = typer.Typer(
    name="separation",
    help="Take songs apart with ICA, Open-Unmix and Demucs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (separate, evaluate, score, plot, train, tracks):
    app.command()(command)
app.add_typer(models.app, name="models")


def main() -> None:
    # A polite kill is an exit, so that what is half written is removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    app(prog_name="python -m separation")


if __name__ == "__main__":
    main()
