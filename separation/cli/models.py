"""`models`: list, download, verify and export weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from separation.cli.common import Json, log_line, one_line_errors, print_json
from separation.cli.progress import progress

if TYPE_CHECKING:
    from separation.weights.model import Model

__all__ = ["app"]

app = typer.Typer(help="List, download, verify and export weights.", invoke_without_command=True)


@app.callback()
def models(context: typer.Context, json_output: Json = False) -> None:
    """List, download, verify and export weights. Without a command, list them."""
    context.obj = json_output
    if context.invoked_subcommand is None:
        list_models(json_output=json_output)


@app.command("list")
def list_models(json_output: Json = False) -> None:
    """List all known models with size, sources, training data and licence."""
    from separation.weights import catalogue

    with one_line_errors():
        known = [(model, model.describe()) for model in catalogue.list_models()]
    if json_output:
        print_json({"models": [described for _, described in known]})
        return
    for model, described in known:
        state = "bundled" if model.bundled else "installed" if described["installed"] else "available"
        facts = f"{', '.join(model.sources)}; trained on {model.trained_on}; licence: {model.licence}"
        print(f"{model.name:24} {model.method:14} {state:10} {model.stated_size:>8}  {facts}")


@app.command("download")
def download_model(
    name: Annotated[str, typer.Argument(help="Name in `models list`.")], json_output: Json = False
) -> None:
    """Download a released model. An interrupted download is resumed."""
    from separation.weights import download
    from separation.weights.model import RESTRICTIONS

    with one_line_errors():
        model = _known(name)
        log_line(f"{model.name}: licence: {model.licence}; trained on {model.trained_on}")
        if model.restriction:
            log_line(f"note: check the licence before you use {model.name}: {RESTRICTIONS[model.restriction]}")
        with progress(unit="bytes", transient=False) as show:
            fetched = download.download_model(
                model, lambda file, done, total: show(file, done, total, _download_line(file, done, total))
            )
    log_line(f"{model.name} is installed" if fetched else f"{model.name} is already installed")
    if json_output:
        print_json({"models": [_known(name).describe()], "downloaded": fetched})


@app.command("verify")
def verify_models(json_output: Json = False) -> None:
    """Check the hashes of all installed models."""
    from separation.weights import catalogue, download

    with one_line_errors():
        results = {model.name: download.verify_model(model) for model in catalogue.list_models() if model.installed}
    if json_output:
        print_json({"models": [{"name": name, "problems": problems} for name, problems in results.items()]})
    else:
        for name, problems in results.items():
            print(f"{name}: {'; '.join(problems) or 'intact'}")
    if any(results.values()):
        raise typer.Exit(1)


@app.command("export")
def export_model(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A run folder, or the name of a model.")],
    format: Annotated[str, typer.Option(help="openunmix: upstream's Open-Unmix.")] = "openunmix",
    out: Annotated[
        Path | None, typer.Option(help="Output folder; by default in the run, or in the current folder.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Write a model in another program's format."""
    from separation.weights import catalogue
    from separation.weights.openunmix import export_model

    with one_line_errors():
        model = catalogue.find_model(name, method="open-unmix")
        folder = out or (model.folder / format if model.own else Path(f"{model.name}-{format}"))
        written = export_model(model, folder, format=format)
    log_line(f"{model.name} as {format}: {folder}")
    if json_output:
        print_json({"model": model.name, "format": format, "files": [str(path) for path in written]})


def _known(name: str) -> Model:
    from separation.weights import catalogue

    known = {model.name: model for model in catalogue.list_models()}
    if name not in known:
        raise ValueError(f"unknown model {name!r}; the models are {', '.join(known)}")
    return known[name]


def _download_line(file: str, done: int, total: int | None) -> str:
    return f"{file}: {done / 1e6:.0f}" + (f" of {total / 1e6:.0f} MB" if total else " MB")
