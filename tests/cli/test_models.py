"""`models` lists, downloads and verifies weights."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from separation.weights import catalogue
from separation.weights.catalogue import list_models
from tests.weights.helpers import (
    CONTENT,
    SHA256,
    Server,
    run,
    serving,
    torch_file,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        yield server


@pytest.fixture
def table(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """A project with one released model, served here, and one bundled; returns the released one's folder."""
    (tmp_path / "released.toml").write_text(
        "[[model]]\n"
        'name = "tiny"\nmethod = "demucs"\nsources = ["vocals"]\nsample_rate = 44100\nchannels = 2\n'
        'licence = "for tests only"\nrestriction = "research"\ntrained_on = "noise"\n'
        'page = "https://example.org"\nparameters = 10\n'
        f'files = [{{ source = "all", name = "tiny.pth", url = "{server.url}/tiny.pth", sha256 = "{SHA256[:8]}" }}]\n'
    )
    folder = tmp_path / "bundled" / "compact"
    folder.mkdir(parents=True)
    (folder / "x.safetensors").write_bytes(b"weights")
    description = {"name": "compact", "method": "open-unmix", "sources": ["vocals"], "sample_rate": 8000, "channels": 1}
    files = [{"source": "vocals", "name": "x.safetensors", "sha256": hashlib.sha256(b"weights").hexdigest()}]
    (folder / "model.json").write_text(json.dumps(description | {"files": files, "licence": "CC0"}))
    monkeypatch.setattr(catalogue, "RELEASED", tmp_path / "released.toml")
    monkeypatch.setattr(catalogue, "BUNDLED", tmp_path / "bundled")
    return own_cache / "models" / "tiny"


FIELDS = {"name", "method", "sources", "sample_rate", "installed", "bundled", "bytes", "licence", "trained_on", "files"}


@pytest.mark.parametrize("arguments", [("list", "--json"), ("--json",)])
def test_models_list_as_json(table: Path, server: Server, arguments: tuple[str, ...]) -> None:
    code, output, _ = run(*arguments)
    document = json.loads(output)
    assert code == 0
    assert set(document) == {"models"}
    bundled, released = document["models"]
    assert set(bundled) >= FIELDS
    assert set(released) >= FIELDS
    assert {key: bundled[key] for key in FIELDS} == {
        "name": "compact",
        "method": "open-unmix",
        "sources": ["vocals"],
        "sample_rate": 8000,
        "installed": True,
        "bundled": True,
        "bytes": 7,
        "licence": "CC0",
        "trained_on": "unknown",
        "files": [{"name": "x.safetensors", "url": "", "sha256": hashlib.sha256(b"weights").hexdigest()}],
    }
    assert {key: released[key] for key in FIELDS} == {
        "name": "tiny",
        "method": "demucs",
        "sources": ["vocals"],
        "sample_rate": 44100,
        "installed": False,
        "bundled": False,
        "bytes": None,
        "licence": "for tests only",
        "trained_on": "noise",
        "files": [{"name": "tiny.pth", "url": f"{server.url}/tiny.pth", "sha256": SHA256[:8]}],
    }


def test_models_list_of_the_real_catalogue_as_json() -> None:
    code, output, _ = run("list", "--json")
    assert code == 0
    documents = json.loads(output)["models"]
    assert [document["name"] for document in documents] == [model.name for model in list_models()]
    for document in documents:
        assert set(document) >= FIELDS
        assert all(set(file) == {"name", "url", "sha256"} for file in document["files"])


@pytest.mark.parametrize("words", [("--json", "list"), ("--json", "verify")])
def test_json_is_accepted_before_the_subcommand(words: tuple[str, ...]) -> None:
    code, output, _ = run(*words)
    assert code == 0
    assert json.loads(output)["models"]


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_models_list_prints_the_licences(table: Path, arguments: tuple[str, ...]) -> None:
    code, output, _ = run(*arguments)
    assert code == 0
    bundled, released = output.splitlines()
    assert re.match(r"compact +open-unmix +bundled +0 MB  vocals; .*licence: CC0", bundled)
    assert re.match(r"tiny +demucs +available +~0 MB  vocals; trained on noise; licence: for tests only", released)


def test_models_download(table: Path, server: Server) -> None:
    code, output, said = run("download", "tiny", "--json")
    assert code == 0
    document = json.loads(output)
    (model,) = document["models"]
    assert model["installed"] is True
    assert model["bytes"] == len(CONTENT)
    assert document["downloaded"] == ["tiny.pth"]
    terms, note, *progress = said.splitlines()
    assert terms == "tiny: licence: for tests only; trained on noise"
    assert note == "note: check the licence before you use tiny: research only"
    assert "tiny.pth" in progress[0], "the terms come before the download"
    assert "tiny is installed" in said
    assert (table / "tiny.pth").read_bytes() == CONTENT
    server.requests.clear()
    code, output, said = run("download", "tiny")
    assert (code, output) == (0, "")
    assert "tiny is already installed" in said
    assert server.requests == []


def test_a_failed_download_is_reported_in_one_line_with_exit_code_2(table: Path, server: Server) -> None:
    for arguments, message in (
        (("download", "nothing"), "error: unknown model 'nothing'; the models are compact, tiny\n"),
        (("download", "compact"), "error: compact needs no download: its files are bundled or your own\n"),
    ):
        code, output, said = run(*arguments)
        assert (code, output) == (2, "")
        assert said.endswith(message)
        assert said.count("error:") == 1
    server.files.clear()
    code, output, said = run("download", "tiny", "--json")
    assert (code, output) == (2, "")
    assert said.splitlines()[-1] == "error: cannot download tiny.pth: the server answers 404 (Not Found)"
    assert "Traceback" not in said
    assert run("download")[0] == 2
    assert run("conjure", "tiny")[0] == 2


def test_models_verify(table: Path) -> None:
    code, output, said = run("verify", "--json")
    assert code == 0
    assert json.loads(output) == {"models": [{"name": "compact", "problems": []}]}
    assert run("download", "tiny")[0] == 0
    code, output, said = run("verify")
    assert (code, said) == (0, "")
    assert output.splitlines() == ["compact: intact", "tiny: intact"]
    path = table / "tiny.pth"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    code, output, said = run("verify", "--json")
    assert code == 1
    fine, damaged = json.loads(output)["models"]
    assert fine == {"name": "compact", "problems": []}
    assert damaged["name"] == "tiny"
    assert len(damaged["problems"]) == 1
    assert "tiny.pth has the hash" in damaged["problems"][0]
    assert run("download", "tiny")[0] == 0
    assert run("verify")[0] == 0


def test_a_broken_bundled_model_is_reported(table: Path) -> None:
    (catalogue.BUNDLED / "compact" / "model.json").write_text("{")
    for arguments in (("list",), ("verify",), ("download", "tiny")):
        code, output, said = run(*arguments)
        assert (code, output) == (2, "")
        assert "error: model.json in 'compact' cannot be read" in said


def test_torch_archives_contain_checksums() -> None:
    """What a file without a published hash is checked by."""
    with zipfile.ZipFile(io.BytesIO(torch_file())) as archive:
        assert all(entry.CRC for entry in archive.infolist() if entry.file_size)
