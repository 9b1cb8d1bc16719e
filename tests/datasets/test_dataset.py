"""Training and validation tracks of a folder, which never include the test split; fingerprints of data sets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.datasets.dataset import Dataset, fingerprint, open_dataset
from separation.datasets.musdb18 import VALIDATION, Track
from separation.datasets.stem_folders import FolderTrack, folder_tracks
from separation.sources import SOURCES

CLIPS = ("ANiMAL - Easy Tiger", "Actions - Devil's Words")
VALIDATION_CLIP = "ANiMAL - Rockshow"


def write_track(folder: Path, *, sources: Sequence[str] = SOURCES, frames: int = 100, suffix: str = "wav") -> Path:
    """Write a track whose stems are different noises."""
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


def test_the_validation_tracks_are_those_of_musdb(ffmpeg: None, tmp_path: Path) -> None:
    import musdb

    (tmp_path / "train").mkdir()
    assert sorted(VALIDATION) == sorted(musdb.DB(root=str(tmp_path)).setup["validation_tracks"])


def test_musdb18_is_split_as_musdb_splits_it(musdb_root: Path) -> None:
    dataset = open_dataset(musdb_root)
    assert dataset.name == "musdb18-7s"
    assert (len(dataset.train), len(dataset.valid)) == (80, 14)
    assert sorted(names(dataset.valid)) == sorted(VALIDATION)
    found = [*dataset.train, *dataset.valid]
    assert sorted(track.path for track in found) == sorted((musdb_root / "train").glob("*.stem.mp4"))
    assert all(isinstance(track, Track) and track.subset == "train" for track in found)


def few_clips(musdb_root: Path, root: Path, *clips: str) -> Path:
    """Write a MUSDB18 of these training tracks and one test track."""
    test = "AM Contra - Heart Peripheral"
    for place in [f"train/{clip}.stem.mp4" for clip in clips] + [f"test/{test}.stem.mp4"]:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to(musdb_root / place)
    return root


def test_clips_of_musdb18_without_validation_tracks(musdb_root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(few_clips(musdb_root, tmp_path / "few", *CLIPS))
    assert names(dataset.train) == list(CLIPS)
    assert list(dataset.valid) == []


def test_clips_of_musdb18_without_training_tracks_are_refused(musdb_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no tracks"):
        open_dataset(few_clips(musdb_root, tmp_path / "few", VALIDATION_CLIP))


def test_clips_of_musdb18_can_be_read(musdb_root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(few_clips(musdb_root, tmp_path / "few", VALIDATION_CLIP, CLIPS[0])))
    assert (names(dataset.train), names(dataset.valid)) == ([CLIPS[0]], [VALIDATION_CLIP])
    mixture, references, rate = dataset.valid[0].read()
    assert (rate, mixture.shape[0], set(references)) == (44100, 2, set(SOURCES))


@pytest.fixture
def hq_root(tmp_path: Path) -> Path:
    """Return a MUSDB18-HQ of three training tracks, two validation tracks and one test track."""
    root = tmp_path / "musdb18-hq"
    for place in ["train/B - Second", "train/A - First", "train/C - Third", "test/T - Test"]:
        write_track(root / place, sources=("mixture", *SOURCES))
    for name in VALIDATION[3:5]:
        write_track(root / "train" / name, sources=("mixture", *SOURCES))
    return root


def test_musdb18_hq(hq_root: Path) -> None:
    dataset = open_dataset(hq_root, wav=True)
    assert dataset.name == "musdb18-hq"
    assert names(dataset.train) == ["A - First", "B - Second", "C - Third"]
    assert names(dataset.valid) == sorted(VALIDATION[3:5])
    assert [track.path for track in dataset.train] == [hq_root / "train" / name for name in names(dataset.train)]
    mixture, references, rate = dataset.train[0].read()
    assert (rate, mixture.shape, list(references)) == (44100, (2, 100), list(SOURCES))


def test_musdb18_hq_with_validation_tracks_only_is_refused(hq_root: Path) -> None:
    for name in ("A - First", "B - Second", "C - Third"):
        shutil.rmtree(hq_root / "train" / name)
    with pytest.raises(ValueError, match="holds no tracks"):
        open_dataset(hq_root, wav=True)


@pytest.mark.parametrize("wav", [False, True])
def test_a_test_split_alone_is_refused(wav: bool, hq_root: Path) -> None:
    shutil.rmtree(hq_root / "train")
    with pytest.raises(ValueError, match="holds n"):
        open_dataset(hq_root, wav=wav)


def test_plain_folders_are_tracks_by_name(tmp_path: Path) -> None:
    root = tmp_path / "my songs"
    write_track(root / "second", sources=("vocals",))
    write_track(root / "first", suffix="flac")
    (root / "notes").mkdir()
    write_track(root / "only a mixture", sources=("mixture",))
    (root / "readme.txt").write_text("hello")
    soundfile.write(root / "vocals.wav", np.zeros(10), 44100)
    dataset = open_dataset(root)
    assert dataset.name == "my songs"
    assert dataset.train == [
        FolderTrack(name="first", path=root / "first", sources=SOURCES),
        FolderTrack(name="second", path=root / "second", sources=("vocals",)),
    ]
    assert dataset.valid == []


@pytest.mark.parametrize("inside", [True, False])
def test_plain_folders_with_a_validation_folder(inside: bool, tmp_path: Path) -> None:
    """Training tracks are in train/ or in the folder itself, validation tracks in valid/; test/ is ignored."""
    for place in ["train/a" if inside else "a", "train/b" if inside else "b", "valid/v", "test/t"]:
        write_track(tmp_path / place)
    dataset = open_dataset(tmp_path)
    assert names(dataset.train) == ["a", "b"]
    assert names(dataset.valid) == ["v"]


def test_tracks_next_to_train_are_ignored(tmp_path: Path) -> None:
    write_track(tmp_path / "train" / "a")
    write_track(tmp_path / "b")
    dataset = open_dataset(tmp_path)
    assert (names(dataset.train), dataset.valid) == (["a"], [])


@pytest.mark.parametrize("folders", [[], ["empty"], ["train"], ["valid/v"], ["test/t"]])
def test_a_folder_without_training_tracks_is_refused(folders: list[str], tmp_path: Path) -> None:
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
def test_a_missing_folder_is_refused(wav: bool, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no folder '.*nowhere'"):
        open_dataset(tmp_path / "nowhere", wav=wav)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match=r"no folder '.*file'"):
        open_dataset(tmp_path / "file", wav=wav)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_track(tmp_path / "songs" / "a")
    assert open_dataset("~/songs").name == "songs"


def test_the_name_of_a_relative_path_is_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_track(tmp_path / "songs" / "a")
    monkeypatch.chdir(tmp_path / "songs")
    assert open_dataset(".").name == "songs"


def test_the_mixture_of_a_plain_folder_is_the_sum_of_its_sources(tmp_path: Path) -> None:
    """A file called mixture is ignored."""
    (track,) = folder_tracks(write_track(tmp_path / "a", sources=("mixture", "vocals", "bass")).parent)
    mixture, references, rate = track.read()
    assert (list(references), rate) == (["vocals", "bass"], 44100)
    for number, (source, reference) in enumerate(references.items(), 1):
        expected = np.random.default_rng(number).integers(-3000, 3000, (100, 2)) / 32768
        assert reference.dtype == np.float32
        np.testing.assert_array_equal(reference, expected.T, err_msg=source)
    np.testing.assert_array_equal(mixture, references["vocals"] + references["bass"])


@pytest.mark.parametrize(
    ("shape", "rate", "said"),
    [
        ((101, 2), 44100, "'bass.wav' has 101 samples where 'vocals.wav' has 100"),
        ((99, 2), 44100, "'bass.wav' has 99 samples where 'vocals.wav' has 100"),
        ((100, 1), 44100, "'bass.wav' has 1 channel where 'vocals.wav' has 2"),
        ((100, 2), 48000, "'bass.wav' has 48000 Hz where 'vocals.wav' has 44100"),
    ],
)
def test_stems_of_different_formats_are_refused(shape: tuple[int, int], rate: int, said: str, tmp_path: Path) -> None:
    (track,) = folder_tracks(write_track(tmp_path / "odd one").parent)
    soundfile.write(track.path / "bass.wav", np.zeros(shape), rate)
    with pytest.raises(ValueError, match=said):
        track.read()
    with pytest.raises(ValueError, match=said):
        assert track.duration


def test_a_stem_that_is_not_audio_is_refused_by_name(tmp_path: Path) -> None:
    (track,) = folder_tracks(write_track(tmp_path / "a").parent)
    (track.path / "drums.wav").write_text("boom")
    with pytest.raises(ValueError, match=r"drums\.wav"):
        track.read()


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
def test_other_files_have_another_fingerprint(change: Callable[[Path], None], songs: Path) -> None:
    before = identity_of(songs)
    change(songs)
    assert identity_of(songs) != before


def add_validation_track(songs: Path) -> None:
    shutil.rmtree(songs / "valid" / "v")
    write_track(songs / "valid" / "w")


def remove_test_tracks(songs: Path) -> None:
    shutil.rmtree(songs / "test")


def read_all_tracks(songs: Path) -> None:
    for track in open_dataset(songs).train:
        track.read()
        for path in track.path.iterdir():
            os.utime(path, ns=(0, path.stat().st_mtime_ns))


def change_nothing(songs: Path) -> None:
    pass


@pytest.mark.parametrize("change", [change_nothing, read_all_tracks, add_validation_track, remove_test_tracks])
def test_the_same_files_have_the_same_fingerprint(change: Callable[[Path], None], songs: Path) -> None:
    before = identity_of(songs)
    change(songs)
    assert identity_of(songs) == before


def test_the_fingerprint_is_a_valid_folder_name(songs: Path) -> None:
    name = identity_of(songs)
    assert len(name) == 16
    assert set(name) <= set("0123456789abcdef")


def test_moving_a_data_set_keeps_its_fingerprint_and_renaming_does_not(songs: Path) -> None:
    before = identity_of(songs)
    moved = songs.rename(songs.parent.parent / "songs")
    assert identity_of(moved) == before
    assert identity_of(moved.rename(moved.with_name("music"))) != before


def test_the_fingerprint_depends_on_all_data_sets_and_their_order(songs: Path, tmp_path: Path) -> None:
    write_track(tmp_path / "more" / "m")
    one, two = open_dataset(songs), open_dataset(tmp_path / "more")
    found = {fingerprint(some) for some in ([one], [two], [one, two], [two, one])}
    assert len(found) == 4


def test_the_fingerprint_changes_with_single_files(tmp_path: Path) -> None:
    path = tmp_path / "a.stem.mp4"
    path.write_bytes(b"1234")
    dataset = Dataset(name="few", train=[Track(name="a", subset="train", path=path)], valid=[])
    before = fingerprint([dataset])
    assert fingerprint([dataset]) == before
    path.write_bytes(b"12345")
    assert fingerprint([dataset]) != before
