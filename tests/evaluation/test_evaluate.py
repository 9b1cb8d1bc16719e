"""Data sets are separated and scored whole: bad tracks, kills and clusters included."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner, Result

from separation.__main__ import app
from separation.audio.signal import Signal
from separation.datasets.dataset import find_tracks
from separation.datasets.musdb18 import Track
from separation.datasets.stem_folders import FolderTrack
from separation.evaluation.bss_eval import bss_eval
from separation.evaluation.evaluate import Job, TrackOutcome, evaluate_track, evaluate_tracks, plan_jobs
from separation.evaluation.museval_json import medians, read_result, read_results, scores_by_target, write_summary
from separation.evaluation.signals import ArraySignals
from separation.separators.base import Separator
from tests.unreadable_folder import deny_reading

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ("vocals", "drums", "bass", "other")
RATE = 44100
SECONDS = 2


#: A dask cluster takes 10 s to start; tests/pipeline/test_cluster.py kills workers of one in `make test`.
WORKERS = [
    pytest.param({"workers": 2}, id="joblib"),
    pytest.param({"cluster": "local:2"}, id="dask", marks=pytest.mark.slow),
]


@pytest.fixture
def short_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores with filters of 16 taps instead of 512 take no time; not for scores of other processes."""
    monkeypatch.setattr("separation.evaluation.projection.TAPS", 16)


def song(seed: int, seconds: float = SECONDS, channels: int = 1) -> dict[str, np.ndarray]:
    """Four different coloured noises, (time, channels) each. Scoring stereo costs four times as much as mono."""
    random = np.random.default_rng(seed)
    stems = {}
    for number, source in enumerate(SOURCES):
        noise = random.standard_normal((round(seconds * RATE), channels))
        smooth = np.cumsum(noise, 0) * 0.001 * number + 0.05 * noise
        stems[source] = (smooth - smooth.mean(0)).clip(-0.2, 0.2)
    return stems


def write_track(folder: Path, stems: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for name, wave in {**stems, "mixture": sum(stems.values())}.items():
        soundfile.write(folder / f"{name}.wav", wave, RATE, subtype="PCM_16")


@pytest.fixture(scope="module")
def hq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MUSDB18-HQ with five tracks of 2 s, the first in stereo."""
    root = tmp_path_factory.mktemp("hq")
    for number in range(5):
        write_track(root / "test" / f"Band {number} - Søng №{number}", song(number, channels=1 if number else 2))
    return root


def command(*arguments_for: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(word) for word in arguments_for])


def arguments_for(root: Path, out: Path, *more: object, method: str = "mix") -> list[object]:
    return ["evaluate", "--root", root, "--wav", "--subset", "test", "--method", method, "--out", out, "--json", *more]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.json"))}


@pytest.fixture(scope="module")
def serial_scores(hq: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scores of `mix`, done in one process: OUT."""
    out = tmp_path_factory.mktemp("one")
    done = command(*arguments_for(hq, out))
    assert done.exit_code == 0, done.stderr
    return out


# -- the document and the files ---------------------------------------------------------------------


def test_scores_equal_bss_eval(hq: Path, serial_scores: Path) -> None:
    for track in find_tracks(hq):
        mixture, references, rate = track.read()
        true = torch.from_numpy(np.stack([references[source] for source in SOURCES]))
        estimates = torch.from_numpy(mixture)[None].expand_as(true) / 4
        scores = bss_eval(ArraySignals(true), ArraySignals(estimates), window=rate, hop=rate)
        found = read_result(serial_scores / "mix" / "test" / f"{track.name}.json")
        for row, source in enumerate(SOURCES):
            for metric in ("SDR", "ISR", "SIR", "SAR"):
                expected = getattr(scores, metric)[row].numpy()
                np.testing.assert_allclose(found.frames[source][metric], expected, atol=6e-6, rtol=0)
        assert len(found.frames["vocals"]["SDR"]) == SECONDS


@pytest.mark.usefixtures("short_filters")
def test_the_json_document_has_the_documented_fields(hq: Path, tmp_path: Path) -> None:
    done = command(*arguments_for(hq, tmp_path, method="irm"))
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["method"] == "irm"
    assert document["model"] is None
    assert document["aggregation"] == "median over 1 s frames, then over tracks"
    assert document["failed"] == []
    assert [track["name"] for track in document["tracks"]] == [f"Band {n} - Søng №{n}" for n in range(5)]
    for track in document["tracks"]:
        assert Path(track["file"]).is_file()
        assert set(track["targets"]) == set(SOURCES)
    for target in SOURCES:
        for metric in ("SDR", "ISR", "SIR", "SAR"):
            per_track = [track["targets"][target][metric] for track in document["tracks"]]
            assert document["median"][target][metric] == pytest.approx(np.median(per_track))
    lines = (tmp_path / "irm" / "summary.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "method,model,subset,track,target,SDR,ISR,SIR,SAR,uSDR,SI-SDR"
    assert len(lines) == 1 + 5 * len(SOURCES)
    assert "5 of 5: " in done.stderr
    assert "0:00 left" in done.stderr


def test_museval_loads_the_score_files(serial_scores: Path) -> None:
    import museval

    path = next((serial_scores / "mix" / "test").glob("*.json"))
    track = museval.TrackStore(path.stem)
    track.scores = json.loads(path.read_text(encoding="utf-8"))
    track.validate()
    assert set(track.df.target) == set(SOURCES)
    store = museval.EvalStore()
    store.add_eval_dir(serial_scores / "mix")
    ours = medians(read_results(serial_scores / "mix" / "test"))
    theirs = store.agg_frames_tracks_scores()
    for target in SOURCES:
        for metric in ("SDR", "ISR", "SIR", "SAR"):
            assert ours[target][metric] == pytest.approx(theirs[target][metric], abs=1e-9)
    methods = museval.MethodStore()
    methods.add_eval_dir(serial_scores / "mix")
    assert set(methods.df.track) == {f"Band {n} - Søng №{n}" for n in range(5)}


def test_score_files_of_museval_are_loaded(tmp_path: Path) -> None:
    import museval

    store = museval.TrackStore("Song")
    values = np.array([1.0, np.nan, 3.5])
    store.add_target("vocals", {"SDR": values, "ISR": values, "SIR": values, "SAR": values})
    (tmp_path / "test").mkdir()
    store.save(tmp_path / "test" / "Song.json")
    (found,) = read_results(tmp_path)
    np.testing.assert_array_equal(found.frames["vocals"]["SDR"], values)
    assert (found.name, found.subset, found.medians["vocals"]["SDR"]) == ("Song", "test", 2.25)
    assert scores_by_target([found], "SIR") == {"vocals": {"Song": 2.25}}
    assert np.isnan(scores_by_target([found], "uSDR")["vocals"]["Song"])
    write_summary(tmp_path / "summary.csv", [found])
    assert (tmp_path / "summary.csv").read_text().splitlines()[1] == ",,test,Song,vocals,2.250,2.250,2.250,2.250,,"
    with pytest.raises(ValueError, match="unknown metric 'sdr'"):
        scores_by_target([found], "sdr")


def test_tracks_of_one_name_in_two_subsets_are_two(tmp_path: Path) -> None:
    for number, (subset, name) in enumerate((("train", "01"), ("valid", "01"), ("valid", "02"))):
        frame = {"time": 0.0, "duration": 1.0, "metrics": dict.fromkeys(("SDR", "SIR", "SAR", "ISR"), number)}
        (tmp_path / subset).mkdir(exist_ok=True)
        path = tmp_path / subset / f"{name}.json"
        path.write_text(json.dumps({"targets": [{"name": "vocals", "frames": [frame]}]}))
    results = read_results(tmp_path)
    assert scores_by_target(results, "SDR") == {"vocals": {"train/01": 0.0, "valid/01": 1.0, "02": 2.0}}
    assert medians(results)["vocals"]["SDR"] == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"targets": [{"name": "vocals"}]}',
        '{"targets": 3}',
        '{"targets": [], "stemscope": 3}',
        '{"targets": [{"name": "a", "frames": [], "uSDR": 1%s}]}' % ("0" * 400),
        pytest.param("[" * 100_000, id="nested"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "Song.json").write_text(text)
    with pytest.raises(ValueError, match=r"Song\.json is not a track's scores as museval writes them"):
        read_results(tmp_path)


def test_scores_in_a_folder_that_cannot_be_read_are_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test").mkdir()
    deny_reading(monkeypatch, tmp_path / "test")
    with pytest.raises(ValueError, match="cannot read the folder 'test': Permission denied"):
        read_results(tmp_path)


@pytest.mark.usefixtures("short_filters")
def test_components_are_matched_to_sources(tmp_path: Path) -> None:
    """Two sources in one channel each, two silent: ICA's components find the two they are."""
    random = np.random.default_rng(0)
    stems = {source: random.laplace(size=(2 * RATE, 2)) * 1e-4 for source in SOURCES}
    for source, gains in (("drums", (0.05, 0.02)), ("other", (0.01, 0.05))):
        stems[source] = random.laplace(size=(2 * RATE, 1)) * np.array([gains])
    write_track(tmp_path / "hq" / "test" / "Song", stems)
    todo, _ = plan_jobs(find_tracks(tmp_path / "hq"), tmp_path / "ica", method="ica")
    (outcome,) = evaluate_tracks(todo)
    assert outcome.error is None
    found = read_result(outcome.file)
    assert set(found.frames) == {"drums", "other"}
    assert all(found.medians[target]["SIR"] > 20 for target in found.frames)
    assert "no estimate is assigned to vocals" in found.provenance["notes"]


class OnlyVocals(Separator):
    """Half of the mixture."""

    name = "mix"
    sources = ("vocals",)

    def _stream(self, mixture: Signal) -> Iterator[torch.Tensor]:
        yield mixture.read(0, mixture.frames)[None] / 2


@pytest.mark.usefixtures("short_filters")
def test_one_target_is_scored_against_its_accompaniment(
    hq: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = find_tracks(hq)[:1]
    todo, _ = plan_jobs(track, tmp_path, method="mix")
    monkeypatch.setattr("separation.evaluation.evaluate.load", lambda *_, **__: OnlyVocals())
    (outcome,) = evaluate_tracks(todo)
    assert outcome.error is None
    found = read_result(outcome.file)
    mixture, references, rate = track[0].read()
    half = torch.from_numpy(mixture) / 2
    vocals = torch.from_numpy(references["vocals"])
    rest = torch.from_numpy(sum(references[source] for source in SOURCES[1:]))
    scores = bss_eval(ArraySignals(torch.stack([vocals, rest])), ArraySignals(torch.stack([half, half])), window=rate)
    assert set(found.frames) == {"vocals", "accompaniment"}
    np.testing.assert_allclose(found.frames["vocals"]["SIR"], scores.SIR[0], atol=1e-3)
    np.testing.assert_allclose(found.frames["accompaniment"]["SDR"], scores.SDR[1], atol=1e-3)


class VocalsAndRest(Separator):
    """Names its sources itself: with the accompaniment, or with parts of other."""

    name = "mix"

    def __init__(self, sources: tuple[str, ...]) -> None:
        super().__init__()
        self.sources = sources

    def _stream(self, mixture: Signal) -> Iterator[torch.Tensor]:
        x = mixture.read(0, mixture.frames)
        yield torch.stack([x * (number + 1) / 10 for number in range(len(self.sources))])


def score_with(hq: Path, folder: Path, separator: Separator, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Return the uSDR of each target of a track."""
    todo, _ = plan_jobs(find_tracks(hq)[:1], folder, method="mix")
    monkeypatch.setattr("separation.evaluation.evaluate.load", lambda *_, **__: separator)
    (outcome,) = evaluate_tracks(todo)
    assert outcome.error is None
    return {target: values["uSDR"] for target, values in read_result(outcome.file).whole.items()}


def usdr(reference: torch.Tensor, estimate: torch.Tensor) -> float:
    reference, estimate = reference.double(), estimate.double()
    return float(10 * torch.log10((reference.square().sum() + 1e-7) / ((reference - estimate).square().sum() + 1e-7)))


@pytest.mark.usefixtures("short_filters")
def test_a_methods_own_accompaniment_is_scored(hq: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, references, _ = find_tracks(hq)[0].read()
    found = score_with(hq, tmp_path, VocalsAndRest(("vocals", "accompaniment")), monkeypatch)
    rest = torch.from_numpy(sum(references[source] for source in SOURCES[1:]))
    assert set(found) == {"vocals", "accompaniment"}
    assert found["accompaniment"] == pytest.approx(usdr(rest, torch.from_numpy(mixture) * 0.2), abs=1e-3)


@pytest.mark.usefixtures("short_filters")
def test_piano_and_guitar_count_as_other(hq: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, references, _ = find_tracks(hq)[0].read()
    separator = VocalsAndRest(("vocals", "piano", "drums", "bass", "other", "guitar"))
    found = score_with(hq, tmp_path, separator, monkeypatch)
    assert set(found) == set(SOURCES)
    other = torch.from_numpy(references["other"])
    assert found["other"] == pytest.approx(usdr(other, torch.from_numpy(mixture) * 1.3), abs=1e-3)


# -- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_filters")
def test_a_bad_track_is_reported_and_the_others_are_scored(tmp_path: Path) -> None:
    for name in ("A", "B", "C"):
        write_track(tmp_path / "hq" / "test" / name, song(1, seconds=1))
    (tmp_path / "hq" / "test" / "B" / "bass.wav").write_bytes(b"no sound at all")
    done = command(*arguments_for(tmp_path / "hq", tmp_path / "out"))
    document = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [failure["name"] for failure in document["failed"]] == ["B"]
    assert "bass" in document["failed"][0]["error"]
    assert [track["name"] for track in document["tracks"]] == ["A", "C"]
    assert sorted(files(tmp_path / "out")) == ["A.json", "C.json"]
    write_track(tmp_path / "whole", song(1, seconds=1))
    (tmp_path / "whole" / "bass.wav").replace(tmp_path / "hq" / "test" / "B" / "bass.wav")
    again = command(*arguments_for(tmp_path / "hq", tmp_path / "out"))
    assert again.exit_code == 0
    assert "2 of 3 tracks were finished earlier" in again.stderr
    assert len(json.loads(again.stdout)["tracks"]) == 3


def test_exit_code_is_2_if_all_tracks_fail(tmp_path: Path) -> None:
    write_track(tmp_path / "hq" / "test" / "A", song(1, seconds=1))
    (tmp_path / "hq" / "test" / "A" / "bass.wav").write_bytes(b"")
    done = command(*arguments_for(tmp_path / "hq", tmp_path / "out"))
    assert done.exit_code == 2
    assert json.loads(done.stdout)["median"] == {}
    assert not files(tmp_path / "out")


@pytest.mark.usefixtures("short_filters")
def test_a_silent_source_is_noted(tmp_path: Path) -> None:
    stems = song(1, seconds=2)
    stems["bass"][:] = 0
    write_track(tmp_path / "hq" / "test" / "A", stems)
    done = command(*arguments_for(tmp_path / "hq", tmp_path / "out"))
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["median"]["vocals"]["SDR"] is None
    assert read_result(Path(document["tracks"][0]["file"])).provenance["notes"] == ["bass is silent throughout"]
    assert "note: A: bass is silent throughout" in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["--cluster", "local:x"], "a local cluster has 1 worker or more, such as local:2, got 'local:x'"),
        (["--model", "nope"], "mix has no models to choose from"),
        (["--option", "nope=1"], "unknown option 'nope'"),
        (["--split", "valid"], "split must be train or valid and requires subset train"),
    ],
)
def test_wrong_usage_is_reported_in_one_line(hq: Path, tmp_path: Path, more: list[str], said: str) -> None:
    done = command(*arguments_for(hq, tmp_path / "out", *more))
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("short_filters")
def test_scores_of_other_options_are_refused(hq: Path, tmp_path: Path) -> None:
    track = find_tracks(hq)[:1]
    todo, done = plan_jobs(track, tmp_path, method="ica")
    assert (len(todo), done) == (1, [])
    list(evaluate_tracks(todo))
    assert plan_jobs(track, tmp_path, method="ica") == ([], todo)
    with pytest.raises(ValueError, match=r"holds scores with options .* choose another --out"):
        plan_jobs(track, tmp_path, method="ica", options={"contrast": "cube"})


# -- several processes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(["--jobs", "2"], id="joblib"),
        pytest.param(["--cluster", "local:2"], id="dask", marks=pytest.mark.slow),  # starting a cluster takes 10 s
    ],
)
def test_two_workers_write_the_same_files(hq: Path, serial_scores: Path, tmp_path: Path, how: list[str]) -> None:
    done = command(*arguments_for(hq, tmp_path, *how))
    assert done.exit_code == 0, done.stderr
    assert files(tmp_path) == files(serial_scores)


class Slow:
    """A track that takes its time, and writes down who reads it."""

    def __init__(self, track: Track | FolderTrack, log: Path) -> None:
        self.track, self.log = track, log
        self.name, self.subset = track.name, track.subset

    def read(self) -> Any:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {self.name}\n")
        time.sleep(0.2)
        return self.track.read()


class DeadlyOnce(Slow):
    """A track whose first reader is killed in the middle of it."""

    def read(self) -> Any:
        sound = super().read()
        killed = self.log.with_suffix(".killed")
        if not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return sound


@pytest.mark.parametrize("how", WORKERS)
def test_tracks_of_a_killed_worker_are_retried(
    hq: Path, serial_scores: Path, tmp_path: Path, how: dict[str, Any]
) -> None:
    """No track lost, none scored twice but those that were being scored, the same numbers."""
    log = tmp_path / "log"
    tracks: Any = [Slow(track, log) for track in find_tracks(hq)]
    tracks[2] = DeadlyOnce(tracks[2].track, log)
    todo, _ = plan_jobs(tracks, tmp_path / "mix", method="mix")
    outcomes = list(evaluate_tracks(todo, **how))
    assert [outcome.error for outcome in outcomes] == [None] * 5
    assert sorted(outcome.name for outcome in outcomes) == sorted(track.name for track in tracks)
    assert files(tmp_path) == files(serial_scores)
    workers, begun = zip(*(line.split(" ", 1) for line in log.read_text(encoding="utf-8").splitlines()), strict=True)
    assert str(os.getpid()) not in workers
    assert 2 <= len(set(workers)) <= 3  # one took over for those that were killed
    assert begun.count(tracks[2].name) == 2
    assert 6 <= len(begun) <= 7  # those at work when it was killed are begun again, and no others


class Deadly(Slow):
    """A track that its worker dies of."""

    def read(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow  # several workers die; the test before it kills one
@pytest.mark.parametrize("how", WORKERS)
def test_a_track_that_kills_its_workers_fails_alone(hq: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    tracks: Any = find_tracks(hq)[:3]
    tracks[1] = Deadly(tracks[1], tmp_path / "log")
    todo, _ = plan_jobs(tracks, tmp_path / "mix", method="mix")
    outcomes = {outcome.name: outcome.error for outcome in evaluate_tracks(todo, **how)}
    assert outcomes.pop(tracks[1].name) == "the worker process died while processing this item (out of memory?)"
    assert list(outcomes.values()) == [None, None]


def test_a_killed_run_resumes(hq: Path, serial_scores: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "separation", *map(str, arguments_for(hq, tmp_path))],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as running:
        try:
            wait_for(lambda: running.poll() is not None or len(list(tmp_path.rglob("*.json"))) >= 2)
        finally:
            running.kill()
    assert running.returncode in (0, -signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    if len(before) == 5:
        pytest.skip("it was faster than the kill")
    done = command(*arguments_for(hq, tmp_path))
    assert done.exit_code == 0, done.stderr
    assert files(tmp_path) == files(serial_scores)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.01)


@pytest.mark.usefixtures("short_filters")
def test_partly_written_scores_are_ignored(hq: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo, _ = plan_jobs(find_tracks(hq)[:1], tmp_path, method="mix")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    (outcome,) = evaluate_tracks(todo)
    assert "No space left on device" in str(outcome.error)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# -- real clips ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_filters")
def test_a_musdb18_clip_is_scored(musdb_root: Path, tmp_path: Path) -> None:
    from separation.datasets.musdb18 import tracks

    todo, _ = plan_jobs(tracks(musdb_root, subset="test")[:1], tmp_path, method="mix")
    (outcome,) = evaluate_tracks(todo)
    assert outcome.error is None
    found = read_result(outcome.file)
    assert set(found.frames) == set(SOURCES)
    assert all(np.isfinite(value) for value in found.medians["vocals"].values())


def test_scores_written_by_another_process_are_kept(hq: Path, tmp_path: Path) -> None:
    todo, _ = plan_jobs(find_tracks(hq)[:1], tmp_path, method="mix")
    job: Job = todo[0]
    job.file.parent.mkdir()
    job.file.write_text("someone else's")
    assert evaluate_track(job) == TrackOutcome(name=job.track.name, file=job.file)
    assert job.file.read_text() == "someone else's"
