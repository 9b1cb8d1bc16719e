"""Shared by all commands: output, errors and the ``--json`` and ``--option`` options."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from separation.atomic import atomic_write

__all__ = [
    "Json",
    "log_line",
    "one_line_errors",
    "one_line_warnings",
    "option_pair",
    "print_json",
    "print_line",
    "verification_line",
    "write_json",
]


def _or_group_setting(context: typer.Context, value: bool) -> bool:
    """Accept `models --json list` as well as `models list --json`."""
    return value or context.obj is True


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output.", callback=_or_group_setting),
]


#: Control characters and overrides of the text direction, as escapes: file names may contain any of them.
_ESCAPES = {
    code: ascii(chr(code))[1:-1]
    for codes in (range(0x20), range(0x7F, 0xA0), range(0x202A, 0x202F), range(0x2066, 0x206A))
    for code in codes
}


def log_line(message: str) -> None:
    """Print a message as one line to standard error; standard output is reserved for results."""
    print(message.translate(_ESCAPES), file=sys.stderr, flush=True)


def print_line(text: str) -> None:
    """Print one line of a table on standard output, whatever characters it contains and whatever the encoding."""
    encoding = sys.stdout.encoding
    print(text.translate(_ESCAPES).encode(encoding, "backslashreplace").decode(encoding))


def _json(document: dict[str, Any]) -> str:
    """Return a document as JSON. Infinite scores become the strings "inf", for a perfect estimate, and "-inf"."""

    def encode(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: encode(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [encode(item) for item in value]
        return str(value) if value in (math.inf, -math.inf) else value

    return json.dumps(encode(document), indent=2, allow_nan=False)


def print_json(document: dict[str, Any]) -> None:
    """Print a document as JSON on standard output."""
    # ASCII only: file names may not be valid Unicode, and standard output may have any encoding.
    print(_json(document))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a ValueError, or an error of the system or the GPU, into one line on standard error and exit code 2."""
    try:
        yield
    except ValueError as error:
        log_line(f"error: {error}")
    except OSError as error:  # such as a path that is too long, or a folder that may not be entered
        log_line(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
    except MemoryError:
        log_line("error: too little memory")
    except RuntimeError as error:  # of torch
        first = str(error).partition("\n")[0]
        if "memory" not in first and "CUDA" not in first:
            raise
        log_line(f"error: {first}")
    else:
        return
    raise typer.Exit(2)


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print warnings, such as ICA's failure to converge, as plain lines without the source line that raised them."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *rest, **more: log_line(f"warning: {message}")
        yield


def option_pair(text: str) -> tuple[str, str]:
    """Split the argument of ``--option NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"--option takes NAME=VALUE, got {text!r}")
    return name.strip(), value


def verification_line(verification: dict[str, Any]) -> str:
    """Return the largest differences from museval's scores as one line."""
    if "error" in verification:
        return f"not verified: {verification['error']}"
    differences = verification["largest_difference"].items()
    listed = ", ".join(f"{name} {value:.1g}" for name, value in differences if value is not None)
    line = f"museval {verification['museval_version']}, {verification['frames']} frames: "
    line += f"largest difference in dB: {listed}" if listed else "no score to compare"
    if verification["only_one"]:
        line += f"; {verification['only_one']} frames are scored by one of the two only"
    return line


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file atomically; raise ValueError if it cannot be written."""
    try:
        with atomic_write(path) as draft:
            draft.write_text(_json(document) + "\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write {path.name}: {error.strerror}") from error
