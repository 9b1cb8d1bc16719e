"""The studio for programs: gradio_client, curl and MCP, through a real server."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file

from separation.evaluation.metrics import EXTRA_METRICS, METRIC_UNITS
from tests.cli.helpers import separation
from tests.conftest import ROOT, SAMPLES
from tests.studio.server import Server

SONG = SAMPLES / "night-drive" / "mixture.flac"


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(server.url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def test_only_documented_endpoints_are_public(client: Client) -> None:
    described = client.view_api(return_format="dict")
    assert isinstance(described, dict)
    assert set(described["named_endpoints"]) == {"/separate", "/score", "/tracks", "/models", "/submit", "/job"}
    assert described["unnamed_endpoints"] == {}
    for endpoint in ("/separate", "/submit"):
        names = [parameter["parameter_name"] for parameter in described["named_endpoints"][endpoint]["parameters"]]
        assert names == ["audio", "methods", "start", "duration", "references", "metrics"]


def test_separate(client: Client) -> None:
    answer = client.predict(handle_file(str(SONG)), ["mix", "ica"], 1, 2, api_name="/separate")
    assert answer["failed"] == []
    assert [result["method"] for result in answer["results"]] == ["mix", "ica"]
    first = answer["results"][0]
    assert set(first) >= {"input", "model", "sample_rate", "channels", "frames", "residual_db", "gain_db", "device"}
    stem, rate = soundfile.read(local(first["stems"]["vocals"]))
    assert (len(stem), rate) == (2 * 44100, 44100)
    song = soundfile.read(SONG, start=44100, frames=2 * 44100)[0]
    np.testing.assert_allclose(4 * stem, song, atol=1e-5)


def test_separate_scores_against_true_sources(client: Client, tmp_path: Path) -> None:
    truth = tmp_path / "truth.zip"
    with zipfile.ZipFile(truth, "w") as archive:
        for path in SONG.parent.glob("*.ogg"):
            archive.write(path, path.name)
    files = [handle_file(str(path)) for path in (SONG, truth)]
    answer = client.predict(files[0], ["mix", "irm"], 1, 2, files[1], ["bleedless", "log_wmse"], api_name="/separate")
    assert answer["failed"] == []
    vocals, oracle = (result["scores"]["targets"]["vocals"] for result in answer["results"])
    assert set(vocals) & set(EXTRA_METRICS) == {"bleedless", "log_wmse"}
    assert vocals["SDR"] < 5 < oracle["SDR"]
    with pytest.raises(Exception, match="metrics need the true sources"):
        client.predict(files[0], ["mix"], 1, 2, None, ["bleedless"], api_name="/separate")


def test_programs_that_pass_no_newer_arguments_still_work(server: Server) -> None:
    with SONG.open("rb") as file:
        path = httpx.post(f"{server.url}/gradio_api/upload", files={"files": file}).json()[0]
    song = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = f"{server.url}/gradio_api/call/separate"
    event = httpx.post(call, json={"data": [song, ["mix"], 1, 2]}).json()["event_id"]
    answer = httpx.get(f"{call}/{event}", timeout=240).text
    assert "event: complete" in answer
    assert '"method": "mix"' in answer


def local(file: object) -> str:
    """Return the path of a file that the client downloaded."""
    return file["path"] if isinstance(file, dict) else str(file)


def test_a_submitted_job_can_be_asked_for(client: Client) -> None:
    token = client.predict(handle_file(str(SONG)), ["mix", "hpss", "irm"], 1, 2, api_name="/submit")["job"]
    shares = []
    for _ in range(600):
        answer = client.predict(token, api_name="/job")
        shares.append(answer["share"])
        if answer["state"] not in ("waiting", "working"):
            break
        time.sleep(0.1)
    assert answer.keys() == {"state", "place", "share", "seconds_left", "results", "failed"}
    assert (answer["state"], answer["place"], answer["seconds_left"]) == ("done", 0, None)
    assert shares == sorted(shares)
    assert [result["method"] for result in answer["results"]] == ["mix", "hpss"]
    assert soundfile.read(local(answer["results"][1]["stems"]["vocals"]))[0].shape == (2 * 44100, 2)
    assert "an oracle needs the true sources" in answer["failed"][0]["error"]
    with pytest.raises(Exception, match="this job no longer exists"):
        client.predict("a" * 22, api_name="/job")


def test_arguments_with_defaults_are_optional(client: Client) -> None:
    answer = client.predict(handle_file(str(SONG)), duration=2, api_name="/separate")
    assert [result["method"] for result in answer["results"]] == ["best-offline"]


def test_errors_give_the_reason(client: Client, tmp_path: Path) -> None:
    notes = tmp_path / "notes.mp3"
    notes.write_text("no song")
    with pytest.raises(Exception, match=r"cannot read 'notes\.mp3'") as caught:
        client.predict(handle_file(str(notes)), ["mix"], 0, None, api_name="/separate")
    assert str(tmp_path) not in str(caught.value)


def test_score(client: Client, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sides: dict[str, dict[str, np.ndarray]] = {"references": {}, "estimates": {}}
    for name in ("vocals", "drums"):
        sound = 0.1 * random.standard_normal((44100 * 2, 2))
        sides["references"][name] = sound
        sides["estimates"][name] = sound + 0.01 * random.standard_normal(sound.shape)
    archives = []
    for side, sounds in sides.items():
        folder = tmp_path / side
        folder.mkdir()
        for name, sound in sounds.items():
            soundfile.write(folder / f"{name}.wav", sound, 44100, subtype="FLOAT")
        archives.append(tmp_path / f"{side}.zip")
        with zipfile.ZipFile(archives[-1], "w") as archive:
            for path in folder.iterdir():
                archive.write(path, path.name)
    files = [handle_file(str(path)) for path in archives]
    answer = client.predict(*files, api_name="/score")
    assert not set(EXTRA_METRICS) & set(answer["targets"]["vocals"])
    answer = client.predict(*files, list(EXTRA_METRICS), api_name="/score")
    same = separation("score", tmp_path / "references", tmp_path / "estimates", "--metrics", "all", "--json")
    assert same.code == 0
    wanted = same.document
    for target, scores in wanted["targets"].items():
        for metric in METRIC_UNITS:
            assert answer["targets"][target][metric] == pytest.approx(scores[metric], abs=1e-4)


def test_tracks_and_models(client: Client) -> None:
    assert client.predict(api_name="/tracks") == {"root": None, "tracks": []}
    models = {model["name"]: model for model in client.predict(api_name="/models")["models"]}
    assert models["open-unmix-compact"]["installed"]
    assert not models["umxhq"]["installed"]


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_the_documented_curl_commands_work(server: Server) -> None:
    begin = (
        f"curl -s -X POST {server.url}/gradio_api/call/models -H 'Content-Type: application/json' -d '{{\"data\": []}}'"
    )
    event = json.loads(subprocess.run(begin, shell=True, capture_output=True, text=True, check=True).stdout)["event_id"]
    fetch = f"curl -sN {server.url}/gradio_api/call/models/{event}"
    answer = subprocess.run(fetch, shell=True, capture_output=True, text=True, check=True, timeout=240).stdout
    assert "event: complete" in answer
    assert "demucs-compact" in answer


def test_an_mcp_client_lists_and_calls_the_tools(server: Server) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def talk() -> tuple[dict[str, str], str]:
        async with (
            streamable_http_client(f"{server.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool.description or "" for tool in (await session.list_tools()).tools}
            name = next(name for name in tools if name.endswith("models"))
            answer = await session.call_tool(name, {})
            return tools, "".join(getattr(part, "text", "") for part in answer.content)

    with ThreadPoolExecutor() as threads:  # playwright's event loop may be running in this one
        tools, answer = threads.submit(asyncio.run, asyncio.wait_for(talk(), timeout=240)).result()
    assert {name.rpartition("_")[2] for name in tools} == {"separate", "score", "tracks", "models", "submit", "job"}
    assert any("Separate a song" in description for description in tools.values())
    assert "open-unmix-compact" in answer


def test_only_results_are_served(server: Server) -> None:
    secret = server.folder / "secret.txt"
    secret.write_text("not yours")
    for path in ("/etc/passwd", str(secret), str(ROOT / "app.py"), str(server.folder / "server.log")):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{server.url}/gradio_api/file={path}", timeout=60)


@pytest.mark.parametrize(("endpoint", "more"), [("keep", []), ("reveal", [False])])
@pytest.mark.parametrize("token", ["..", "a" * 22, "/etc", ""])
def test_player_endpoints_refuse_invalid_tokens(client: Client, endpoint: str, more: list[bool], token: str) -> None:
    with pytest.raises(Exception, match="no longer exists"):
        client.predict(token, "{}", *more, api_name=f"/{endpoint}")
