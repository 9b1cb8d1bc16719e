"""The documents: docstrings become pages, links lead somewhere, the citation is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from separation.separators import METHODS
from separation.studio.components import fragments
from separation.studio.i18n import Translator
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "assets").rglob("*.md")])


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


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


def test_the_architecture_names_every_file() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    files = [path for path in (ROOT / "separation").rglob("*.py") if path.name != "__init__.py"]
    assert [path.name for path in files if f" {path.name} " not in text] == []
