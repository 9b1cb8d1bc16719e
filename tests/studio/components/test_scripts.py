"""The player's modules: their own tests under node, and their joining into one script."""

from __future__ import annotations

import subprocess
from graphlib import CycleError
from pathlib import Path

import pytest

from separation.studio.components.scripts import join_modules
from tests.conftest import ROOT
from tests.studio.server import NODE

PLAYER = ROOT / "assets" / "player"


def test_the_modules_pass_their_own_tests() -> None:
    tests = sorted((ROOT / "tests" / "player").glob("*.test.mjs"))
    done = subprocess.run([NODE, "--test", *tests], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "# tests 0\n" not in done.stdout


def test_the_joined_script_is_valid(tmp_path: Path) -> None:
    script = tmp_path / "player.mjs"
    script.write_text(join_modules(PLAYER), "utf-8")
    done = subprocess.run([NODE, "--check", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_are_joined_in_the_order_of_their_imports(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text('import { two } from "./b.js";\n\nexport const one = two - 1;\n')
    (tmp_path / "b.js").write_text("export const two = 2;\n")
    assert join_modules(tmp_path) == "const two = 2;\n\n\nconst one = two - 1;\n"


def test_modules_that_cannot_be_joined_are_refused(tmp_path: Path) -> None:
    a, b = tmp_path / "a.js", tmp_path / "b.js"
    a.write_text("export const one = 1;\n")
    b.write_text("const one = 2;\n")
    with pytest.raises(ValueError, match=r"one is declared in a\.js and b\.js"):
        join_modules(tmp_path)
    b.write_text('import one from "./a.js";\n')
    with pytest.raises(ValueError, match=r"b\.js: cannot join 'import one from"):
        join_modules(tmp_path)
    a.write_text('import { two } from "./b.js";\n')
    b.write_text('import { one } from "./a.js";\n')
    with pytest.raises(CycleError):
        join_modules(tmp_path)
