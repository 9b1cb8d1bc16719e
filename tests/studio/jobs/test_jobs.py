"""Jobs without a page: they end whoever watches, can be stopped, and go on after their process has died."""

from __future__ import annotations

import json
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from separation.separators.hpss import HarmonicPercussive
from separation.studio.inputs import songs
from separation.studio.jobs import runner, store
from separation.studio.jobs.pace import Clock, Paces
from separation.studio.jobs.queue import FairQueue
from separation.studio.jobs.store import JobState
from separation.studio.results import storage
from tests.forked import begin, forked
from tests.studio.job_helpers import UPLOAD, order, state_of, wait_until

pytestmark = pytest.mark.usefixtures("own_results")


def test_a_job_ends_without_anybody_watching() -> None:
    token = runner.submit(order("mix", "ica"), "visitor")
    state = runner.wait(token)
    assert state is not None
    assert (state.state, state.share, state.finished, state.total) == ("done", 1.0, 2, 2)
    folder = storage.RESULTS / token
    assert all((folder / path).is_file() for result in state.results for path in result["stems"].values())
    assert not (folder / "input").exists(), "the upload is not kept longer than needed"
    assert [found for found, _ in store.jobs_of("visitor")] == [token]


def test_the_upload_may_expire_while_the_job_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = FairQueue()
    monkeypatch.setattr(runner, "QUEUE", turns)
    upload = tmp_path / "song.flac"
    upload.write_bytes(UPLOAD.read_bytes())
    with turns.queue():
        token = runner.submit(order("mix", choice=str(upload)), "visitor")
        upload.unlink()
    state = runner.wait(token)
    assert state is not None
    assert state.state == "done"
    assert state.results[0]["input"] == "song.flac"


def test_jobs_wait_in_turn_and_know_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = FairQueue()
    monkeypatch.setattr(runner, "QUEUE", turns)
    with turns.queue() as other:
        other.seconds = 10.0
        tokens = [runner.submit(order("mix"), visitor) for visitor in ("a", "a", "b")]
        wait_until(lambda: state_of(tokens[1]).place == 3)
        assert [state_of(token).place for token in tokens] == [1, 3, 2]
        wait_until(lambda: state_of(tokens[0]).seconds_left == 10.0)
        runner.stop(tokens[1])
        wait_until(lambda: state_of(tokens[1]).state == "stopped")
    ended = [runner.wait(token) for token in tokens]
    assert [state.state for state in ended if state] == ["done", "stopped", "done"]
    assert turns.count("a") == 0


def test_a_refused_job_leaves_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = FairQueue(most_of_one=0)
    monkeypatch.setattr(runner, "QUEUE", turns)
    with pytest.raises(ValueError, match="in the queue already"):
        runner.submit(order("mix"), "visitor")
    monkeypatch.setattr(runner, "QUEUE", FairQueue())
    with pytest.raises(OSError, match="No such file"):
        runner.submit(order("mix", choice="/no/such/file"), "visitor")
    assert not list(storage.RESULTS.glob("*"))


def test_a_waiting_job_is_given_up_if_no_page_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = FairQueue()
    monkeypatch.setattr(runner, "QUEUE", turns)
    with turns.queue():
        page, program = runner.submit(order("mix"), "a"), runner.submit(order("mix"), "b", watched=False)
        for token in (page, program):
            store.watch(storage.RESULTS / token)
            past = time.time() - runner.UNWATCHED_SECONDS - 1
            os.utime(storage.RESULTS / token / "watched", (past, past))
        wait_until(lambda: state_of(page).state == "interrupted")
    ended = runner.wait(program)
    assert ended is not None
    assert ended.state == "done", "programs may ask when they like"
    runner.go_on(page, "a")
    ended = runner.wait(page)
    assert ended is not None
    assert ended.state == "done"


def test_a_song_that_cannot_be_opened_fails_with_its_reason(tmp_path: Path) -> None:
    text = tmp_path / "song.flac"
    text.write_text("no song")
    state = runner.wait(runner.submit(order("mix", choice=str(text)), "visitor"))
    assert state is not None
    assert state.state == "failed"
    assert "cannot read 'song.flac'" in str(state.error)


def die_at_work(*folders: Path) -> None:
    """Work on each job in a process that dies at harmonic-percussive separation."""

    def stream(self: HarmonicPercussive, mixture: Any) -> Any:
        os._exit(9)

    def work(folder: Path) -> None:
        HarmonicPercussive.stream = stream  # type: ignore[assignment, method-assign]
        runner.run_job(folder)

    for folder in folders:
        code, said = forked(partial(work, folder))
        assert code == 9, said


def waiting_job(*methods: str, seconds: float = 1.0) -> Path:
    """The folder of a job that no process works on."""
    folder = storage.new_folder()
    store.save_order(folder, order(*methods, seconds=seconds))
    store.write_state(folder, JobState(name="mixture.flac", total=len(methods)))
    return folder


def test_jobs_of_a_dead_process_are_interrupted_and_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOST_SECONDS", 600.0)  # a busy machine needs some to start a process
    folder, empty = waiting_job("mix", "hpss", "ica"), waiting_job("hpss", "mix")
    die_at_work(folder, empty)
    for place in (folder, empty):
        assert (place / "player.json").exists()
        assert state_of(place.name).state == "working", "its process may still be alive"
        past = time.time() - store.LOST_SECONDS - 1
        os.utime(place / "job.json", (past, past))
        assert state_of(place.name).state == "interrupted"
    document = storage.read_player(folder)
    assert [group["id"] for group in document["groups"]] == ["song", "mix"]
    assert not document["working"]
    assert not (empty / "player.json").exists(), "nothing is finished, nothing can be played"
    before = (folder / "mix" / "result.json").stat().st_mtime_ns
    for place, count in ((folder, 3), (empty, 2)):
        runner.go_on(place.name, "visitor")
        state = runner.wait(place.name)
        assert state is not None
        assert (state.state, state.finished, state.run) == ("done", count, 2)
    assert (folder / "mix" / "result.json").stat().st_mtime_ns == before, "it was not separated again"
    groups = {group["id"]: group for group in storage.read_player(folder)["groups"]}
    assert list(groups) == ["song", "mix", "hpss", "ica"]
    for group in groups.values():
        for track in group["tracks"]:
            assert (folder / track["opus"]).stat().st_size == track["offsets"][-1] > 0


@pytest.mark.slow  # scores; the test above goes on without them
def test_go_on_scores_what_is_not_scored_yet() -> None:
    folder = storage.new_folder()
    sample = {"kind": "sample", "choice": next(iter(songs.samples()))}
    store.save_order(folder, order("mix", "hpss", **sample))
    store.write_state(folder, JobState(name="sample", total=2))
    die_at_work(folder)
    store.release(folder)
    runner.go_on(folder.name, "visitor")
    runner.wait(folder.name)
    groups = {group["id"]: group for group in storage.read_player(folder)["groups"]}
    assert list(groups) == ["song", "references", "mix", "hpss"]
    assert groups["mix"]["scores"]["targets"].keys() == groups["hpss"]["scores"]["targets"].keys()


def test_a_job_goes_on_only_once_and_only_if_it_is_interrupted() -> None:
    folder = waiting_job("mix")
    store.release(folder)
    pressing = [threading.Thread(target=runner.go_on, args=(folder.name, "visitor")) for _ in range(3)]
    for thread in pressing:
        thread.start()
    for thread in pressing:
        thread.join()
    state = runner.wait(folder.name)
    assert state is not None
    assert (state.state, state.run) == ("done", 2)
    runner.go_on(folder.name, "visitor")
    assert state_of(folder.name).run == 2
    with pytest.raises(ValueError, match="no longer exists"):
        runner.go_on("a" * 22, "visitor")


def test_two_processes_that_are_asked_to_go_on_start_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = waiting_job("mix")
    store.release(folder)
    load_order = store.load_order

    def slow(folder: Path) -> Any:
        time.sleep(0.5)  # in which the other process looks too
        return load_order(folder)

    def go_on() -> None:
        monkeypatch.setattr(store, "load_order", slow)
        runner.go_on(folder.name, "visitor")
        print("runs" if folder.name in runner._threads else "leaves it")
        runner.wait(folder.name)

    said = [wait() for wait in [begin(go_on) for _ in range(2)]]
    assert sorted(text for _, text in said) == ["leaves it\n", "runs\n"]
    assert (state_of(folder.name).state, state_of(folder.name).run) == ("done", 2)


def test_a_long_wait_does_not_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = FairQueue()
    monkeypatch.setattr(runner, "QUEUE", turns)
    monkeypatch.setattr(store, "BEAT_SECONDS", 0.05)
    with turns.queue():
        token = runner.submit(order("mix"), "visitor")
        folder = storage.RESULTS / token
        past = time.time() - storage.KEEP_SECONDS - 60
        os.utime(folder, (past, past))
        wait_until(lambda: folder.stat().st_mtime > past + 60)
    runner.wait(token)


def test_a_job_that_works_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BEAT_SECONDS", 0.01)
    folder, seen = waiting_job("hpss"), []
    separate = HarmonicPercussive.stream

    def slow(self: HarmonicPercussive, mixture: Any) -> Any:
        store.release(folder)
        wait_until(lambda: (folder / "job.json").stat().st_mtime > 0)
        seen.append(state_of(folder.name).state)
        return separate(self, mixture)

    monkeypatch.setattr(HarmonicPercussive, "stream", slow)
    runner.run_job(folder)
    assert seen == ["working"]


def test_a_link_to_one_result_does_not_tell_the_others() -> None:
    token = runner.submit(order("mix"), "secret name")
    runner.wait(token)
    told = "".join(path.read_text() for path in (storage.RESULTS / token).glob("*.json"))
    (index,) = storage.RESULTS.glob("*.jobs")
    assert "secret name" not in told
    assert index.stem not in told
    assert "secret name" not in index.name


def test_results_outlive_a_restart_until_their_hour_is_over() -> None:
    kept, old = waiting_job("mix"), waiting_job("mix")
    past = time.time() - storage.KEEP_SECONDS - 60
    os.utime(old, (past, past))
    assert storage.seconds_left(kept) == pytest.approx(storage.KEEP_SECONDS, abs=5)
    assert storage.seconds_left(old) == 0
    storage.prepare_folders()
    assert kept.is_dir()
    assert not old.exists()


def test_a_damaged_state_is_no_job() -> None:
    folder = storage.new_folder()
    (folder / "job.json").write_text('{"state": ')
    assert runner.find(folder.name) is None
    assert runner.find(None) is None
    assert runner.find("../..") is None


def test_paces_are_learned_from_finished_jobs() -> None:
    paces = Paces()
    assert paces.expected(["mix"], 10) is None
    paces.learn({"mix": 0.5, "scoring": 1.0})
    paces.learn({"mix": 1.0})
    assert paces.expected(["mix", "scoring"], 10) == 17.5
    assert paces.expected(["mix"], None) is None


def test_the_time_left_counts_what_this_run_has_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock(10.0)
    assert clock.seconds_left(0.5) is None  # by an earlier run
    now[0] = 5.0
    assert clock.seconds_left(0.75) == 5.0
    assert clock.pace() == 0.5


def test_state_files_are_plain_json() -> None:
    token = runner.submit(order("mix"), "visitor")
    runner.wait(token)
    document = json.loads((storage.RESULTS / token / "job.json").read_text())
    assert document["results"][0]["stems"]["vocals"] == "mix/vocals.wav"
