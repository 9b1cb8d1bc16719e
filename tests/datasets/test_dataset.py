"""Which tracks a folder gives to learn from and to judge by - and that the test split is never among them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from separation.datasets.dataset import Dataset, fingerprint, open_dataset
from separation.datasets.musdb18 import Track, open_musdb
from separation.datasets.stem_folders import FolderTrack, folder_tracks
from separation.sources import SOURCES

CLIPS = ("ANiMAL - Easy Tiger", "Actions - Devil's Words")
VALIDATION_CLIP = "ANiMAL - Rockshow"


def write_track(folder: Path, *, sources: Sequence[str] = SOURCES, frames: int = 100, suffix: str = "wav") -> Path:
    """Every stem is another noise."""
    folder.mkdir(parents=True)
    for number, source in enumerate(sources):
        wave = np.random.default_rng(number).integers(-3000, 3000, (frames, 2)) / 32768
        soundfile.write(folder / f"{source}.{suffix}", wave, 44100)
    return folder


def names(tracks: Sequence[Track | FolderTrack]) -> list[str]:
    return [track.name for track in tracks]


@pytest.fixture
def ffmpeg() -> None:
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("musdb needs ffmpeg and ffprobe")


@pytest.fixture
def no_probing(ffmpeg: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """`musdb` probes every file five times when it opens a folder, which takes long and tells nothing here."""

    def info(path: str) -> SimpleNamespace:
        return SimpleNamespace(samples=lambda stream: 1, duration=lambda stream: 1.0, rate=lambda stream: 44100)

    monkeypatch.setattr("stempeg.Info", info)


@pytest.fixture
def validation_names(ffmpeg: None, tmp_path: Path) -> list[str]:
    """From the configuration that comes with `musdb`."""
    (tmp_path / "empty" / "train").mkdir(parents=True)
    return list(open_musdb(tmp_path / "empty").setup["validation_tracks"])


# -- MUSDB18 ---------------------------------------------------------------------------------------


def test_musdb18_is_split_as_musdb_splits_it(musdb_root: Path, no_probing: None, validation_names: list[str]) -> None:
    collection = open_dataset(musdb_root)
    assert collection.name == "musdb18-7s"
    assert (len(collection.train), len(collection.valid)) == (80, 14)
    assert sorted(names(collection.valid)) == sorted(validation_names)
    found = [*collection.train, *collection.valid]
    assert sorted(track.path for track in found) == sorted((musdb_root / "train").glob("*.stem.mp4"))
    assert all(isinstance(track, Track) and track.subset == "train" for track in found)


def few_clips(musdb_root: Path, root: Path, *clips: str) -> Path:
    """A MUSDB18 of these training tracks and one to test with."""
    test = "AM Contra - Heart Peripheral"
    for place in [f"train/{clip}.stem.mp4" for clip in clips] + [f"test/{test}.stem.mp4"]:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to(musdb_root / place)
    return root


def test_clips_of_musdb18_without_any_to_judge_by(musdb_root: Path, no_probing: None, tmp_path: Path) -> None:
    collection = open_dataset(few_clips(musdb_root, tmp_path / "few", *CLIPS))
    assert names(collection.train) == list(CLIPS)
    assert list(collection.valid) == []


def test_clips_of_musdb18_with_nothing_to_learn_from_are_refused(
    musdb_root: Path, no_probing: None, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="holds no tracks"):
        open_dataset(few_clips(musdb_root, tmp_path / "few", VALIDATION_CLIP))


def test_clips_of_musdb18_can_be_read(musdb_root: Path, ffmpeg: None, tmp_path: Path) -> None:
    collection = open_dataset(str(few_clips(musdb_root, tmp_path / "few", VALIDATION_CLIP, CLIPS[0])))
    assert (names(collection.train), names(collection.valid)) == ([CLIPS[0]], [VALIDATION_CLIP])
    mixture, references, rate = collection.valid[0].read()
    assert (rate, mixture.shape[0], set(references)) == (44100, 2, set(SOURCES))


@pytest.fixture
def hq_root(validation_names: list[str], tmp_path: Path) -> Path:
    """MUSDB18-HQ, folders of WAV files: three tracks to learn from, two of the validation tracks, one to test with."""
    root = tmp_path / "musdb18-hq"
    for place in ["train/B - Second", "train/A - First", "train/C - Third", "test/T - Test"]:
        write_track(root / place, sources=("mixture", *SOURCES))
    for name in validation_names[3:5]:
        write_track(root / "train" / name, sources=("mixture", *SOURCES))
    return root


def test_musdb18_as_wav_files(hq_root: Path, validation_names: list[str]) -> None:
    collection = open_dataset(hq_root, wav=True)
    assert collection.name == "musdb18-hq"
    assert names(collection.train) == ["A - First", "B - Second", "C - Third"]
    assert names(collection.valid) == sorted(validation_names[3:5])
    assert [track.path for track in collection.train] == [hq_root / "train" / name for name in names(collection.train)]
    mixture, references, rate = collection.train[0].read()
    assert (rate, mixture.shape, list(references)) == (44100, (2, 100), list(SOURCES))


def test_musdb18_as_wav_files_of_which_all_are_to_judge_by_is_refused(
    hq_root: Path, validation_names: list[str]
) -> None:
    for name in ("A - First", "B - Second", "C - Third"):
        shutil.rmtree(hq_root / "train" / name)
    with pytest.raises(ValueError, match="holds no tracks"):
        open_dataset(hq_root, wav=True)


@pytest.mark.parametrize("wav", [False, True])
def test_tracks_to_test_with_alone_are_nothing_to_learn_from(wav: bool, hq_root: Path) -> None:
    shutil.rmtree(hq_root / "train")
    with pytest.raises(ValueError, match="holds n"):
        open_dataset(hq_root, wav=wav)


# -- plain folders ---------------------------------------------------------------------------------


def test_plain_folders_are_tracks_by_name(tmp_path: Path) -> None:
    root = tmp_path / "my songs"
    write_track(root / "second", sources=("vocals",))
    write_track(root / "first", suffix="flac")
    (root / "notes").mkdir()
    write_track(root / "only a mixture", sources=("mixture",))
    (root / "readme.txt").write_text("hello")
    soundfile.write(root / "vocals.wav", np.zeros(10), 44100)
    collection = open_dataset(root)
    assert collection.name == "my songs"
    assert collection.train == [
        FolderTrack(name="first", path=root / "first", sources=SOURCES),
        FolderTrack(name="second", path=root / "second", sources=("vocals",)),
    ]
    assert collection.valid == []


@pytest.mark.parametrize("inside", [True, False])
def test_plain_folders_to_learn_from_and_to_judge_by(inside: bool, tmp_path: Path) -> None:
    """In train/ and valid/, or in the folder itself and valid/; what lies in test/ is left alone."""
    for place in ["train/a" if inside else "a", "train/b" if inside else "b", "valid/v", "test/t"]:
        write_track(tmp_path / place)
    collection = open_dataset(tmp_path)
    assert names(collection.train) == ["a", "b"]
    assert names(collection.valid) == ["v"]


def test_beside_train_nothing_else_is_learned_from(tmp_path: Path) -> None:
    write_track(tmp_path / "train" / "a")
    write_track(tmp_path / "b")
    collection = open_dataset(tmp_path)
    assert (names(collection.train), collection.valid) == (["a"], [])


@pytest.mark.parametrize("folders", [[], ["empty"], ["train"], ["valid/v"], ["test/t"]])
def test_a_folder_with_nothing_to_learn_from_is_refused(folders: list[str], tmp_path: Path) -> None:
    root = tmp_path / "music"
    root.mkdir()
    for folder in folders:
        if "/" in folder:
            write_track(root / folder)
        else:
            (root / folder).mkdir()
    with pytest.raises(ValueError, match="'music' holds neither MUSDB18's train folder nor folders with <source>"):
        open_dataset(root)


@pytest.mark.parametrize("wav", [False, True])
def test_a_folder_that_is_not_there_is_refused(wav: bool, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no folder '.*nowhere'"):
        open_dataset(tmp_path / "nowhere", wav=wav)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match=r"no folder '.*file'"):
        open_dataset(tmp_path / "file", wav=wav)


def test_the_home_folder_has_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_track(tmp_path / "songs" / "a")
    assert open_dataset("~/songs").name == "songs"


def test_a_relative_name_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_track(tmp_path / "songs" / "a")
    monkeypatch.chdir(tmp_path / "songs")
    assert open_dataset(".").name == "songs"


# -- what a plain folder holds ---------------------------------------------------------------------


def test_the_mixture_of_a_plain_folder_is_the_sum_of_its_sources(tmp_path: Path) -> None:
    """A file called mixture counts for nothing."""
    (track,) = folder_tracks(write_track(tmp_path / "a", sources=("mixture", "vocals", "bass")).parent)
    mixture, references, rate = track.read()
    assert (list(references), rate) == (["vocals", "bass"], 44100)
    for number, (source, reference) in enumerate(references.items(), 1):
        expected = np.random.default_rng(number).integers(-3000, 3000, (100, 2)) / 32768
        assert reference.dtype == np.float32
        np.testing.assert_array_equal(reference, expected.T, err_msg=source)
    np.testing.assert_array_equal(mixture, references["vocals"] + references["bass"])


@pytest.mark.parametrize(("shape", "rate"), [((101, 2), 44100), ((99, 2), 44100), ((100, 1), 44100), ((100, 2), 48000)])
def test_stems_that_do_not_fit_each_other_are_refused(shape: tuple[int, int], rate: int, tmp_path: Path) -> None:
    (track,) = folder_tracks(write_track(tmp_path / "odd one").parent)
    soundfile.write(track.path / "bass.wav", np.zeros(shape), rate)
    with pytest.raises(ValueError, match="the stems in 'odd one' differ in length, channels or rate"):
        track.read()


def test_a_stem_that_is_no_sound_is_refused_by_name(tmp_path: Path) -> None:
    (track,) = folder_tracks(write_track(tmp_path / "a").parent)
    (track.path / "drums.wav").write_text("boom")
    with pytest.raises(ValueError, match=r"drums\.wav"):
        track.read()


# -- identity --------------------------------------------------------------------------------------


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    for place in ("train/a", "train/b", "valid/v", "test/t"):
        write_track(tmp_path / "here" / "songs" / place)
    return tmp_path / "here" / "songs"


def identity_of(root: Path) -> str:
    return fingerprint([open_dataset(root)])


def longer(songs: Path) -> None:
    path = songs / "train" / "a" / "bass.wav"
    before = path.stat()
    soundfile.write(path, np.zeros((101, 2)), 44100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def newer(songs: Path) -> None:
    path = songs / "train" / "b" / "vocals.wav"
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1000))


def one_more_stem(songs: Path) -> None:
    path = songs / "train" / "b" / "bass.wav"
    shutil.copy2(path, path.with_suffix(".flac"))


def one_stem_less(songs: Path) -> None:
    (songs / "train" / "b" / "bass.wav").unlink()


def another_stem(songs: Path) -> None:
    (songs / "train" / "b" / "bass.wav").rename(songs / "train" / "b" / "bass.flac")


def one_more_track(songs: Path) -> None:
    shutil.copytree(songs / "train" / "b", songs / "train" / "c")


def one_track_less(songs: Path) -> None:
    shutil.rmtree(songs / "train" / "b")


def another_name(songs: Path) -> None:
    (songs / "train" / "b").rename(songs / "train" / "c")


@pytest.mark.parametrize(
    "change",
    [longer, newer, one_more_stem, one_stem_less, another_stem, one_more_track, one_track_less, another_name],
)
def test_other_files_have_another_identity(change: Callable[[Path], None], songs: Path) -> None:
    before = identity_of(songs)
    change(songs)
    assert identity_of(songs) != before


def other_tracks_to_judge_by(songs: Path) -> None:
    shutil.rmtree(songs / "valid" / "v")
    write_track(songs / "valid" / "w")


def other_tracks_to_test_with(songs: Path) -> None:
    shutil.rmtree(songs / "test")


def listening(songs: Path) -> None:
    for track in open_dataset(songs).train:
        track.read()
        for path in track.path.iterdir():
            os.utime(path, ns=(0, path.stat().st_mtime_ns))


def nothing(songs: Path) -> None:
    pass


@pytest.mark.parametrize("change", [nothing, listening, other_tracks_to_judge_by, other_tracks_to_test_with])
def test_the_same_files_have_the_same_identity(change: Callable[[Path], None], songs: Path) -> None:
    before = identity_of(songs)
    change(songs)
    assert identity_of(songs) == before


def test_the_identity_is_a_name_for_a_folder(songs: Path) -> None:
    name = identity_of(songs)
    assert len(name) == 16
    assert set(name) <= set("0123456789abcdef")


def test_moving_a_collection_keeps_its_identity_and_renaming_it_does_not(songs: Path) -> None:
    before = identity_of(songs)
    moved = songs.rename(songs.parent.parent / "songs")
    assert identity_of(moved) == before
    assert identity_of(moved.rename(moved.with_name("music"))) != before


def test_the_identity_is_that_of_all_collections_in_their_order(songs: Path, tmp_path: Path) -> None:
    write_track(tmp_path / "more" / "m")
    one, two = open_dataset(songs), open_dataset(tmp_path / "more")
    found = {fingerprint(some) for some in ([one], [two], [one, two], [two, one])}
    assert len(found) == 4


def test_the_identity_of_single_files_changes_with_them(tmp_path: Path) -> None:
    path = tmp_path / "a.stem.mp4"
    path.write_bytes(b"1234")
    collection = Dataset(name="few", train=[Track(name="a", subset="train", path=path)], valid=[])
    before = fingerprint([collection])
    assert fingerprint([collection]) == before
    path.write_bytes(b"12345")
    assert fingerprint([collection]) != before
