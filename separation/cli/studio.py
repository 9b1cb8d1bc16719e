"""`studio`: serve the studio."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from separation.cli.common import one_line_errors

__all__ = ["studio"]


def studio(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on, 0.0.0.0 for all; by default GRADIO_SERVER_NAME or 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; by default GRADIO_SERVER_PORT, PORT, or the first free one from 7860.")
    ] = None,
) -> None:
    """Serve the studio until Ctrl-C."""
    if host is not None:
        os.environ["GRADIO_SERVER_NAME"] = host
    if port is not None:
        os.environ["GRADIO_SERVER_PORT"] = str(port)
    with one_line_errors():
        from separation.studio.app import launch

        launch()
