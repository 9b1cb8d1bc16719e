"""The command `studio`, and the options of the program itself."""

from __future__ import annotations

import os

import pytest
from typer.testing import CliRunner

import separation
from separation.__main__ import app
from separation.studio import app as studio_app


def test_host_and_port_reach_the_studio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7860")
    seen = []
    monkeypatch.setattr(
        studio_app, "launch", lambda: seen.append([os.environ[f"GRADIO_SERVER_{name}"] for name in ("NAME", "PORT")])
    )
    assert CliRunner().invoke(app, ["studio"]).exit_code == 0
    assert CliRunner().invoke(app, ["studio", "--host", "0.0.0.0", "--port", "8000"]).exit_code == 0
    assert seen == [["127.0.0.1", "7860"], ["0.0.0.0", "8000"]]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("Cannot find empty port in range: 7860-7860."), "error: Cannot find empty port in range: 7860-7860."),
        (ValueError("STEMSCOPE_MAX_MB must be a number"), "error: STEMSCOPE_MAX_MB must be a number"),
        (RuntimeError("CUDA out of memory.\nTried to allocate"), "error: CUDA out of memory."),
        (MemoryError(), "error: too little memory"),
    ],
    ids=repr,
)
def test_what_keeps_the_studio_from_starting_is_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch() -> None:
        raise error

    monkeypatch.setattr(studio_app, "launch", launch)
    result = CliRunner().invoke(app, ["studio"])
    assert (result.exit_code, result.stderr) == (2, f"{line}\n")


def test_faults_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def launch() -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(studio_app, "launch", launch)
    assert isinstance(CliRunner().invoke(app, ["studio"]).exception, RuntimeError)


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"stemscope {separation.__version__}\n"


def test_without_a_command_the_help_is_shown() -> None:
    assert "separate" in CliRunner().invoke(app, []).output
