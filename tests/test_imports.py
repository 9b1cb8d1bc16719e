"""The rooms import one way, and importing the package is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "separation"

#: Each room and the rooms it may import. Nothing else of the package may be imported by it.
ALLOWED = {
    "containers": set(),
    "audio": {"decoding"},
    "decoding": {"containers"},
    "writing": set(),
    "stft": set(),
    "parallel": set(),
    "masking": {"stft", "parallel"},
    "segments": {"audio"},
    "models": {"stft", "parallel"},
    "checkpoints": set(),
    "separators": {"audio", "stft", "parallel", "masking", "segments", "models", "checkpoints"},
    "data": {"audio"},
    "training": {"stft", "models", "data", "checkpoints"},
    "exporting": {"checkpoints"},
    "evaluation": {"spreading", "audio", "stft", "masking", "separators", "data", "pipeline"},
    "spreading": {"separators"},
    "pipeline": {"audio", "writing", "segments", "separators", "checkpoints"},
    "batch": {"audio", "data", "separators", "pipeline", "spreading"},
    "plots": {"audio", "stft"},
    "stem_mp4": set(),
    "studio": {
        "parallel",
        "audio",
        "decoding",
        "segments",
        "writing",
        "checkpoints",
        "separators",
        "data",
        "pipeline",
        "evaluation",
        "plots",
        "stem_mp4",
    },
    "commands": {
        "parallel",
        "batch",
        "spreading",
        "audio",
        "checkpoints",
        "separators",
        "data",
        "pipeline",
        "evaluation",
        "exporting",
        "plots",
        "training",
    },
    "__main__": {"commands"},
    "__init__": set(),
}

#: Packages that only these rooms may import.
ONLY_IN = {
    "gradio": {"studio"},
    "matplotlib": {"plots"},
    "musdb": {"data"},
    "stempeg": {"data"},
    "tensorboard": {"training"},
    "typer": {"commands", "__main__"},
}


def room_of(path: Path) -> str:
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, also inside functions and for type checking, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things come from"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_one_way(path: Path) -> None:
    room = room_of(path)
    assert room in ALLOWED, f"{room} is a new room: say here what it may import"
    for name in imports_of(path):
        parts = name.split(".")
        if (
            parts[0] == "separation"
            and len(parts) > 1
            and (PACKAGE / parts[1]).exists() | (PACKAGE / f"{parts[1]}.py").exists()
        ):
            assert parts[1] == room or parts[1] in ALLOWED[room], f"{room} must not import {parts[1]}"
        if parts[0] in ONLY_IN:
            assert room in ONLY_IN[parts[0]], f"only {ONLY_IN[parts[0]]} may import {parts[0]}, not {room}"


def test_every_room_is_known() -> None:
    rooms = {room_of(path) for path in FILES}
    assert rooms == set(ALLOWED)


def test_importing_the_package_is_cheap() -> None:
    heavy = ["torch", "torchaudio", "librosa", "sklearn", "gradio", "matplotlib", "musdb", "numpy"]
    modules = "separation, separation.separators, separation.checkpoints"
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_shows_its_help_without_torch() -> None:
    code = "import sys, separation.__main__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_there_is_no_room_for_leftovers() -> None:
    assert not list(PACKAGE.rglob("utils.py"))
