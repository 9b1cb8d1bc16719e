"""Faults under the studio: the disk, the process, the models, the memory, the network."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
import torch

import separation
from separation.audio.signal import Audio
from separation.evaluation.museval_json import read_result, write_result
from separation.separators.mixture import Mix
from separation.studio.inputs.request import SeparationRequest
from separation.studio.inputs.songs import Song
from separation.studio.jobs import session
from separation.studio.results import storage
from separation.training.run_folder import RunFolder
from separation.weights import catalogue
from tests.benchmarks.crowd import tone_of
from tests.studio.server import Server, running
from tests.trust.conftest import RecordAttack, assert_reveals_nothing, refusal_message, remaining_files
from tests.trust.visitor import Visitor, page

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill_disk(disk: Path, leave: int) -> Path:
    """Fill a disk except for `leave` bytes; return the file that does so."""
    free = shutil.disk_usage(disk).free
    filler = disk / "filler"
    filler.write_bytes(bytes(max(0, free - leave)))
    return filler


# -- the disk --------------------------------------------------------------------------------------


@pytest.mark.slow  # starts studios and separates, over 10 s; make test-trust runs it too
def test_a_full_disk_in_the_studio(small_disk: Path, record_attack: RecordAttack) -> None:
    mirror = "http://127.0.0.1:9"  # nobody is there
    with running(small_disk, SEPARATION_MODELS_URL=mirror) as server:
        visitor = Visitor(server.url)
        song = visitor.upload("song.wav", tone_of(1, 8))
        for leave in (0, MEGABYTE, 4 * MEGABYTE, 8 * MEGABYTE):
            before = remaining_files(server)
            filler = fill_disk(small_disk, leave)
            answer = visitor.ask("separate", song, ["mix"], 0, None)
            text = answer.error or str(answer.output[0]["failed"])
            assert "the server's disk is full" in text, answer
            assert_reveals_nothing(text, small_disk)
            shown = unescape(str(visitor.separate(page(song))))
            assert "the server's disk is full" in shown
            filler.unlink()
            left = remaining_files(server) - before
            # The page offers to start again, for which it keeps the song and the order.
            assert {path for path in left if not re.search(r"/(order\.json|input/.*)$", path)} == set()
            record_attack(f"{leave / 1e6:g} MB left on the disk", text)
        filler = fill_disk(small_disk, 0)
        with pytest.raises(httpx.HTTPError) as refused:
            Visitor(server.url).upload("a.wav", tone_of(3, 8))
        record_attack("an upload to a full disk", str(refused.value).partition(" for url")[0])
        filler.unlink()
        answer = visitor.ask("separate", visitor.upload("b.wav", tone_of(2, 2)), ["mix"], 0, None)
        assert answer.output[0]["results"]
        assert answer.output[0]["failed"] == []
        record_attack("then there is room again", "the next song is separated")
        check_missing_network(server, visitor, record_attack)


def check_missing_network(server: Server, visitor: Visitor, record_attack: RecordAttack) -> None:
    answer = visitor.ask("download_weights", None, event={"model": "umxse"})
    text = str(answer)
    assert "No connection to the server" in text
    assert_reveals_nothing(text, server.folder)
    assert not [path for path in (server.folder / "home").rglob("*") if path.suffix in (".pth", ".part")]
    models = {model["name"]: model for model in visitor.ask("models").output[0]["models"]}
    assert not models["umxse"]["installed"]
    record_attack(
        "no network while a model is fetched", text[text.index("No connection to the server") :].partition("<")[0]
    )


def test_a_full_disk_in_training_and_evaluation(small_disk: Path, record_attack: RecordAttack) -> None:
    place = small_disk / "run"
    run = RunFolder(place, "vocals")
    run.begin({"epochs": 1}, resume=False)
    weights = {"w": torch.zeros(MEGABYTE)}
    run.save(1, weights, {"step": 1})
    scores: dict[str, Any] = {"targets": {}, "notes": ["x" * MEGABYTE]}
    write_result(place / "a.json", {"targets": {}, "notes": []}, provenance={})
    filler = fill_disk(small_disk, MEGABYTE // 2)
    with pytest.raises(Exception, match=r"(?i)no space left|failed|error"):
        run.save(2, weights, {"step": 2})
    with pytest.raises(OSError, match="No space left"):
        write_result(place / "a.json", scores, provenance={})
    filler.unlink()
    found = run.load(torch.device("cpu"))
    assert found is not None
    assert found[1] == {"step": 1}
    assert read_result(place / "a.json") is not None
    assert not [path for path in place.rglob("*") if path.name.endswith(".part")]
    shutil.rmtree(place)
    record_attack(
        "a full disk under a checkpoint and a file of scores", "the ones before stay whole, nothing half-written"
    )


# -- the process -----------------------------------------------------------------------------------


@pytest.mark.slow  # starts studios and separates, over 10 s; make test-trust runs it too
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_studio_goes_on_at_the_next_start(
    how: signal.Signals, tmp_path: Path, record_attack: RecordAttack
) -> None:
    with running(tmp_path) as server:
        visitor = Visitor(server.url)
        song = visitor.upload("song.wav", tone_of(1, 40))
        token = visitor.ask("separate_1", *page(song, ("mix", "hpss"))).output[6]
        wait_for(lambda: visitor.ask("job", token).output[0]["results"])
        os.kill(server.pid, how)
    results = tmp_path / f"stemscope-{os.getuid()}"
    (results / "old").mkdir()
    os.utime(results / "old", (0, 0))
    with running(tmp_path) as server:
        assert not (results / "old").exists(), "what is older than an hour is swept"
        visitor = Visitor(server.url)
        wait_for(lambda: visitor.ask("job", token).output[0]["state"] == "interrupted")
        found = visitor.ask("job", token).output[0]
        assert [result["method"] for result in found["results"]] == ["mix"]
        assert len(visitor.fetch(found["results"][0]["stems"]["vocals"]["url"])) > MEGABYTE
        answer = visitor.ask("separate", visitor.upload("song.wav", tone_of(1, 1)), ["mix"], 0, None)
        assert answer.output[0]["results"]
    record_attack(f"{how.name} at work, then started again", "finished methods are there, the rest is offered")


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    for _ in range(round(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


# -- models and memory -----------------------------------------------------------------------------


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(storage, "UPLOADS", tmp_path / "uploads")


@pytest.fixture
def bundled(own_folders: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundled Open-Unmix, to be broken."""
    monkeypatch.setattr(catalogue, "BUNDLED", tmp_path / "models")
    shutil.copytree(Path(separation.__file__).parents[1] / "assets" / "models", tmp_path / "models")
    return tmp_path / "models" / "open-unmix-compact"


def separated(*methods: str) -> session.SessionUpdate:
    noise = 0.1 * torch.randn(2, 44100, generator=torch.Generator().manual_seed(0))
    song = Song(name="song.wav", audio=Audio(waveform=noise, sample_rate=44100))
    *_, last = session.separate_song(song, SeparationRequest(methods=methods))
    return last


@pytest.mark.slow  # starts studios and separates, over 10 s; make test-trust runs it too
def test_model_files_may_change_while_the_studio_runs(
    bundled: Path, record_attack: RecordAttack, tmp_path: Path
) -> None:
    weights = sorted(bundled.glob("*.safetensors"))
    whole = {path: path.read_bytes() for path in weights}
    good = separated("open-unmix")
    assert [result.method for result in good.results] == ["open-unmix"]

    def damage(what: str, change: Callable[[Path], object]) -> None:
        for path in weights:
            change(path)
        last = separated("open-unmix", "mix")
        assert [result.method for result in last.results] == ["mix"], "the others go on"
        assert_reveals_nothing(next(iter(last.failed.values())), tmp_path)
        record_attack(f"the model's files are {what}", next(iter(last.failed.values())))
        for path, content in whole.items():
            path.write_bytes(content)
        assert not separated("open-unmix").failed

    damage("deleted", Path.unlink)
    damage("truncated", lambda path: os.truncate(path, 1000))
    damage("emptied", lambda path: path.write_bytes(b""))
    damage("replaced by a text", lambda path: path.write_text("weights"))
    from safetensors.torch import load, save

    for path, content in whole.items():
        path.write_bytes(save({name: 0.5 * tensor for name, tensor in load(content).items()}))
    other = separated("open-unmix")
    assert soundfile.read(other.results[0].stems["vocals"])[0].std() > 0
    cards = [update.results[0].card.read_text() for update in (good, other)]
    hashes = [next(line for line in card.splitlines() if "model_sha256" in line) for card in cards]
    assert hashes[0] != hashes[1]
    record_attack(
        "the model's files are replaced by others", "they are used, and the result is labelled with their hash"
    )


@pytest.mark.parametrize("error", ["torch", "python"])
@pytest.mark.usefixtures("own_folders")
def test_out_of_memory(error: str, record_attack: RecordAttack, monkeypatch: pytest.MonkeyPatch) -> None:
    def stream(self: Mix, mixture: object) -> Iterator[torch.Tensor]:
        if error == "python":
            raise MemoryError
        yield torch.empty(1 << 50)

    monkeypatch.setattr(Mix, "stream", stream)
    last = separated("mix", "ica")
    assert [result.method for result in last.results] == ["ica"]
    assert "too little memory" in next(iter(last.failed.values()))
    assert not (last.folder / "mix").exists()
    record_attack(f"no memory left ({error})", next(iter(last.failed.values())))


@pytest.mark.usefixtures("own_folders")
def test_unexpected_errors_do_not_reveal_details(record_attack: RecordAttack, monkeypatch: pytest.MonkeyPatch) -> None:
    def stream(self: Mix, mixture: object) -> Iterator[torch.Tensor]:
        raise AttributeError(f"/home/somebody/{os.environ['PATH']}")
        yield

    monkeypatch.setattr(Mix, "stream", stream)
    last = separated("mix", "ica")
    assert last.failed == {"mix": "Mixture ÷ 4: something went wrong on the server; the error has been logged"}
    assert [result.method for result in last.results] == ["ica"]
    record_attack("an error nobody thought of, with a path in it", next(iter(last.failed.values())))


def test_refusals_are_one_sentence(studio: Server, visitor: Visitor, record_attack: RecordAttack) -> None:
    said = refusal_message(visitor.ask("score", None, None), studio.folder)
    record_attack("a score of nothing", said)
