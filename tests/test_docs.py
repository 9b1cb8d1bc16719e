"""The documents: docstrings become pages, links lead somewhere, the citation is complete."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from separation.separators import METHODS
from separation.studio.components import fragments
from separation.studio.i18n import Translator
from tests.conftest import ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "assets").rglob("*.md"),
        *(ROOT / "notebooks").glob("*.ipynb"),
    ]
)


@pytest.mark.slow  # renders every module, 15 s
def test_docstrings_are_rendered(tmp_path: Path) -> None:
    pytest.importorskip("pdoc")
    command = [sys.executable, "-m", "docs.render", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    modules = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "separation").rglob("*.py")]
    named = {str(module).removesuffix("/__init__") for module in modules if module.name != "__main__"}
    pages = {str(page.relative_to(tmp_path).with_suffix("")) for page in tmp_path.rglob("*.html")}
    assert pages == named | {"index"}
    front = (tmp_path / "separation.html").read_text(encoding="utf-8")
    assert 'id="create"' in front  # a name that loads when it is first used
    assert "separation/spectral.html" in front  # and a package


def markdown_of(page: Path) -> str:
    """Return the text of a page without its blocks of code, or that of a notebook's cells of text."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?) *$", markdown_of(page), re.MULTILINE):
        words = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading)
        slug = anchor = re.sub(r"[^\w -]", "", words.lower()).replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{slug}-{number}"
        found.add(anchor)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", markdown_of(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_readme_and_docs_show_the_studio() -> None:
    """Six pictures of it or more, among them a dark one and one of a phone, each small enough to load at once."""
    shown = set()
    for page in (ROOT / "README.md", ROOT / "docs" / "studio.md"):
        text = page.read_text(encoding="utf-8")
        shown |= set(re.findall(r'(?:\]\(|src=")(?:\.\./)?(assets/images/[\w-]+\.png)', text))
    contents = {(ROOT / path).read_bytes() for path in shown}
    assert len(contents) == len(shown) >= 6
    assert {"assets/images/dark.png", "assets/images/phone.png"} <= shown
    assert max(len(content) for content in contents) < 300_000


def test_the_citation_names_all_works() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "(.+)"', (ROOT / "separation" / "__init__.py").read_text(encoding="utf-8"))
    assert version
    assert f"\nversion: {version[1]}\n" in text
    for what in ("Independent component", "Open-Unmix", "Waveform Domain", "Hybrid", "MUSDB18", "museval", "norbert"):
        assert what in text
    about = fragments.about(Translator("en"))
    for method in METHODS.values():
        for author in re.findall(r"(?:^|; )(\w+)(?=,| and| et al)", method.reference):
            assert f"family-names: {author}" in text
            assert author in about.split("<h3>")[-1]


def test_the_readme_has_at_most_180_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 180


def test_the_architecture_names_every_file_at_its_place() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = text.partition("\n## Layout\n\n```\n")[2].partition("\n```\n")[0]
    named, parents = [], [""]
    for line in tree.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        path = parents[depth] + name
        named.append(path)
        parents[depth + 1 :] = [path] if name.endswith("/") else []
    code = [path.relative_to(ROOT) for path in (ROOT / "separation").rglob("*.py")]
    files = {str(path) for path in code if path.name != "__init__.py"}
    folders = {f"{path.parent}/" for path in code}
    outside = {name for name in named if not name.startswith("separation/")}
    assert sorted(named) == sorted(files | folders | outside | {"separation/__init__.py"})
    assert {"app.py", "assets/", "docs/", "notebooks/", "tests/", "tools/"} == outside
    assert all((ROOT / name).exists() for name in outside)
