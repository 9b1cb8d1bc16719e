"""Songs on a dask cluster: the results of one machine, through killed workers, second clients and interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from separation.audio.signal import Signal
from separation.pipeline.batch import Job, JobOptions, JobResult, find_jobs
from separation.pipeline.many import separate_on_worker, separate_songs
from separation.pipeline.storage import Content, Url
from separation.separators.mixture import Mix
from separation.workers.cluster import map_on_cluster, submit
from tests.cli.helpers import SOURCES, error_line, separation, write_song

if TYPE_CHECKING:
    from dask.distributed import Client

MIX = JobOptions(method="mix", command="python -m separation")


@pytest.fixture
def client(dask_cluster: Any) -> Iterator[Client]:
    from dask.distributed import Client

    with Client(dask_cluster) as client:
        yield client


def album(folder: Path, *names: str, frames: int = 22050) -> Path:
    for number, name in enumerate(names):
        write_song(folder / name, seed=number, frames=frames)
    return folder


def files(folder: Path) -> dict[str, Any]:
    """The stems in a folder, and the documents without times and commands."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "result.json":
            card = json.loads(path.read_text("utf-8"))
            found[str(path.relative_to(folder))] = {
                name: value for name, value in card.items() if name not in ("seconds", "real_time_factor", "command")
            }
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.02)


# -- the same as on one machine ------------------------------------------------------------------------


def test_a_cluster_gives_the_files_and_the_document_of_one_machine(
    dask_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the workers run elsewhere: relative paths are the client's
    album(Path("music"), "a.wav", "disc/b.wav", "c.wav")
    Path("music/bad.wav").write_text("no sound")
    here = separation("separate", "music", "-m", "open-unmix", "--out", "out", "--json")
    one = files(Path("out"))
    Path("out").rename("before")
    there = separation(
        "separate", "music", "-m", "open-unmix", "--out", "out", "--json", "--cluster", dask_cluster.scheduler_address
    )
    assert here.code == there.code == 1
    assert files(Path("out")) == one
    assert len(one) == 3 * 5
    assert not list(Path("out").rglob(".*"))
    documents = [here.document, there.document]
    for document in documents:
        for result in document["results"]:
            del result["seconds"], result["real_time_factor"]
        del document["throughput"]["seconds"], document["throughput"]["hours_per_hour"]
    assert documents[0] == documents[1]
    assert "error: cannot read 'bad.wav'" in there.stderr


@pytest.mark.filterwarnings("default::RuntimeWarning")
@pytest.mark.parametrize(
    # Starting processes takes 10 s; tests/workers/test_warned.py covers their warnings in `make test`.
    "how",
    ["cluster", pytest.param("jobs", marks=pytest.mark.slow)],
)
def test_warnings_of_workers_are_printed_as_in_one_process(how: str, dask_cluster: Any, tmp_path: Path) -> None:
    for name in ("first.wav", "second.wav"):
        write_song(tmp_path / name, channels=3)
    parallel = ["--cluster", dask_cluster.scheduler_address] if how == "cluster" else ["--jobs", "2"]
    outcome = separation(
        "separate", tmp_path / "first.wav", tmp_path / "second.wav", "-m", "ica", "--option", "max_iterations=1",
        "--out", tmp_path / "out", *parallel,
    )  # fmt: skip
    assert outcome.code == 0
    lines = outcome.stderr.splitlines()
    assert len([line for line in lines if line.startswith("warning: ICA did not converge within 1 iterations")]) == 2
    assert not [line for line in lines if "Warning" in line or "distributed" in line]


def test_results_in_an_object_store(dask_cluster: Any, bucket: Url, tmp_path: Path) -> None:
    for path in sorted(album(tmp_path / "music", "a.wav", "b.wav").iterdir()):
        (bucket / "music" / path.name).upload(path)
    arguments = ["separate", f"{bucket}/music", "-m", "mix", "--out", f"{bucket}/stems", "--json"]
    first = separation(*arguments, "--cluster", dask_cluster.scheduler_address)
    assert first.code == 0
    assert [result["card"] for result in first.document["results"]] == [
        f"{bucket}/stems/{name}/mix/result.json" for name in "ab"
    ]
    assert (bucket / "stems" / "a" / "mix").names() == {"result.json", *(f"{source}.wav" for source in SOURCES)}
    assert len((bucket / "stems").files()) == 10
    again = separation(*arguments)
    assert [result["skipped"] for result in again.document["results"]] == [True, True]


# -- one song, for programs --------------------------------------------------------------------------------


def test_a_program_sends_a_song_and_hears_of_its_progress(client: Client, tmp_path: Path) -> None:
    write_song(tmp_path / "a.wav", frames=44100 * 20)
    heard: list[dict[str, Any]] = []
    client.subscribe_topic("song-1", lambda event: heard.append(event[1]))
    job = Job(file=Content("a.wav", (tmp_path / "a.wav").read_bytes()), folder=tmp_path / "out" / "hpss", options=MIX)
    result: JobResult = submit(client, separate_on_worker, job, "song-1").result().unpack()
    assert result.error is None and result.document is not None
    assert result.job.file == Path("a.wav")  # its content is not sent back
    assert result.document["input"] == "a.wav"
    assert (tmp_path / "out" / "hpss" / "vocals.wav").is_file()
    wait_for(lambda: heard and heard[-1]["stage"] == "done")
    assert (heard[0]["stage"], heard[0]["segment"], heard[0]["seconds_left"]) == ("separating", 0, None)


# -- faults: a separator that obeys the name of its song ------------------------------------------------------


def obey(job: Job, topic: str | None = None) -> JobResult:
    """Separate on a worker; the name of a song says how.

    One called slow takes 4 s, one called brief 1 s, one called endless never ends, one called once ends the second time
    only, and one called deadly kills.
    """
    if job.file.name == "deadly.wav":
        with ((job.options.command and Path(job.options.command)) or Path(os.devnull)).open("a") as log:
            log.write("died\n")
        os.kill(os.getpid(), signal.SIGKILL)
    is_first = False
    if job.file.name == "once.wav":
        begun = Path(str(job.file) + ".begun")
        is_first = not begun.exists()
        begun.touch()
    original = Mix._stream

    def slow(self: Mix, mixture: Signal) -> Iterator[Tensor]:
        yield mixture.read(0, mixture.frames).expand(4, -1, -1) / 4
        steps = 10**9 if is_first else {"slow.wav": 80, "brief.wav": 20, "endless.wav": 10**9}.get(job.file.name, 0)
        for _ in range(steps):
            time.sleep(0.05)
            yield torch.zeros(4, 2, 0)

    Mix._stream = slow  # type: ignore[method-assign]
    try:
        return separate_on_worker(job, topic)
    finally:
        Mix._stream = original  # type: ignore[method-assign]


def lost(job: Job) -> JobResult:
    return JobResult(job=job, error="lost")


@pytest.mark.slow  # starts seven workers; the next test kills one
def test_a_song_that_kills_its_worker_three_times_fails_alone(client: Client, tmp_path: Path) -> None:
    album(tmp_path / "music", "a.wav", "b.wav", "c.wav", "d.wav", "deadly.wav", "e.wav", "slow.wav")
    options = replace(MIX, command=str(tmp_path / "log"))
    jobs = find_jobs([tmp_path / "music"], tmp_path / "out", options)
    results = {result.job.file.name: result for result in map_on_cluster(client, obey, jobs, lost=lost)}
    assert len(results) == 7
    assert results.pop("deadly.wav").error == "lost"
    assert [result.error for result in results.values()] == [None] * 6
    assert (tmp_path / "log").read_text().count("died") == 3
    assert not list((tmp_path / "out").rglob(".*"))


def test_the_song_of_a_killed_worker_goes_to_another(client: Client, tmp_path: Path) -> None:
    album(tmp_path / "music", "a.wav", "b.wav", "once.wav")
    jobs = find_jobs([tmp_path / "music" / "once.wav", tmp_path / "music" / "a.wav"], tmp_path / "out", MIX)
    results = map_on_cluster(client, obey, jobs, lost=lost)
    assert next(results).job.file.name == "a.wav"
    wait_for(lambda: list((tmp_path / "out" / "once").glob(".mix-????????")))
    (draft,) = (tmp_path / "out" / "once").glob(".mix-????????")
    (worker,) = (process for process in client.run(_busy).values() if process is not None)
    os.kill(worker, signal.SIGKILL)
    (last,) = results
    assert last.error is None and last.job.file.name == "once.wav"
    assert sorted(path.name for path in (tmp_path / "out" / "once").iterdir()) == ["mix"]
    assert not draft.exists()


def _busy(dask_worker: Any) -> int | None:
    return os.getpid() if dask_worker.state.executing else None


def test_two_clients_separate_each_song_once(dask_cluster: Any, tmp_path: Path) -> None:
    music = album(tmp_path / "music", *(f"{number}.wav" for number in range(4)), frames=44100 * 4)
    command = [sys.executable, "-m", "separation", "separate", str(music), "-m", "hpss", "--json"]
    command += ["--out", str(tmp_path / "out"), "--cluster", dask_cluster.scheduler_address]
    with ExitStack() as running:
        clients = []
        for _ in range(2):
            client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            clients.append(running.enter_context(client))
            running.callback(client.kill)  # if the other one fails
        outputs = [client.communicate(timeout=120) for client in clients]
    assert [client.returncode for client in clients] == [0, 0], [said.decode() for _, said in outputs]
    documents = [json.loads(printed) for printed, _ in outputs]
    for results in zip(*(document["results"] for document in documents), strict=True):
        card = json.loads(Path(results[0]["card"]).read_text("utf-8"))
        assert [result["seconds"] for result in results] == [card["seconds"]] * 2  # both report the same separation


def test_a_second_cluster_waits_for_the_song_of_the_first(client: Client, tmp_path: Path) -> None:
    """The clients give the songs different names, as two schedulers would."""
    album(tmp_path, "brief.wav")
    (job,) = find_jobs([tmp_path / "brief.wav"], tmp_path / "out", MIX)
    answers = [submit(client, obey, job), submit(client, obey, job)]
    results = [answer.result().unpack() for answer in answers]
    assert sorted(result.skipped for result in results) == [False, True]


def test_cancelled_songs_stop_and_leave_nothing(client: Client, tmp_path: Path) -> None:
    album(tmp_path / "music", "a.wav", "endless.wav")
    jobs = find_jobs([tmp_path / "music" / "endless.wav", tmp_path / "music" / "a.wav"], tmp_path / "out", MIX)
    results = map_on_cluster(client, obey, jobs, lost=lost)
    next(results)
    wait_for(lambda: (tmp_path / "out" / "endless").exists())
    results.close()  # type: ignore[attr-defined]
    wait_for(lambda: not (tmp_path / "out" / "endless").exists())
    assert (tmp_path / "out" / "a" / "mix" / "result.json").is_file()


# -- the command line --------------------------------------------------------------------------------------


@pytest.mark.slow  # starting a cluster takes 10 s; the test of cancelled songs is the fast one
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_no_partial_result(stop: signal.Signals, tmp_path: Path) -> None:
    album(tmp_path / "music", "a.wav", "b.wav", frames=44100 * 240)
    command = [sys.executable, "-m", "separation", "separate", str(tmp_path / "music"), "-m", "open-unmix"]
    command += ["--out", str(tmp_path / "out"), "--cluster", "local:2"]
    if stop == signal.SIGINT:
        command = ["env", "--default-signal=INT", *command]  # a shell's jobs in the background ignore it
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(lambda: len(list((tmp_path / "out").rglob("*.draft"))) >= 8)
        if stop == signal.SIGINT:
            os.killpg(process.pid, stop)  # as a terminal does: the workers get it too
        else:
            process.send_signal(stop)
        _, said = process.communicate(timeout=120)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[stop], said
    assert "Traceback" not in said
    assert not list((tmp_path / "out").rglob("*.*"))


@pytest.mark.parametrize(
    # A port that refuses is tried for 10 s.
    "address",
    ["nowhere", pytest.param("tcp://127.0.0.1:9", marks=pytest.mark.slow)],
)
def test_a_cluster_that_cannot_be_reached_is_refused(address: str, tmp_path: Path) -> None:
    write_song(tmp_path / "a.wav")
    outcome = separation("separate", tmp_path / "a.wav", "-m", "mix", "--out", tmp_path / "out", "--cluster", address)
    assert f"no cluster at '{address}': give a scheduler's tcp://HOST:PORT, or local:N" in error_line(outcome)


def test_no_songs_need_no_cluster() -> None:
    assert list(separate_songs([], cluster="tcp://127.0.0.1:9")) == []
