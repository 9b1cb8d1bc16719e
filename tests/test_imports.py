"""Imports point one way, and importing the package is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

PACKAGE = Path(__file__).resolve().parent.parent / "separation"

#: What each package may import, from the bottom up: only names that stand above it in this table.
ALLOWED: dict[str, set[str]] = {
    "__init__": set(),
    "resources": set(),
    "sources": set(),
    "atomic": set(),
    "archives": set(),
    "toml_files": set(),
    "audio": set(),
    "workers": set(),
    "spectral": {"workers"},
    "models": {"workers", "spectral"},
    "weights": {"resources", "sources"},
    "separators": {"resources", "sources", "toml_files", "audio", "workers", "spectral", "models", "weights"},
    "datasets": {"sources", "atomic", "archives", "toml_files", "audio", "weights"},
    "training": {"sources", "atomic", "toml_files", "spectral", "models", "weights", "datasets"},
    "pipeline": {"audio", "workers", "separators", "datasets"},
    "evaluation": {
        "resources",
        "sources",
        "atomic",
        "audio",
        "workers",
        "spectral",
        "separators",
        "datasets",
        "pipeline",
    },
    "plots": set(),
    "studio": {
        "resources",
        "archives",
        "audio",
        "workers",
        "spectral",
        "weights",
        "separators",
        "datasets",
        "pipeline",
        "evaluation",
        "plots",
    },
    "cli": {
        "atomic",
        "workers",
        "weights",
        "separators",
        "datasets",
        "training",
        "pipeline",
        "evaluation",
        "plots",
        "studio",
    },
    "__main__": {"cli"},
}

#: The parts of the studio, from the bottom up: each imports only what stands above it.
STUDIO = (
    *("arguments", "early_script", "limits", "visitor", "i18n", "errors"),
    *("results", "inputs", "jobs", "listening", "components", "pages", "api", "app"),
)

#: Third-party packages that only these packages may import.
ONLY_IN = {
    "gradio": {"studio"},
    "matplotlib": {"plots"},
    "tensorboard": {"training"},
    "typer": {"cli", "__main__"},
}

FILES = sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Return the dotted names a file imports, also inside functions and for type checking."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things come from"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def used_packages(path: Path) -> set[str]:
    """Return the other packages of this project that a file imports."""
    parts = [name.split(".") for name in imports_of(path)]
    inside = {part[1] for part in parts if part[0] == "separation" and len(part) > 1}
    return (inside & ALLOWED.keys()) - {package_of(path)}


def test_imports_point_one_way() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} must not import {name}"
        for path in FILES
        for name in used_packages(path) - ALLOWED[package_of(path)]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_of_imports_has_no_cycle() -> None:
    order = list(ALLOWED)
    for name, allowed in ALLOWED.items():
        assert allowed <= set(order[: order.index(name)]), f"{name} may import only what stands above it"


def test_every_allowed_import_is_used() -> None:
    used: dict[str, set[str]] = {name: set() for name in ALLOWED}
    for path in FILES:
        used[package_of(path)] |= used_packages(path)
    assert used == ALLOWED


def test_imports_inside_the_studio_point_one_way() -> None:
    wrong = []
    for path in (PACKAGE / "studio").rglob("*.py"):
        part = path.relative_to(PACKAGE / "studio").parts[0].removesuffix(".py")
        names = [name.split(".") for name in imports_of(path) if name.startswith("separation.studio.")]
        above = () if part == "__init__" else STUDIO[: STUDIO.index(part) + 1]
        wrong += [f"{path.relative_to(PACKAGE)} must not import {name[2]}" for name in names if name[2] not in above]
    assert not wrong, "\n".join(wrong)


def test_third_party_packages_are_imported_only_where_allowed() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} must not import {name}"
        for path in FILES
        for name in {name.split(".")[0] for name in imports_of(path)} & ONLY_IN.keys()
        if package_of(path) not in ONLY_IN[name]
    ]
    assert not wrong, "\n".join(wrong)


def test_importing_the_package_loads_no_heavy_modules() -> None:
    heavy = ["torch", "torchaudio", "librosa", "sklearn", "gradio", "matplotlib", "musdb", "numpy"]
    modules = "separation, separation.separators, separation.weights.catalogue"
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def modules_after(*commands: list[object]) -> list[set[str]]:
    """Return the top-level modules that are there after each of some commands, run one after the other."""
    code = "import sys; from typer.testing import CliRunner; from separation.__main__ import app\n"
    code += f"for words in {[[str(word) for word in words] for words in commands]}:\n"
    code += "    done = CliRunner().invoke(app, words)\n"
    code += "    assert done.exit_code == 0, done.output\n"
    code += "    print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_commands_import_no_heavy_modules_that_they_do_not_use(tmp_path: Path) -> None:
    """Each would add between 0.2 and 3 s to every start; torch itself takes 1 s."""
    heavy = {
        "scipy",
        "sklearn",
        "librosa",
        "numba",
        "pandas",
        "matplotlib",
        "gradio",
        "torchaudio",
        "dask",
        "distributed",
    }
    heavy |= {"musdb", "museval", "stempeg", "tensorboard", "julius", "IPython", "joblib"}
    noise = np.random.default_rng(0).normal(scale=0.1, size=(8000, 1))
    for name in ("vocals", "drums"):
        soundfile.write(tmp_path / f"{name}.wav", noise, 8000)
        noise = noise[::-1]
    usage, separate, both = modules_after(
        ["--help"],
        ["separate", tmp_path / "vocals.wav", "-m", "mix", "--out", tmp_path / "out"],
        ["score", tmp_path, tmp_path],
    )
    assert not {"torch", *heavy} & usage
    assert "torch" in separate
    assert not heavy & separate
    assert not heavy & both


def test_no_module_is_called_utils() -> None:
    assert not list(PACKAGE.rglob("utils.py"))


def test_test_modules_import_no_other_test_modules() -> None:
    """Shared code is in helpers and conftest: an imported test module would run its tests twice, or hide them."""
    for path in (PACKAGE.parent / "tests").rglob("*.py"):
        parts = {part for name in imports_of(path) if name.startswith("tests.") for part in name.split(".")}
        assert not {part for part in parts if part.startswith("test_")}, path
