"""The repository as a Hugging Face Space: what it declares, and a dry run on a machine that is all but read-only."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.conftest import ROOT, SAMPLES

SPACE_PYTHON = os.environ.get("SPACE_PYTHON")
DISK = 64  # MB, all that can be written to
#: Runs a command where everything is read-only, but for a tiny TMPDIR.
SANDBOX = f"""
set -e
mount --bind / /
cd "$CODE"
mount -o remount,bind,ro /
mount -t tmpfs -o size={DISK}m none "$TMPDIR"
exec "$@"
"""


def front_matter() -> dict[str, str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, head, _ = text.split("---\n", 2)
    return dict(re.findall(r"^(\w+): *(.+)$", head, re.MULTILINE))


def tracked() -> list[Path]:
    if not shutil.which("git"):
        pytest.skip("no git: what a Space would get is not known")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:
        pytest.skip("not a git repository: what a Space would get is not known")
    return [Path(name) for name in listing.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


# -- what is declared


def test_the_front_matter_is_valid_for_spaces() -> None:
    head = front_matter()
    required = {"title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "license"}
    assert required <= head.keys()
    assert head["sdk"] == "gradio"
    assert (ROOT / head["app_file"]).is_file()
    assert len(head["short_description"]) <= 60  # longer ones are refused
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {head["colorFrom"], head["colorTo"]} <= colours


def test_the_space_uses_the_tested_versions() -> None:
    head = front_matter()
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert f"gradio[mcp]=={head['sdk_version']}\n" in pinned
    assert version("gradio") == head["sdk_version"]
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert head["python_version"] == '"3.12"'
    assert allowed == ">=3.11,<3.13"


def test_no_file_exceeds_the_limit_for_git_lfs() -> None:
    assert [str(path) for path in tracked() if (ROOT / path).stat().st_size > 10_000_000] == []


# -- the dry run


@contextmanager
def space(folder: Path, python: str | Path, **environment: str) -> Iterator[str]:
    """The tracked files, started; yields the address. Nothing is known of the machine but where it listens."""
    code, home, disk = (folder / name for name in ("code", "home", "disk"))
    for path in tracked():
        (code / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, code / path)
    home.mkdir()
    disk.mkdir()
    machine = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(disk), "CODE": str(code)}
    alone = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    sandbox = [*alone, "sh", "-c", SANDBOX, "sh"]
    _refuse_a_leaking(sandbox, machine)
    log = (folder / "server.log").open("w")
    server = subprocess.Popen([*sandbox, str(python), "app.py"], env=machine | environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{environment.get('GRADIO_SERVER_PORT') or environment['PORT']}"
        _wait_for(url, server, folder / "server.log")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


def _refuse_a_leaking(sandbox: list[str], machine: dict[str, str]) -> None:
    """Skip where this machine has no such sandbox; fail where it has and does not hold."""
    if subprocess.run([*sandbox, "true"], env=machine, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount: no read-only machine to try it on")
    for place in (machine["CODE"], machine["HOME"], str(Path(pytest.__file__).parent)):
        touch = subprocess.run([*sandbox, "touch", f"{place}/new"], env=machine, capture_output=True, check=False)
        assert b"Read-only" in touch.stderr
    fill = ["dd", "if=/dev/zero", f"of={machine['TMPDIR']}/large", "bs=1M", f"count={DISK + 1}"]
    assert b"No space left" in subprocess.run([*sandbox, *fill], env=machine, capture_output=True, check=False).stderr


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
    raise AssertionError(f"nobody listens at {url}: {log.read_text()}")


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def assert_serves(url: str, folder: Path) -> None:
    """What a visitor would notice: the page, the models, no MUSDB18, and stems that sound."""
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False, download_files=str(folder))
    models: Any = client.predict(api_name="/models")
    assert {model["name"] for model in models["models"] if model["installed"]} >= {
        "open-unmix-compact",
        "demucs-compact",
    }
    tracks: Any = client.predict(api_name="/tracks")
    assert tracks == {"root": None, "tracks": []}
    song = handle_file(SAMPLES / "night-drive" / "mixture.flac")
    answer: Any = client.predict(song, ["open-unmix", "hpss"], 0, 3, api_name="/separate")
    assert answer["failed"] == []
    assert [result["method"] for result in answer["results"]] == ["open-unmix", "hpss"]
    waveform, rate = soundfile.read(answer["results"][0]["stems"]["vocals"])
    assert (waveform.shape, rate) == ((3 * 44100, 2), 44100)
    assert abs(waveform).max() > 0.01


@pytest.mark.slow  # starts a second studio; what a Space declares is checked above
def test_the_app_runs_from_tracked_files_on_a_read_only_file_system(tmp_path: Path) -> None:
    with space(tmp_path, sys.executable, PORT=free_port()) as url:
        assert_serves(url, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not SPACE_PYTHON, reason="an environment of its own takes minutes and 6 GB: make test-space")
def test_the_app_runs_in_the_environment_of_a_space(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([str(SPACE_PYTHON), "-m", "venv", str(environment)], check=True)
    try:
        python = environment / "bin" / "python"
        wanted = f"python{front_matter()['python_version'].strip(chr(34))}"
        assert (environment / "bin" / wanted).exists(), f"SPACE_PYTHON must be {wanted}"
        sdk = f"gradio[oauth,mcp]=={front_matter()['sdk_version']}"
        theirs = [sdk, "uvicorn>=0.14.0", "websockets>=10.4", "spaces"]  # what Spaces add to the requirements
        install: list[str | Path] = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-cache-dir",
            "-r",
            ROOT / "requirements.txt",
        ]
        subprocess.run([*install, *theirs], check=True)
        checked = subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout
        port = free_port()
        with space(tmp_path, python, GRADIO_SERVER_PORT=port, GRADIO_SERVER_NAME="0.0.0.0", PORT=port) as url:
            assert_serves(url, tmp_path)
    finally:
        shutil.rmtree(environment)  # pytest would keep 6 GB
