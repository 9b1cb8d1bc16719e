"""Write the table of all models in docs/weights.md from the catalogue and the files in assets/results.

python -m tools.catalogue_table
"""

from __future__ import annotations

import csv
from collections.abc import Mapping

from separation.resources import ASSETS
from separation.separators import METHODS
from separation.weights.catalogue import BUNDLED, list_models
from separation.weights.model import RESTRICTIONS, Model
from tools.blocks import replace_block, table_lines
from tools.results_table import ROOT, SCORES, SOURCES, measured

__all__ = ["DOCUMENT", "HEADER", "speeds", "with_catalogue"]

DOCUMENT = ROOT / "docs" / "weights.md"
SPEEDS = ASSETS / "results" / "speed.csv"
HEADER = ["model", "method", "sources", "trained on", "published", "measured", "speed", "size", "licence"]
NONE = "-"


def with_catalogue(text: str) -> str:
    """Return the document with a row for each preset and each model."""
    medians = _measured_models()
    presets = [
        [f"preset `{name}`", "ensemble", "as its methods", NONE, NONE, *_here(name, medians), NONE, NONE]
        for name, method in METHODS.items()
        if method.preset
    ]
    models = sorted(list_models(), key=lambda model: list(METHODS).index(model.method))
    rows = [*presets, *(_row(model, medians) for model in models)]
    return replace_block(text, "catalogue", table_lines(HEADER, rows))


def speeds() -> dict[str, str]:
    """Return the measured processing time relative to the length of the music; in italics, of the network alone."""
    with SPEEDS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["model"]: row["real_time"] if row["with"] == "command" else f"*{row['real_time']}*" for row in rows}


def _measured_models() -> dict[str, str]:
    """Return what the results give for each model, and for each preset under its own name."""
    with SCORES.open(encoding="utf-8", newline="") as file:
        models = {row["method"]: row["model"] for row in csv.DictReader(file)}
    medians = {
        method: {target: cell["median"] for target, cell in cells.items()} for method, cells in measured().items()
    }
    return {method if METHODS[method].preset else models[method]: _sdr(cells) for method, cells in medians.items()}


def _row(model: Model, medians: Mapping[str, str]) -> list[str]:
    page = f"../{(BUNDLED / model.name / 'README.md').relative_to(ROOT)}" if model.bundled else model.page
    return [
        f"[`{model.name}`]({page})",
        f"`{model.method}`",
        ", ".join(model.sources),
        model.trained_on,
        f"{_sdr(model.published)} ({model.published_on})" if model.published else NONE,
        *_here(model.name, medians),
        _size(model),
        f"**{RESTRICTIONS[model.restriction]}**: {model.licence}" if model.restriction else model.licence,
    ]


def _here(name: str, medians: Mapping[str, str]) -> list[str]:
    """Return the quality and the speed that were measured."""
    return [medians.get(name, NONE), speeds().get(name, NONE)]


def _size(model: Model) -> str:
    """Return the size, which must not depend on what is installed here."""
    if model.bundled or model.bytes:
        return f"{(model.bytes or model.size or 0) / 1e6:.0f} MB"
    return f"~{4 * (model.parameters or 0) / 1e6:.0f} MB"


def _sdr(figures: Mapping[str, float]) -> str:
    """Return vocals / drums / bass / other, then what else is known."""
    rounded = {name: f"{value + 1e-9:.1f}" for name, value in figures.items()}  # 6.25 is published as 6.3
    parts = [" / ".join(rounded.get(source, NONE) for source in SOURCES)]
    others = [f"{name} {text}" for name, text in rounded.items() if name not in SOURCES]
    return "; ".join((parts if set(SOURCES) & figures.keys() else []) + others)


def main() -> None:
    """Rewrite the table."""
    DOCUMENT.write_text(with_catalogue(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
