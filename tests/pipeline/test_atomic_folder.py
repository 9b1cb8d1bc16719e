"""A result folder is replaced in one step and keeps the files of others."""

from __future__ import annotations

import errno
import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from separation.pipeline import atomic_folder
from separation.pipeline.to_folder import separate_to_folder
from tests.forked import begin, forked
from tests.pipeline.helpers import Copies, noise, separate, sound


def die_at(function: str, moment: str, folder: Path) -> None:
    """Separate into a folder, and die before or after a step of its replacement."""
    real = getattr(atomic_folder, function)

    def die(*arguments: Any) -> None:
        if moment == "after":
            real(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(atomic_folder, function, die)
    separate(noise(), Copies(), folder, float32=True)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def with_foreign_files(folder: Path) -> dict[str, bytes]:
    (folder / "takes").mkdir(parents=True)
    (folder / "take2.wav").write_bytes(b"mine")
    (folder / "takes" / "take3.wav").write_bytes(b"mine too")
    return files(folder)


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("exchange", [True, False])
def test_unlisted_files_are_kept(links: bool, exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(atomic_folder, "_link", _refuse)
    if not exchange:
        monkeypatch.setattr(atomic_folder, "_exchange", lambda first, second: False)
    folder = tmp_path / "copies"
    foreign = with_foreign_files(folder)
    for format in ("wav", "flac"):
        result = separate(sound(), Copies(), folder, format=format)
        assert files(folder).items() >= foreign.items()
        assert files(folder).keys() - foreign.keys() == {
            "result.json",
            *(path.name for path in result.stems.values()),
        }
        assert [path.name for path in tmp_path.iterdir()] == ["copies"]


def test_a_read_only_folder_can_be_replaced_again_and_again(tmp_path: Path) -> None:
    """The earlier folder is removed with its files, which the mode of a folder may forbid to all but root."""
    folder = tmp_path / "copies"
    separate(sound(), Copies(), folder)
    folder.chmod(0o555)
    separate(sound(), Copies(), folder)
    assert folder.stat().st_mode & 0o777 == 0o755


def _refuse(source: str, copy: str) -> str:
    raise OSError(errno.EPERM, "no hard links here")


def test_an_unlisted_output_file_is_refused_by_name_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "drums.wav").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="not listed") as caught:
        separate(sound(), Copies(failure=AssertionError()), tmp_path)
    assert caught.value.filename == str(tmp_path / "drums.wav")
    assert files(tmp_path) == {"drums.wav": b"mine"}


def test_an_unlisted_file_that_appears_during_the_work_is_refused(tmp_path: Path) -> None:
    work = separate_to_folder(sound(), Copies(), tmp_path / "copies", name="song.wav")
    next(work)
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "drums.wav").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        list(work)
    assert files(tmp_path) == {"copies/drums.wav": b"mine"}


@pytest.mark.parametrize("name", ["../take2.wav", "/take2.wav", "takes", 3])
def test_result_json_cannot_list_files_outside_its_folder(name: object, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    separate(sound(), Copies(), folder)
    (tmp_path / "take2.wav").write_bytes(b"mine")
    foreign = with_foreign_files(folder / "takes")
    card = json.loads((folder / "result.json").read_text())
    card["stems"]["flute"] = name
    (folder / "result.json").write_text(json.dumps(card))
    separate(sound(), Copies(), folder)
    assert (tmp_path / "take2.wav").read_bytes() == b"mine"
    assert files(folder / "takes") == foreign


def test_chosen_stems_keep_the_others_as_earlier_results(tmp_path: Path) -> None:
    separate(sound(), Copies(), tmp_path)
    drums = (tmp_path / "drums.wav").read_bytes()
    result = separate(sound(), Copies(), tmp_path, stems=["vocals"], format="flac")
    card = json.loads(result.card.read_text())
    assert (tmp_path / "drums.wav").read_bytes() == drums
    assert card["stems"] == {"vocals": "vocals.flac"}
    (earlier,) = card["earlier_results"]
    assert earlier["stems"] == {source: f"{source}.wav" for source in ("drums", "bass", "other")}
    assert result.warnings == []
    assert not (tmp_path / "vocals.wav").exists()  # one file per source


def test_stems_of_another_input_are_kept_with_a_warning(tmp_path: Path) -> None:
    separate(sound(), Copies(), tmp_path)
    before = json.loads((tmp_path / "result.json").read_text())
    with pytest.warns(UserWarning, match=r"drums.wav, bass.wav, other.wav in the same folder"):
        result = separate(noise(), Copies(), tmp_path, stems=["vocals"])
    card = json.loads(result.card.read_text())
    assert card["warnings"] == result.warnings != []
    assert card["earlier_results"][0]["input_sha256"] == before["input_sha256"] != card["input_sha256"]
    separate(noise(), Copies(), tmp_path)
    assert "earlier_results" not in json.loads(result.card.read_text())


def test_a_failed_exchange_keeps_the_earlier_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "copies"
    separate(sound(), Copies(), folder)
    before = files(tmp_path)
    monkeypatch.setattr(atomic_folder, "_exchange", lambda first, second: False)
    real = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if target == folder and not self.name.endswith(".old"):
            raise OSError(errno.EIO, "the disk refuses", str(self))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="the disk refuses") as caught:
        separate(noise(), Copies(), folder)
    assert caught.value.filename == str(folder)
    assert files(tmp_path) == before


def test_a_killed_process_leaves_one_result_complete(tmp_path: Path) -> None:
    functions = ("_link_others", "_exchange", "_remove_old", "refuse_foreign")
    places = [tmp_path / f"{function}-{moment}" for function in functions for moment in ("before", "after")]
    before = {}
    for place in places:
        foreign = with_foreign_files(place / "copies")
        separate(sound(), Copies(), place / "copies")
        before[place] = files(place / "copies")
    for place in places:
        function, moment = place.name.split("-")
        code, said = forked(partial(die_at, function, moment, place / "copies"))
        assert code == -signal.SIGKILL, said
    for place, old in before.items():
        left = {name: data for name, data in files(place / "copies").items() if name != ".lock"}
        assert left.items() >= foreign.items(), place.name
        assert left.keys() == old.keys(), place.name
        if left != old:
            card = json.loads(left["result.json"])
            assert card["frames"] == noise().frames
            assert all(left[name] != old[name] for name in card["stems"].values()), place.name
        separate(sound(), Copies(), place / "copies")
        assert files(place / "copies").keys() == old.keys()
        assert files(place / "copies").items() >= foreign.items()
        assert [path.name for path in place.iterdir()] == ["copies"]


def test_runs_into_one_folder_publish_one_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    foreign = with_foreign_files(folder)

    def publish(block: int) -> None:
        for seed in range(8):
            separate(noise(4000, seed=seed), Copies(block=block), folder)

    for wait in [begin(partial(publish, block)) for block in (1000, 900)]:
        assert wait() == (0, "")
    assert files(folder).items() >= foreign.items()
    assert len(files(folder)) == len(foreign) + 5
    assert [path.name for path in tmp_path.iterdir()] == ["copies"]


def test_a_linked_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "copies").symlink_to(tmp_path / "disk")
    for _ in range(2):
        separate(sound(), Copies(), tmp_path / "copies")
    assert (tmp_path / "copies").is_symlink()
    assert (tmp_path / "disk" / "result.json").is_file()
