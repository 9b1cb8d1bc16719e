"""The example of docs/add-your-own-method.md runs and does what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

from separation.__main__ import app
from tests.conftest import ROOT, SAMPLES

PAGE = ROOT / "docs" / "add-your-own-method.md"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first code block of the page, saved as a file."""
    match = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert match
    path = tmp_path_factory.mktemp("example") / "centre.py"
    path.write_text(match[1], encoding="utf-8")
    return path


def run(example: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    folder = str(example.parent)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": folder, "SEPARATION_HOME": folder}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=example.parent, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def test_the_example_has_at_most_forty_lines(example: Path) -> None:
    lines = example.read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 40


def test_the_command_line_knows_the_method_which_is_better_than_the_mixture(example: Path) -> None:
    song = SAMPLES / "paper-boats" / "mixture.flac"
    options = ["--method", "centre", "--option", "lowest=150", "--float32", "--json"]
    done = run(example, example.name, "separate", song, *options)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert list(result["stems"]) == ["vocals", "accompaniment"]
    assert result["residual_db"] < -100  # the stems sum to the song
    assert result["frames"] == soundfile.info(song).frames
    card = example.parent / result["card"]
    assert json.loads(card.read_text())["options"] == {"lowest": 150.0}
    (card.parent / "accompaniment.wav").unlink()
    invoke("separate", song, "--method", "mix", "--stems", "vocals", "--out", example.parent)
    mixture = example.parent / "mixture" / "mix"
    scores = [
        json.loads(invoke("score", song.parent, estimates, "--json"))["targets"]["vocals"]["SDR"]
        for estimates in (card.parent, mixture)
    ]
    assert scores[0] > scores[1] + 0.5


def invoke(*arguments: object) -> str:
    """Run the command line in this process, which does not know the example, and return its output."""
    done = CliRunner().invoke(app, [str(word) for word in arguments])
    assert done.exit_code == 0, done.stderr
    return done.stdout


#: Scores with filters of 16 taps: it is seen what is scored, not how well.
IN_THE_STUDIO = """
import json, sys, centre
from typer.testing import CliRunner
from separation.__main__ import app as commands
from separation.evaluation import projection
from separation.studio import app
from separation.studio.inputs import songs
from separation.studio.jobs import session
from separation.studio.i18n import Translator
from separation.studio.components.method_cards import method_cards
from separation.studio.inputs.request import SeparationRequest
words = ["separate", sys.argv[1], "--method", "centre", "--option", "highest=150"]
refused = CliRunner().invoke(commands, words)
projection.TAPS = 16
app.build()
song = songs.open_song("sample", "Paper boats", duration=2)
*_, last = session.separate_song(song, SeparationRequest(methods=["centre"]))
player = json.loads((last.folder / "player.json").read_text())
group = next(group for group in player["groups"] if group["id"] == "centre")
scored = list(group["scores"]["targets"])
report = {"refused": [refused.exit_code, refused.stderr], "cards": method_cards(Translator("en"))}
print(json.dumps({**report, "failed": last.failed, "scored": scored}))
"""


@pytest.fixture(scope="module")
def report(example: Path) -> dict[str, Any]:
    """What came of a program that imports the example."""
    done = run(example, "-c", IN_THE_STUDIO, SAMPLES / "paper-boats" / "mixture.flac")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_an_unknown_option_is_refused(report: dict[str, Any]) -> None:
    code, said = report["refused"]
    assert code == 2
    assert "the options of this method are: lowest" in said


def test_the_studio_offers_and_scores_the_method(report: dict[str, Any]) -> None:
    assert ">Centre<" in report["cards"] and 'value="centre"' in report["cards"]
    assert report["failed"] == {}
    assert report["scored"] == ["vocals", "accompaniment"]
