"""The command line: ``python -m separation --help``."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from separation.checkpoints import Model
    from separation.pipeline import Progress, Result

app = typer.Typer(
    name="separation",
    help="Take songs apart with ICA, Open-Unmix and Demucs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="What weights there are, and getting them.", invoke_without_command=True)
app.add_typer(models_app, name="models")


def _or_as_the_group_was_told(context: typer.Context, value: bool) -> bool:
    """`models --json list` means what `models list --json` does."""
    return value or context.obj is True


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output.", callback=_or_as_the_group_was_told),
]


def say(message: str) -> None:
    """For people: standard output belongs to results."""
    print(message, file=sys.stderr, flush=True)


def print_json(document: dict[str, Any]) -> None:
    # All in ASCII: file names need not be Unicode, and standard output may have any encoding.
    print(json.dumps(document, indent=2, allow_nan=False))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Wrong usage and unusable input end with one line and exit code 2."""
    try:
        yield
    except ValueError as error:
        say(f"error: {error}")
        raise typer.Exit(2) from None


# -- separate --------------------------------------------------------------------------------------


@app.command()
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
        options = dict(_pair(text) for text in option or [])
        separators = _Separators(method, model=model, device=device, options=options)
    for file in files:
        try:
            with _notes_as_lines():
                result = _separate_one(
                    file, separators, out, start=start, duration=duration, stems=wanted, format=format, float32=float32
                )
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
    stems: list[str] | None,
    format: str,
    float32: bool,
) -> Result:
    from separation.audio import read
    from separation.pipeline import separate_to_folder

    audio = read(file, start=start, duration=duration)
    separator = separators.for_file(file, frames=audio.frames, start=start, duration=duration)
    steps = separate_to_folder(
        audio,
        separator,
        out / _folder_name(file) / separators.method,
        name=str(file),
        stems=stems,
        format=format,
        float32=float32,
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


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"--option takes NAME=VALUE, got {text!r}")
    return name.strip(), value


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


# -- score -----------------------------------------------------------------------------------------


@app.command()
def score(
    references: Annotated[Path, typer.Argument(metavar="REFERENCE_DIR", help="Holds <source>.wav.")],
    estimates: Annotated[Path, typer.Argument(metavar="ESTIMATE_DIR", help="Holds the same, by any separator.")],
    out: Annotated[Path | None, typer.Option(help="Write the JSON document here as well.")] = None,
    json_output: Json = False,
) -> None:
    """Score stems against the true sources: BSSEval v4 as museval computes it, uSDR and SI-SDR."""
    from separation.evaluation.track_scores import score_folders

    with one_line_errors():
        document = score_folders(references, estimates)
        if out is not None:
            _write_json(out, document)
    for note in document["notes"]:
        say(f"note: {note}")
    if json_output:
        print_json(document)
        return
    metrics = ("SDR", "ISR", "SIR", "SAR", "uSDR", "SI-SDR")
    print(f"{'':12}" + "".join(f"{metric:>9}" for metric in metrics) + f"   dB; {document['aggregation']}")
    for target, scores in document["targets"].items():
        cells = ("-" if scores[metric] is None else f"{scores[metric]:.2f}" for metric in metrics)
        print(f"{target:12}" + "".join(f"{cell:>9}" for cell in cells))


def _write_json(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ValueError(f"cannot write {path.name}: {error.strerror}") from error


# -- models ----------------------------------------------------------------------------------------


@models_app.callback()
def models(context: typer.Context, json_output: Json = False) -> None:
    """What weights there are, and getting them; without a command: the list."""
    context.obj = json_output
    if context.invoked_subcommand is None:
        list_models(json_output=json_output)


@models_app.command("list")
def list_models(json_output: Json = False) -> None:
    """All known models: what is installed, what can be had, and on what terms."""
    from separation import checkpoints

    with one_line_errors():
        known = checkpoints.models()
    if json_output:
        print_json({"models": [describe(model) for model in known]})
        return
    for model in known:
        state = "bundled" if model.bundled else "installed" if model.installed else "to be had"
        terms = f"trained on {model.trained_on}; licence: {model.licence}"
        print(f"{model.name:24} {model.method:14} {state:10} {_size(model):>8}  {terms}")


def describe(model: Model) -> dict[str, Any]:
    """A model as `models --json` prints it."""
    return {
        "name": model.name,
        "method": model.method,
        "sources": list(model.sources),
        "sample_rate": model.sample_rate,
        "installed": model.installed,
        "bundled": model.bundled,
        "bytes": model.size,
        "parameters": model.parameters,
        "licence": model.licence,
        "trained_on": model.trained_on,
        "page": model.page,
        "files": [{"name": file.name, "url": file.url, "sha256": file.sha256} for file in model.files],
    }


def _size(model: Model) -> str:
    """Megabytes; of what is not here, from the number of parameters in float32."""
    if model.size is not None:
        return f"{model.size / 1e6:.0f} MB"
    return f"~{4 * model.parameters / 1e6:.0f} MB" if model.parameters else ""


@models_app.command("download")
def download_model(
    name: Annotated[str, typer.Argument(help="As `models list` shows it.")], json_output: Json = False
) -> None:
    """Get a released model; goes on where an interrupted download stopped."""
    from separation import checkpoints

    with one_line_errors():
        model = _known(name)
        say(f"{model.name}: licence: {model.licence}; trained on {model.trained_on}")
        with _download_bar() as show:
            fetched = checkpoints.download(model, show)
    say(f"{model.name} is installed" if fetched else f"{model.name} is already installed")
    if json_output:
        print_json({"models": [describe(_known(name))], "downloaded": fetched})


@models_app.command("verify")
def verify_models(json_output: Json = False) -> None:
    """Check the hashes of everything that is installed."""
    from separation import checkpoints

    with one_line_errors():
        found = {model.name: checkpoints.verify(model) for model in checkpoints.models() if model.installed}
    if json_output:
        print_json({"models": [{"name": name, "problems": problems} for name, problems in found.items()]})
    else:
        for name, problems in found.items():
            print(f"{name}: {'; '.join(problems) or 'whole'}")
    if any(found.values()):
        raise typer.Exit(1)


def _known(name: str) -> Model:
    from separation import checkpoints

    known = {model.name: model for model in checkpoints.models()}
    if name not in known:
        raise ValueError(f"no model {name!r}; there are {', '.join(known)}")
    return known[name]


@contextmanager
def _download_bar() -> Iterator[Any]:
    if not sys.stderr.isatty():
        yield _download_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Bar(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name)
            bar.update(tasks[name], completed=done, total=total)

        yield show


def _download_lines() -> Any:
    said: dict[str, int] = {}

    def show(name: str, done: int, total: int | None) -> None:
        quarter = 4 * done // total if total else done // 100_000_000
        if said.get(name) != quarter:
            said[name] = quarter
            say(f"{name}: {done / 1e6:.0f}" + (f" of {total / 1e6:.0f} MB" if total else " MB"))

    return show


# -- tracks ----------------------------------------------------------------------------------------


@app.command()
def tracks(
    root: Annotated[Path, typer.Option(envvar="MUSDB_ROOT", help="A MUSDB18 folder, with train and test.")],
    wav: Annotated[bool, typer.Option("--wav", help="MUSDB18-HQ: folders of WAV files.")] = False,
    json_output: Json = False,
) -> None:
    """The tracks of a MUSDB18 folder."""
    from separation.data.musdb18 import list_tracks

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


def main() -> None:
    # A polite kill is an exit, so that what is half written is removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    app(prog_name="python -m separation")


if __name__ == "__main__":
    main()
