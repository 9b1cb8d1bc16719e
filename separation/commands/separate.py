"""`separate`: songs into stems."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from separation.commands.common import Json, one_line_errors, option_pair, print_json, say

if TYPE_CHECKING:
    from separation.pipeline import Progress, Result

__all__ = ["separate"]


def separate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Songs, in any common format.")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            help="mix, hpss, ica, open-unmix, demucs, hybrid-demucs; irm, ibm, mwf with references beside mixture.wav.",
        ),
    ],
    model: Annotated[str | None, typer.Option(help="Name of a model (see: models list), or a folder with one.")] = None,
    out: Annotated[Path, typer.Option(help="Stems go to OUT/<file>/<method>/.")] = Path("separated"),
    start: Annotated[float, typer.Option(help="Of an excerpt, in seconds.")] = 0.0,
    duration: Annotated[float | None, typer.Option(help="Of an excerpt, in seconds.")] = None,
    stems: Annotated[str | None, typer.Option(help="Only these, such as: vocals,drums.")] = None,
    format: Annotated[str, typer.Option(help="wav, flac, mp3 or ogg.")] = "wav",
    float32: Annotated[bool, typer.Option("--float32", help="WAV with float samples, which never clip.")] = False,
    sum_to_mixture: Annotated[
        bool, typer.Option("--sum-to-mixture", help="Share out among the stems what they leave of the mixture.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of the method, such as iterations=0; a wrong name lists them."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Take songs apart: FILE -> OUT/<file>/<method>/<source>.wav and result.json."""
    from separation.pipeline import choose_stems  # noqa: F401  # torch loads here, not for --help

    results, failed = [], []
    with one_line_errors():
        _refuse_same_names(files)
        wanted = [stem.strip() for stem in stems.split(",") if stem.strip()] if stems is not None else None
        options = dict(option_pair(text) for text in option or [])
        writing = {"stems": wanted, "format": format, "float32": float32, "sum_to_mixture": sum_to_mixture}
        separators = _Separators(method, model=model, device=device, options=options)
    for file in files:
        try:
            with _notes_as_lines():
                result = _separate_one(file, separators, out, start=start, duration=duration, writing=writing)
            results.append(result.document())
            _report(file, result)
        except (ValueError, OSError) as error:
            reason = (
                str(error)
                if isinstance(error, ValueError)
                else f"{error.filename or file.name}: {error.strerror or error}"
            )
            failed.append({"input": str(file), "error": reason})
            say(f"error: {reason}")
    if json_output:
        print_json({"results": results, "failed": failed})
    if failed:
        raise typer.Exit(1 if results else 2)


class _Separators:
    """Makes a method's separator once, or for each file if it needs that file's references."""

    def __init__(self, method: str, **arguments: Any) -> None:
        from separation.separators import METHODS, create

        self._create = lambda **more: create(method, **arguments, **more)
        self.method = method
        self._needs_references = method in METHODS and METHODS[method].needs_references
        self._separator = None if self._needs_references else self._create()

    def for_file(self, file: Path, *, frames: int, start: float, duration: float | None) -> Any:
        if self._separator is not None:
            return self._separator
        from separation.data.folders import read_references, references_beside

        paths = references_beside(file)
        references = read_references(paths, frames=frames, start=start, duration=duration) if paths else None
        return self._create(references=references)


def _separate_one(
    file: Path,
    separators: _Separators,
    out: Path,
    *,
    start: float,
    duration: float | None,
    writing: Mapping[str, Any],
) -> Result:
    """`writing` says how the stems are written: arguments of `separate_to_folder`."""
    from separation.audio import read
    from separation.pipeline import separate_to_folder

    audio = read(file, start=start, duration=duration)
    separator = separators.for_file(file, frames=audio.frames, start=start, duration=duration)
    steps = separate_to_folder(
        audio,
        separator,
        out / _folder_name(file) / separators.method,
        name=str(file),
        **writing,
        origin={"command": shlex.join(["python", "-m", "separation", *sys.argv[1:]]), "start": start},
    )
    result = None
    with _progress_bar(file.name) as show:
        for progress in steps:
            show(progress)
            result = progress.result
    assert result is not None, "the last step of a separation holds its result"
    return result


def _report(file: Path, result: Result) -> None:
    residual = "none" if result.residual_db is None else f"{result.residual_db:.1f} dB"
    gain = f", all lowered by {-result.gain_db:.1f} dB so that none clips" if result.gain_db else ""
    say(
        f"{file.name}: {', '.join(result.stems)} in {result.seconds:.1f} s "
        f"({result.real_time_factor:.2f} of real time, {result.device}), residual {residual}{gain}"
    )
    for path in result.stems.values():
        say(f"  {path}")


def _folder_name(file: Path) -> str:
    """What the folder of a file's stems is called: Unicode, and not ``..``, the stem of ``...wav``."""
    name = file.stem if file.stem.strip(".") else file.name
    return os.fsencode(name).decode("utf-8", "replace")


def _refuse_same_names(files: list[Path]) -> None:
    names = [_folder_name(file) for file in files]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"several files are called {name!r}, and their stems would go to one folder: separate them one by one"
            )


@contextmanager
def _notes_as_lines() -> Iterator[None]:
    """A warning, such as ICA's of not converging, is a line for the user, not a place in the code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *rest, **more: say(f"warning: {message}")
        yield


@contextmanager
def _progress_bar(name: str) -> Iterator[Any]:
    """A bar with the time left on a terminal, a line per stage and quarter elsewhere."""
    if not sys.stderr.isatty():
        yield _progress_lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, description=f"{name}: {progress.stage}", total=progress.segments, completed=progress.segment
            )

        yield show


def _progress_lines(name: str) -> Any:
    last = (-1, "")

    def show(progress: Progress) -> None:
        nonlocal last
        now = (4 * progress.segment // max(1, progress.segments), progress.stage)
        if now != last and progress.stage != "done":
            left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
            say(f"{name}: {progress.stage}, segment {progress.segment} of {progress.segments}{left}")
        last = now

    return show
