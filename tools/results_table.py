"""Write the tables of quality in README.md and docs/benchmarks.md from assets/results/musdb18-test.csv.

python -m tools.results_table
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from separation.evaluation.comparison import compare
from separation.resources import ASSETS
from tools.blocks import replace_block, table_lines

__all__ = ["DOCUMENTS", "SOURCES", "measured", "with_results"]

ROOT = Path(__file__).resolve().parent.parent
SCORES = ASSETS / "results" / "musdb18-test.csv"
SOURCES = ("vocals", "drums", "bass", "other")

#: Document -> whether its table has confidence intervals.
DOCUMENTS = {ROOT / "README.md": False, ROOT / "docs" / "benchmarks.md": True}

#: What a reader should know about a row.
NOTES = {
    "best-offline": "the default",
    "open-unmix": "bundled",
    "demucs": "bundled",
    "spleeter": "two stems",
    "ica": "unnamed components, matched to sources",
    "irm": "ideal ratio mask",
    "ibm": "ideal binary mask",
    "mwf": "ideal Wiener filter",
}

Medians = dict[str, dict[str, dict[str, Any]]]
"""Method -> target -> "median", "low", "high" in dB (None where undefined) and "tracks"."""


def measured() -> Medians:
    """Return the SDR of every method in the results, in their order."""
    with SCORES.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["SDR"]]
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        scores.setdefault(row["target"], {}).setdefault(row["method"], {})[row["track"]] = float(row["SDR"])
    targets = compare(scores, "SDR")["targets"]
    found: Medians = {row["method"]: {} for row in rows}
    for target, document in targets.items():
        for method, cell in document["methods"].items():
            found[method][target] = cell
    return found


def with_results(text: str, *, intervals: bool) -> str:
    """Return a document with the table of all methods, with or without confidence intervals."""
    medians = measured()
    tracks = max(cell["tracks"] for cells in medians.values() for cell in cells.values())
    rows = [_row(method, cells, tracks, intervals=intervals) for method, cells in medians.items()]
    return replace_block(text, "results", table_lines(["method", *SOURCES, "mean"], rows))


def _row(method: str, cells: dict[str, dict[str, Any]], tracks: int, *, intervals: bool) -> list[str]:
    found = [cells.get(source) for source in SOURCES]
    notes = [NOTES[method]] if method in NOTES else []
    notes += [f"{target} {_cell(cell, intervals=intervals)}" for target, cell in cells.items() if target not in SOURCES]
    complete = all(cell and cell["tracks"] == tracks for cell in found)
    if all(found) and not complete:
        notes.append(f"on {', '.join(str(cell['tracks']) for cell in found if cell)} of {tracks} clips")
    label = f"`{method}`" + (f": {'; '.join(notes)}" if notes else "")
    # A mean over sources that were scored on different clips would compare nothing.
    mean = f"{sum(cell['median'] for cell in found if cell) / len(SOURCES):.2f}" if complete else "-"
    return [label, *(_cell(cell, intervals=intervals) if cell else "-" for cell in found), mean]


def _cell(cell: dict[str, Any], *, intervals: bool) -> str:
    """Return a median with its interval. The z in the format writes -0.0 as 0.0."""
    bounds = f" ({cell['low']:z.1f} to {cell['high']:z.1f})" if intervals and cell["low"] is not None else ""
    return f"{cell['median']:z.2f}{bounds}"


def main() -> None:
    """Rewrite the tables."""
    for path, intervals in DOCUMENTS.items():
        path.write_text(with_results(path.read_text(encoding="utf-8"), intervals=intervals), encoding="utf-8")


if __name__ == "__main__":
    main()
