"""`plot`: violin plots of scores, and tests of their differences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from separation.cli.common import Json, log_line, one_line_errors, print_json, print_line

if TYPE_CHECKING:
    import numpy as np

__all__ = ["plot"]

Table = dict[str, dict[str, dict[str, float]]]  # target -> method -> track -> score


def plot(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folder of a method's scores, written by evaluate or museval."),
    ],
    out: Annotated[Path, typer.Option(metavar="FIGURE.png", help="PNG, SVG or PDF, by its suffix.")],
    metric: Annotated[
        str, typer.Option(help="SDR, ISR, SIR, SAR, uSDR, SI-SDR, or one of evaluate --metrics.")
    ] = "SDR",
    published: Annotated[
        bool, typer.Option("--published", help="Add the published systems: SiSEC 2018, Open-Unmix and Demucs.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Draw violin plots, methods in columns. The first DIR is yellow; with --published, every DIR is."""
    with one_line_errors():
        from separation.evaluation.comparison import compare
        from separation.evaluation.metrics import METRIC_UNITS
        from separation.plots import draw_violins, save

        scores = _read(folders, metric)
        ours = list(dict.fromkeys(method for methods in scores.values() for method in methods))
        shown = _with_published(scores, metric) if published else scores
        figure = draw_violins(
            {
                target: {method: _array(tracks) for method, tracks in methods.items()}
                for target, methods in shown.items()
            },
            metric=metric,
            unit=METRIC_UNITS[metric],
            aggregation="one point per track: " + _track_aggregation(metric),
            chosen=ours if published else ours[:1],
        )
        try:
            save(figure, out)
        except OSError as error:
            raise ValueError(f"cannot write {out.name}: {error.strerror or error}") from error
    log_line(f"{out}: {metric} of {', '.join(ours)}")
    document = compare(scores, metric)
    if json_output:
        print_json({"figure": str(out), **document})
        return
    _print(document)


def _read(folders: list[Path], metric: str) -> Table:
    from separation.evaluation.museval_json import read_results, scores_by_target

    found: Table = {}
    for name, folder in _methods(folders).items():
        for target, tracks in scores_by_target(read_results(folder), metric).items():
            found.setdefault(target, {})[name] = tracks
    return found


def _methods(folders: list[Path]) -> dict[str, Path]:
    """Return each method's folder by name; expand folders that hold several methods' folders."""
    single: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"no folder {folder.name!r}")
        inner = sorted(
            path for path in folder.iterdir() if path.is_dir() and path.name not in ("train", "valid", "test")
        )
        single += [path for path in inner if any(path.rglob("*.json"))] or [folder]
    names = [folder.resolve().name for folder in single]
    longer = [f"{folder.resolve().parent.name}/{folder.resolve().name}" for folder in single]
    labels = [long if names.count(name) > 1 else name for name, long in zip(names, longer, strict=True)]
    if len(set(labels)) < len(labels):
        raise ValueError(f"several folders have the same name ({', '.join(sorted(set(labels)))}): rename one")
    return dict(zip(labels, single, strict=True))


def _with_published(scores: Table, metric: str) -> Table:
    from separation.evaluation.published import published_scores

    others = published_scores(metric)
    return {target: {**others.get(target, {}), **methods} for target, methods in scores.items()}


def _array(tracks: dict[str, float]) -> np.ndarray:
    import numpy as np

    return np.array(list(tracks.values()))


def _track_aggregation(metric: str) -> str:
    return "its median over 1 s frames" if metric in ("SDR", "ISR", "SIR", "SAR") else "its score over the whole track"


def _print(document: dict[str, Any]) -> None:
    quantity = f"{document['metric']} in {document['unit']}" if document["unit"] else document["metric"]
    print(f"{quantity}, {document['aggregation']}, with its 95 % confidence interval from six tracks on")
    for target, table in document["targets"].items():
        for method, row in table["methods"].items():
            if row["median"] is not None:
                interval = "" if row["low"] is None else f"  {row['low']:.2f} to {row['high']:.2f}"
                print_line(f"{target:14}{method:20}{row['median']:8.2f}{interval}")
        for pair in table["comparisons"]:
            if pair["p_holm"] is not None:
                first, second = pair["methods"]
                print_line(
                    f"{target:14}{first} - {second}: {pair['median_difference']:+.2f} over {pair['tracks']} tracks, "
                    f"p = {pair['p_holm']:.2g} (Wilcoxon signed-rank, Holm)"
                )
