"""`train`: train a model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from separation.cli.common import Json, log_line, one_line_errors, print_json
from separation.cli.progress import progress

if TYPE_CHECKING:
    from separation.datasets.store import SkippedTrack
    from separation.training.throughput import Report
    from separation.training.trainer import Trainer

__all__ = ["train"]


def train(
    recipe: Annotated[str, typer.Argument(help="open-unmix or demucs.")],
    root: Annotated[
        list[Path],
        typer.Option(envvar="MUSDB_ROOT", help="MUSDB18, or a folder of <track>/<source>.wav; may be repeated."),
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder, which becomes a model.")],
    target: Annotated[
        str, typer.Option(help="One source, or all; runs of one target each may share a folder.")
    ] = "all",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Options that differ from the published recipe.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Start from the weights of this model, by name or folder.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a stopped run.")] = False,
    wav: Annotated[bool, typer.Option("--wav", help="MUSDB18-HQ: folders of WAV files.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json_output: Json = False,
) -> None:
    """Train a model. On several devices: torchrun --nproc-per-node N -m separation train ..."""
    with one_line_errors():
        from separation.training.distributed import join, leave
        from separation.training.setup import build_trainer

        processes = join(device)
        say = log_line if processes.first else lambda text: None
        skipped: list[SkippedTrack] = []
        with (
            progress(unit="count", lines=100, transient=False) as show,
            _errors_as_sentences(out),
            ExitStack() as ending,
        ):
            ending.callback(leave, processes)

            def report(stage: str, done: int, total: int, text: str) -> None:
                if processes.first:
                    show(stage, done, total, f"{stage}: {done} of {total}{', ' + text if text else ''}", text)

            def skip(track: SkippedTrack) -> None:
                skipped.append(track)
                say(f"warning: {track.collection}/{track.name} is skipped: {track.reason}")

            trainer = build_trainer(
                recipe,
                roots=root,
                out=out,
                target=target,
                config=config,
                initial=init,
                wav=wav,
                processes=processes,
                progress=lambda done, total, name: report("decoding", done, total, name),
                skipped=skip,
                note=lambda text: say(f"note: {text}"),
            )
            for step, loss in _steps(trainer, resume=resume):
                report("training", step.step, step.steps, _line(step, loss))
                if step.validation:
                    say(_epoch(step))
    if processes.first:
        _conclude(trainer, f"--method {recipe} --model {out}", out, skipped, json_output=json_output)
    if skipped:
        raise typer.Exit(1)


def _steps(trainer: Trainer, *, resume: bool) -> Iterator[tuple[Report, float]]:
    """Yield the reports of all steps, each with the last loss that was read: reading one waits for a GPU."""
    from separation.training.trainer import CHECK_EVERY

    loss = math.nan
    for step in trainer.train(resume=resume):
        if math.isnan(loss) or step.validation or step.step % CHECK_EVERY == 0:
            loss = step.loss
        yield step, loss


@contextmanager
def _errors_as_sentences(out: Path) -> Iterator[None]:
    try:
        yield
    except FloatingPointError as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        name = Path(error.filename).name if error.filename else str(out)
        raise ValueError(f"cannot write the run: {name}: {error.strerror or error}") from error


def _conclude(trainer: Trainer, choice: str, out: Path, failed: list[SkippedTrack], *, json_output: bool) -> None:
    """Print where the model is and, if requested, the JSON document."""
    log_line(f"{out} is a model: separate with {choice}")
    if json_output:
        best = max((entry for entry in trainer.log if "sdr" in entry), key=trainer.validation_score, default=None)
        skipped = [{"name": track.name, "data": track.collection, "error": track.reason} for track in failed]
        job = trainer.run_folder.job_folder.name
        print_json({"run": str(out), "job": job, "steps": trainer.step, "best": best, "skipped": skipped})


def _line(report: Report, loss: float) -> str:
    minutes, seconds = divmod(round(report.seconds_left), 60)
    return (
        f"epoch {report.epoch} of {report.epochs}, loss {loss:.4g}, "
        f"{report.examples_per_second:.1f} examples/s, {minutes // 60}:{minutes % 60:02}:{seconds:02} left"
    )


def _epoch(report: Report) -> str:
    validation = report.validation
    if "loss" not in validation:
        return f"epoch {report.epoch}: training loss {validation['train']:.4g}"
    scores = ", ".join(f"{name} {value:.2f} dB" for name, value in validation["sdr"].items() if value is not None)
    saved = "; the best so far, saved" if validation["best"] else ""
    return (
        f"epoch {report.epoch}: training loss {validation['train']:.4g}, validation loss {validation['loss']:.4g}, "
        f"SDR {scores or 'undefined'}{saved}"
    )
