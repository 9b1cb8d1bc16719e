"""Every notebook runs from top to bottom and prints what it printed when it was committed."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if path.stem != "length"]
QUICK = ("length",)  # the others take 10 to 40 s each
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e-?\d+)?")


def printed(notebook: nbformat.NotebookNode) -> str:
    """Return the text that the cells printed, without pictures and warnings."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def words(text: str) -> list[str]:
    return NUMBER.sub(" # ", text).split()


def numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]


def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return the text that a notebook printed when it was committed, and the text that it prints now."""
    notebook = nbformat.read(path, as_version=4)
    before = printed(notebook)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("STEPS", "20")  # of the training: the committed one took its time
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    return before, printed(notebook)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path.stem in QUICK else pytest.mark.slow, id=path.stem) for path in NOTEBOOKS],
)
def test_notebooks_run_and_reproduce_their_outputs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word; numbers as another processor's rounding lets them be."""
    before, now = run(path, monkeypatch)
    assert before, "it was committed without being run"
    assert words(now) == words(before)
    if path.stem == "length":
        assert now == before
    elif path.stem != "04_training":
        assert numbers(now) == pytest.approx(numbers(before), rel=0.05, abs=0.5)


@pytest.mark.slow  # the same cells run on the sample tracks above
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_notebooks_run_on_musdb18(path: Path, musdb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSDB_ROOT", str(musdb_root))
    before, now = run(path, monkeypatch)
    assert numbers(now) != numbers(before)  # it is about another song


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_below_the_size_limit(path: Path) -> None:
    """And its source says which part of the study it is, if it is one."""
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    assert "study" in notebook.cells[0].source
    assert all(output.output_type != "error" for cell in notebook.cells for output in cell.get("outputs", []))


def test_notebooks_exist() -> None:
    names = ["01_ica", "02_open_unmix", "03_demucs", "04_training", "05_evaluation", "length"]
    assert [path.stem for path in NOTEBOOKS] == names
