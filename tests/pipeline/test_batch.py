"""Many songs: which ones, where to, not twice, and none lost to another's trouble."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from separation.pipeline import batch
from separation.pipeline.batch import Job, JobOptions, find_jobs, separate_song
from separation.pipeline.many import separate_songs
from separation.separators import create, loaded
from separation.separators.base import Separator
from tests.cli.helpers import separation, write_song
from tests.separators.helpers import write_tiny
from tests.unreadable_folder import deny_reading

HPSS = JobOptions(method="hpss", command="python -m separation")


def album(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        write_song(folder / name, seed=number)
    return folder


def folder_of(job: Job) -> Path:
    assert isinstance(job.folder, Path)
    return job.folder


def state(folder: Path) -> dict[str, int]:
    """When each file below was written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()
    }


# -- which songs -----------------------------------------------------------------------------------


def test_folders_are_searched_in_the_given_order(tmp_path: Path) -> None:
    music = album(tmp_path / "music", "a.wav", "disc 1/a.wav", "disc 1/deep/b.FLAC", "single.ogg")
    for name in ("cover.jpg", "._a.wav", "disc 1/._a.wav", ".trash.wav"):
        (music / name).write_bytes(b"...")
    album(music / "__MACOSX", "a.wav")
    found = find_jobs([music, tmp_path / "elsewhere.mp3"], tmp_path / "out", HPSS)
    assert [str(folder_of(song).relative_to(tmp_path / "out")) for song in found] == [
        "a/hpss",
        "disc 1/a/hpss",
        "disc 1/deep/b/hpss",
        "single/hpss",
        "elsewhere/hpss",
    ]


def test_two_songs_never_share_a_folder(tmp_path: Path) -> None:
    music = album(tmp_path / "music", "a.wav", "a.flac")
    with pytest.raises(ValueError, match="several files are called 'a'"):
        find_jobs([music], tmp_path, HPSS)
    with pytest.raises(ValueError, match="several files are called 'a'"):
        find_jobs([music / "a.wav", music / "a.wav"], tmp_path, HPSS)


def test_names_that_differ_in_case_share_a_folder_on_most_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "one" / "Song.wav", tmp_path / "two" / "song.flac"]
    monkeypatch.setattr(sys, "platform", "linux")
    assert len(find_jobs(files, tmp_path, HPSS)) == 2
    for platform in ("darwin", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(ValueError, match="several files are called 'song'"):
            find_jobs(files, tmp_path, HPSS)


def test_a_folder_without_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="contains no audio file"):
        find_jobs([tmp_path], tmp_path, HPSS)


def test_subfolders_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album(tmp_path, "a.wav", "no list/b.wav", "no entry/c.wav")
    deny_reading(monkeypatch, tmp_path / "no list")
    is_file = Path.is_file

    def enter(path: Path) -> bool:
        if path.parent == tmp_path / "no entry":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", enter)
    with pytest.warns(UserWarning, match="was skipped") as told:
        (song,) = find_jobs([tmp_path], tmp_path / "out", HPSS)
    assert song.file == tmp_path / "a.wav"
    assert sorted(str(warning.message) for warning in told) == [
        "no entry/c.wav was skipped: Permission denied",
        "no list was skipped: Permission denied",
    ]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deny_reading(monkeypatch, album(tmp_path / "music", "a.wav"))
    with pytest.raises(PermissionError):
        find_jobs([tmp_path / "music"], tmp_path / "out", HPSS)


def test_stems_of_earlier_results_are_not_songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in ``cd music; stemscope separate .`` twice. A result's own folder, and a file, are separated if asked for."""
    monkeypatch.chdir(album(tmp_path, "a.wav"))
    options = JobOptions(method="mix")
    (song,) = find_jobs([Path()], Path("separated"), options)
    assert separate_song(song).error is None
    write_song(tmp_path / "separated" / "a" / "mix" / "mine.wav")
    songs = find_jobs([Path()], Path("separated"), options)
    assert [str(song.file) for song in songs] == ["a.wav", "separated/a/mix/mine.wav"]
    assert len(find_jobs([Path("separated/a/mix")], Path("deeper"), options)) == 5
    assert len(find_jobs([Path("separated/a/mix/bass.wav")], Path("deeper"), options)) == 1


def test_too_little_memory_for_a_song_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album(tmp_path, "a.wav", "b.wav")
    separate = batch.separate_to_folder

    def fail_once(recording: Any, *arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(batch, "separate_to_folder", separate)
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(batch, "separate_to_folder", fail_once)
    first, second = separate_songs(find_jobs([tmp_path], tmp_path / "out", JobOptions(method="mix")))
    assert first.error == "a.wav: RuntimeError: DefaultCPUAllocator: can't allocate memory"
    assert second.error is None and second.document is not None


# -- not twice -------------------------------------------------------------------------------------


def test_finished_songs_are_skipped(tmp_path: Path) -> None:
    album(tmp_path / "music", "a.wav", "b.wav")
    first = separation("separate", tmp_path / "music", "-m", "hpss", "--out", tmp_path / "out", "--json")
    before = state(tmp_path / "out")
    again = separation("separate", tmp_path / "music", "-m", "hpss", "--out", tmp_path / "out", "--json")
    assert state(tmp_path / "out") == before
    assert [result["skipped"] for result in first.document["results"]] == [False, False]
    assert [result["skipped"] for result in again.document["results"]] == [True, True]
    for old, new in zip(first.document["results"], again.document["results"], strict=True):
        assert old | {"skipped": True} == new
    assert first.document["throughput"]["hours_per_hour"] > 0
    assert again.document["throughput"]["hours_per_hour"] is None


@pytest.mark.parametrize(
    "change",
    [
        ["--format", "flac"],
        ["--stems", "vocals"],
        ["--option", "kernel=17"],
        ["--start", "0.1"],
        ["--duration", "0.3"],
        ["--float32"],
        ["--sum-to-mixture"],
    ],
)
def test_songs_are_separated_again_with_other_options(change: list[str], tmp_path: Path) -> None:
    write_song(tmp_path / "a.wav")
    wish = ["separate", str(tmp_path / "a.wav"), "-m", "hpss", "--out", str(tmp_path / "out"), "--json"]
    separation(*wish)
    assert separation(*wish, *change).document["results"][0]["skipped"] is False
    assert separation(*wish, *change).document["results"][0]["skipped"] is True


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of the separators that are created."""
    created: list[str] = []

    def counted(method: str, **more: Any) -> Separator:
        created.append(method)
        return create(method, **more)

    loaded._load.cache_clear()
    monkeypatch.setattr(loaded, "create", counted)
    return created


def test_a_model_is_loaded_once_for_several_commands(tmp_path: Path, loads: list[str]) -> None:
    write_song(tmp_path / "a.wav")
    base = JobOptions(method="demucs", model=str(write_tiny(tmp_path / "tiny", "demucs")), device="cpu")
    for options in (
        replace(base, command="first"),
        replace(base, command="second", start=0.1, format="flac"),
        replace(base, command="third", two_stems="vocals"),
        replace(base, command="fourth", stems=("drums",)),
    ):
        (job,) = find_jobs([tmp_path / "a.wav"], tmp_path / options.command, options)
        assert separate_song(job).error is None
    assert loads == ["demucs"]


def test_two_clients_with_different_methods_load_their_models_once(tmp_path: Path, loads: list[str]) -> None:
    for command in ("first", "second"):
        for method in ("demucs", "open-unmix"):
            model = str(tmp_path / method)
            if not Path(model).is_dir():
                write_tiny(Path(model), method)
            batch.check_options(JobOptions(method=method, model=model, command=command))
    assert loads == ["demucs", "open-unmix"]


def test_what_the_model_depends_on_loads_it_again(tmp_path: Path, loads: list[str]) -> None:
    base = JobOptions(method="demucs", model=str(write_tiny(tmp_path / "tiny", "demucs")))
    for options in (base, replace(base, precision="bf16"), replace(base, options=(("shifts", "1"),))):
        batch.check_options(options)
    assert len(loads) == 3
    write_tiny(tmp_path / "tiny", "demucs")  # the weights are replaced
    batch.check_options(base)
    assert len(loads) == 4
    preset = tmp_path / "mine.toml"
    for seed in (1, 2):
        preset.write_text(f'first_installed = ["mix"]\ntitle = "Version {seed}"\n')
        batch.check_options(JobOptions(method=str(preset)))
    assert len(loads) == 6


def _change_song(folder: Path) -> None:
    write_song(folder / "a.wav", seed=5)


def _lose_a_stem(folder: Path) -> None:
    (folder / "out/a/hpss/bass.wav").unlink()


def _another_model(folder: Path) -> None:
    card = folder / "out/a/hpss/result.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"model_sha256": "another"}))


@pytest.mark.parametrize("change", [_change_song, _lose_a_stem, _another_model])
def test_changed_songs_are_separated_again(change: Any, tmp_path: Path) -> None:
    write_song(tmp_path / "a.wav")
    (song,) = find_jobs([tmp_path / "a.wav"], tmp_path / "out", HPSS)
    assert not separate_song(song).skipped
    change(tmp_path)
    assert not separate_song(song).skipped
    assert separate_song(song).skipped


@pytest.mark.parametrize(
    "card", ["[1, 2", pytest.param("[" * 100_000, id="nested"), '["a list"]', '{"stems": 1}', None]
)
def test_files_not_listed_in_a_readable_result_json_are_never_replaced(card: str | None, tmp_path: Path) -> None:
    write_song(tmp_path / "a.wav")
    (song,) = find_jobs([tmp_path / "a.wav"], tmp_path / "out", HPSS)
    assert separate_song(song).error is None
    if card is None:
        (folder_of(song) / "result.json").unlink()
    else:
        (folder_of(song) / "result.json").write_text(card)
    before = state(folder_of(song))
    error = separate_song(song).error
    assert error is not None and "is not listed in a result.json" in error
    assert str(folder_of(song)) in error
    assert state(folder_of(song)) == before


# -- side by side ----------------------------------------------------------------------------------


def test_parallel_jobs_give_the_same_results(tmp_path: Path) -> None:
    music = album(tmp_path / "music", "a.wav", "b.wav", "c.wav")
    (music / "broken.wav").write_text("no sound")
    one, two = (
        separation("separate", music, "-m", "hpss", "--out", tmp_path / out, "--json", "--jobs", jobs)
        for out, jobs in (("one", "1"), ("two", "2"))
    )
    assert one.code == two.code == 1
    assert [failure["input"] for failure in two.document["failed"]] == [str(music / "broken.wav")]
    assert "cannot read 'broken.wav'" in two.document["failed"][0]["error"]
    for name in ("a", "b", "c"):
        for stem in ("vocals", "drums", "bass", "other"):
            path = Path(name) / "hpss" / f"{stem}.wav"
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


@pytest.mark.slow  # starts a cluster; test_cluster.py compares all files in `make test`
def test_a_cluster_gives_the_same_results(tmp_path: Path) -> None:
    songs = find_jobs([album(tmp_path / "music", "a.wav", "b.wav")], tmp_path / "out", JobOptions(method="mix"))
    outcomes = list(separate_songs(songs, cluster="local:1"))
    assert sorted(outcome.job.file.name for outcome in outcomes) == ["a.wav", "b.wav"]
    assert not any(outcome.error for outcome in outcomes)
    assert all((folder_of(song) / "vocals.wav").is_file() for song in songs)


def test_invalid_options_fail_before_any_song_is_opened(tmp_path: Path) -> None:
    for wish in (["-m", "nothing"], ["-m", "mix", "--option", "x=1"], ["-m", "mix", "--jobs", "0"]):
        outcome = separation("separate", tmp_path / "missing.wav", "--out", tmp_path / "out", *wish)
        assert outcome.code == 2
        assert "missing" not in outcome.stderr


# -- killed ----------------------------------------------------------------------------------------


def test_a_killed_batch_resumes_and_leaves_no_partial_results(tmp_path: Path) -> None:
    music = album(tmp_path / "music", "a.wav")
    write_song(music / "long.wav", frames=44100 * 120)
    command = [sys.executable, "-m", "separation", "separate", str(music), "-m", "hpss", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            limit = time.monotonic() + 240
            while not list((tmp_path / "out").glob("long/.hpss-*/.*.draft")) and time.monotonic() < limit:
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.02)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "out/a/hpss/result.json").is_file()
    assert not (tmp_path / "out/long/hpss").exists()
    before = state(tmp_path / "out/a")

    shutil.copy(music / "a.wav", tmp_path / "keep.wav")
    write_song(music / "long.wav", frames=44100)
    again = separation("separate", music, "-m", "hpss", "--out", tmp_path / "out")
    assert again.code == 0
    assert state(tmp_path / "out/a") == before
    assert sorted(path.name for path in (tmp_path / "out/long").iterdir()) == ["hpss"]


def test_the_draft_of_a_running_process_is_kept(tmp_path: Path) -> None:
    write_song(tmp_path / "a.wav")
    (song,) = find_jobs([tmp_path / "a.wav"], tmp_path / "out", JobOptions(method="mix"))
    seen: list[set[str]] = []

    def another_at_the_same_time(progress: Any) -> None:
        if progress.stage == "separating" and not seen:
            seen.append({path.name for path in folder_of(song).parent.iterdir()})
            assert separate_song(song).error is None
            seen.append({path.name for path in folder_of(song).parent.iterdir()})

    assert separate_song(song, another_at_the_same_time).error is None
    (draft,) = seen[0]
    assert draft in seen[1]
    assert [path.name for path in folder_of(song).parent.iterdir()] == ["mix"]


def test_songs_on_a_missing_disk_are_reported_by_name(tmp_path: Path) -> None:
    if os.getuid() == 0:
        place = Path("/proc/nowhere")
    else:
        place = tmp_path / "closed"
        place.mkdir(mode=0o500)
    write_song(tmp_path / "a.wav")
    (song,) = find_jobs([tmp_path / "a.wav"], place, JobOptions(method="mix"))
    outcome = separate_song(song)
    assert outcome.error is not None and outcome.error.startswith(str(place))
    assert outcome.document is None
