"""ZeroGPU, with a stand-in for the package that only Spaces have."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from separation.studio import app
from separation.studio.inputs.request import OPEN_UNMIX_SEGMENT, SeparationRequest
from separation.studio.jobs import model_cache, session
from separation.studio.jobs.zero_gpu import is_zero_gpu, with_gpu
from tests.conftest import ROOT
from tests.studio.conftest import short_song

#: What the real one does to a generator: it runs in a forked process, and everything is pickled on its way.
FAKE = """
import functools, json, multiprocessing, os, pickle, sys

def GPU(*, duration):
    def decorate(work):
        @functools.wraps(work)
        def call(*args):
            print(json.dumps({"seconds": duration(*args), "work": work.__name__}), flush=True)
            parcel, (mine, theirs) = pickle.dumps(args), multiprocessing.Pipe()
            if os.fork() == 0:
                for update in work(*pickle.loads(parcel)):
                    theirs.send(update)
                theirs.send("end")
                os._exit(0)
            while (update := mine.recv()) != "end":
                yield update
            os.wait()
        return call
    return decorate
"""
SEPARATE = """
import json, os, tempfile
from pathlib import Path
import torch
from separation.studio.inputs import songs
from separation.studio.jobs import session
from separation.studio.results.player_data import Player
from separation.studio.inputs.request import SeparationRequest
# What the page does itself, for the blind test, starts threads that a fork does not have.
assert torch.get_num_threads() == 1
blind = Player(Path(tempfile.mkdtemp()), "noise", rate=44100, frames=400_000)
blind.write(blind.group("blind", "blind"), {name: torch.rand(2, 400_000) for name in "AB"})
song = songs.open_song("sample", next(iter(songs.samples())), duration=1)
*_, last = session.separate_song(song, SeparationRequest(methods=["mix", "open-unmix"]))
print(json.dumps({"methods": [r.method for r in last.results], "failed": list(last.failed),
                  "there": all(path.is_file() for r in last.results for path in r.stems.values())}))
"""


@pytest.mark.slow  # a process that starts another; make test-space runs the real package
def test_jobs_run_through_spaces_if_installed(tmp_path: Path) -> None:
    (tmp_path / "spaces.py").write_text(FAKE)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "TMPDIR": str(tmp_path)}
    environment["SPACES_ZERO_GPU"] = "true"
    done = subprocess.run(
        [sys.executable, "-c", SEPARATE], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    asked, result = (json.loads(line) for line in done.stdout.splitlines())
    song = short_song(1)
    assert asked == {
        "seconds": pytest.approx(session.gpu_seconds(song, SeparationRequest(methods=["mix", "open-unmix"]))),
        "work": "_separate_song",
    }
    assert result == {"methods": ["mix", "open-unmix"], "failed": [], "there": True}


def test_the_requested_duration_grows_with_excerpt_methods_and_shifts() -> None:
    def seconds(duration: float, *methods: str, metrics: tuple[str, ...] = (), **options: object) -> float:
        order = SeparationRequest(methods=methods, options=options, metrics=metrics)  # type: ignore[arg-type]
        return session.gpu_seconds(short_song(duration), order)

    one = seconds(2, "demucs")
    assert 10 < one < 30  # a short excerpt does not wait for a long time slot
    assert seconds(4, "demucs") > one
    assert seconds(2, "demucs", "open-unmix") > one + 5
    assert seconds(2, "demucs", demucs={"shifts": 10}) > one
    assert seconds(2, "demucs", metrics=("fullness",)) > one


def test_the_decorator_receives_the_function_and_its_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def gpu(*, duration: Callable[..., float]) -> Callable[..., Any]:
        def decorate(work: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: object) -> Any:
                asked.append(duration(*args))
                return work(*args)

            return call

        return decorate

    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=gpu))

    @with_gpu(lambda number: 3.0 * number)
    def double(number: int) -> int:
        return 2 * number

    assert double(21) == 42
    assert asked == [63.0]


def test_without_spaces_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)  # an import of it fails

    def work() -> None: ...

    assert with_gpu(lambda: 1.0)(work) is work


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("1", True), ("", False), ("false", False)])
def test_zero_gpu_is_recognised(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", value)
    assert is_zero_gpu() is expected


# -- models and the port by configuration


def test_preloaded_models_are_loaded_at_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(model_cache, "load", lambda name, *, model, options: loaded.append((name, model, options)))
    monkeypatch.setenv("SEPARATION_PRELOAD", "demucs-compact, umxhq")  # the second one is not here
    model_cache.warm_up()
    assert loaded == [
        ("best-offline", None, {}),
        ("open-unmix", None, {"segment": OPEN_UNMIX_SEGMENT}),
        ("demucs", None, {}),
        ("demucs", None, {}),
    ]


def test_missing_preloaded_models_are_downloaded_and_failures_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SEPARATION_PRELOAD", "open-unmix-compact,nonsense,umxhq")
    monkeypatch.setenv("SEPARATION_MODELS_URL", "http://127.0.0.1:9")  # nobody is there
    with caplog.at_level(logging.WARNING):
        model_cache.fetch_models()
    said = "\n".join(caplog.messages)
    assert "no model 'nonsense'; there are" in said
    assert "cannot download" in said
    assert said.count("downloading") == 1  # the bundled one is here


@pytest.mark.parametrize(
    ("port", "gradio", "expected"), [("8080", None, 8080), ("8080", "7861", None), (None, None, None), ("", None, None)]
)
def test_port_is_used_unless_gradio_server_port_is_set(
    port: str | None, gradio: str | None, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PORT", port), ("GRADIO_SERVER_PORT", gradio)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert app._port() == expected
