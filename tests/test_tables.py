"""The generated tables in the documents equal what their sources give."""

from __future__ import annotations

from pathlib import Path

import pytest

from separation.separators import METHODS
from separation.weights.catalogue import list_models
from tools import catalogue_table
from tools.blocks import replace_block
from tools.results_table import DOCUMENTS, measured, with_results


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_tables_of_results_equal_the_measured_scores(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert with_results(text, intervals=DOCUMENTS[path]) == text, "run: python -m tools.results_table"


def test_all_offline_methods_are_measured() -> None:
    at_hand = {model.name for model in list_models() if model.bundled or model.package}
    offline = {name for name, method in METHODS.items() if not method.has_model or method.default_model in at_hand}
    assert set(measured()) == offline - {"best"}, "best depends on the installed weights"


def test_a_row_tells_on_how_many_clips_it_is() -> None:
    text = with_results("<!-- results: x -->\nold\n<!-- end of results -->\n", intervals=True)
    (row,) = (line for line in text.splitlines() if line.startswith("| `ica`"))
    assert "on 13, 11, 3, 13 of 20 clips" in row
    assert row.endswith("| - |"), "there is no mean over different clips"
    assert "| -0.07 |" in row, "three clips have no interval"
    assert "old" not in text


def test_a_document_without_the_block_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one block 'results', found 0"):
        replace_block("nothing", "results", [])


def test_the_table_of_models_equals_the_catalogue() -> None:
    text = catalogue_table.DOCUMENT.read_text(encoding="utf-8")
    assert catalogue_table.with_catalogue(text) == text, "run: python -m tools.catalogue_table"


def test_every_model_has_a_row() -> None:
    text = catalogue_table.with_catalogue("<!-- catalogue: x -->\n<!-- end of catalogue -->\n")
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "|" in line][2:]
    assert all(len(row) == len(catalogue_table.HEADER) for row in rows)
    by_name = {row[0].split("`")[1]: row for row in rows}
    for model in list_models():
        row = by_name.pop(model.name)
        assert row[1:3] == [f"`{model.method}`", ", ".join(model.sources)]
        assert all(row), "a dash stands for what is not known"
        assert row[8].endswith(model.licence)
    assert set(by_name) == {name for name, method in METHODS.items() if method.preset}
    assert set(catalogue_table.speeds()) <= {model.name for model in list_models()} | by_name.keys()


def test_stated_sizes_equal_the_installed_files() -> None:
    for model in list_models():
        assert model.bytes is None or model.size in (None, model.bytes), model.name
