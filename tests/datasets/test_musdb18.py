"""Listing and reading MUSDB18's tracks and sources."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from separation.datasets.musdb18 import Track, tracks
from separation.sources import SOURCES

CLIPS = ("AM Contra - Heart Peripheral", "Cristina Vane - So Easy")


@pytest.fixture(scope="module")
def few_clips(musdb_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a MUSDB18 of only two tracks, because `musdb` opens every file of a folder."""
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("musdb needs ffmpeg and ffprobe")
    root = tmp_path_factory.mktemp("musdb")
    (root / "test").mkdir()
    (root / "train").mkdir()
    for name in CLIPS:
        (root / "test" / f"{name}.stem.mp4").symlink_to(musdb_root / "test" / f"{name}.stem.mp4")
    return root


def write_wav_track(folder: Path, frames: int = 4410) -> dict[str, np.ndarray]:
    """Write a track of MUSDB18-HQ whose stems are different noises in 16 bits."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(sum(folder.name.encode()))
    waves = {source: generator.integers(-3000, 3000, (frames, 2)) / 32768 for source in SOURCES}
    waves["mixture"] = np.sum(list(waves.values()), axis=0)
    for name, wave in waves.items():
        soundfile.write(folder / f"{name}.wav", wave, 44100, subtype="PCM_16")
    return waves


@pytest.fixture
def wav_root(tmp_path: Path) -> Path:
    write_wav_track(tmp_path / "train" / "B - Second")
    write_wav_track(tmp_path / "train" / "A - First")
    write_wav_track(tmp_path / "test" / "C - Third, 夢", frames=8820)
    return tmp_path


def test_all_tracks_of_a_folder_are_listed_in_order(musdb_root: Path) -> None:
    found = tracks(musdb_root)
    assert [(track.subset, track.name) for track in found] == sorted((track.subset, track.name) for track in found)
    assert {track.subset for track in found} == {"train", "test"}
    assert len(found) == len(list(musdb_root.rglob("*.stem.mp4")))
    for track in found:
        assert track.path == musdb_root / track.subset / f"{track.name}.stem.mp4"
        assert track.sources == ("vocals", "drums", "bass", "other")


def musdb_track_names(root: Path, **more: Any) -> list[tuple[str, str]]:
    import musdb  # refuses to be imported without ffmpeg

    return sorted((track.subset, track.name) for track in musdb.DB(root=str(root), **more))


def test_musdb_lists_the_same_tracks(few_clips: Path) -> None:
    found = [(track.subset, track.name) for track in tracks(few_clips)]
    assert found == musdb_track_names(few_clips) == [("test", name) for name in CLIPS]


def test_musdb18_hq_tracks_are_listed(wav_root: Path) -> None:
    found = tracks(wav_root, wav=True)
    assert [(track.subset, track.name) for track in found] == [
        ("test", "C - Third, 夢"),
        ("train", "A - First"),
        ("train", "B - Second"),
    ]
    assert [track.duration for track in found] == pytest.approx([0.2, 0.1, 0.1])
    assert found[0].path == wav_root / "test" / "C - Third, 夢"
    assert tracks(wav_root, wav=None) == found


def test_musdb_lists_the_same_musdb18_hq_tracks(wav_root: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("musdb needs ffmpeg")
    found = [(track.subset, track.name) for track in tracks(wav_root, wav=True)]
    assert found == musdb_track_names(wav_root, is_wav=True)
    assert [track.subset for track in tracks(wav_root, wav=True, subset="test")] == ["test"]


def test_other_folders_are_not_subsets(wav_root: Path) -> None:
    write_wav_track(wav_root / "backup" / "A - First")
    assert len(tracks(wav_root, wav=True)) == 3


def test_wav_tracks_are_read_exactly(tmp_path: Path) -> None:
    waves = write_wav_track(tmp_path / "test" / "A - B")
    (track,) = tracks(tmp_path, wav=True)
    mixture, references, rate = track.read()
    assert rate == 44100
    assert list(references) == ["vocals", "drums", "bass", "other"]
    np.testing.assert_array_equal(mixture, waves["mixture"].T.astype(np.float32))
    for source, reference in references.items():
        assert reference.dtype == np.float32
        np.testing.assert_array_equal(reference, waves[source].T.astype(np.float32))


def assert_decoded_as_by_musdb(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Two versions of FFmpeg decode AAC alike up to the last bits, which decide the rounding of few samples."""
    steps = np.abs(ours.T - theirs) * 32768
    assert steps.max() <= 1
    assert (steps > 0).mean() < 1e-3


def test_stem_files_are_decoded_as_by_musdb(few_clips: Path) -> None:
    """The five streams of a file have no names: they are identified by position."""
    track = tracks(few_clips)[0]
    mixture, references, rate = track.read()
    import musdb

    handle = next(handle for handle in musdb.DB(root=str(few_clips)) if handle.name == track.name)
    assert rate == handle.rate == 44100
    assert mixture.shape == (2, handle.audio.shape[0])
    assert mixture.shape[1] / rate == pytest.approx(track.duration, abs=0.01)
    assert_decoded_as_by_musdb(mixture, handle.audio)
    assert list(references) == ["vocals", "drums", "bass", "other"]
    for source in ("vocals", "bass"):
        assert references[source].dtype == np.float32
        assert_decoded_as_by_musdb(references[source], handle.targets[source].audio)
    left = mixture - np.sum(list(references.values()), axis=0)
    assert np.sum(left**2) < 0.02 * np.sum(mixture**2)  # the mixture was coded once more than the sum


def test_duration_is_read_from_the_header_only(musdb_root: Path) -> None:
    track = Track(name=CLIPS[0], subset="test", path=musdb_root / "test" / f"{CLIPS[0]}.stem.mp4")
    assert track.duration == pytest.approx(6.8, abs=0.1)


def test_a_folder_that_is_not_musdb18_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folder 'nowhere'"):
        tracks(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="neither a train nor a test folder"):
        tracks(tmp_path)


@pytest.mark.parametrize("wav", [False, True])
def test_an_empty_musdb18_folder_is_refused(wav: bool, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match="holds no tracks"):
        tracks(tmp_path, wav=wav)


def test_wav_folders_without_the_option_are_reported(wav_root: Path) -> None:
    with pytest.raises(ValueError, match="pass --wav"):
        tracks(wav_root, wav=False)


@pytest.mark.parametrize("choice", [{"split": "valid"}, {"subset": "test", "split": "valid"}, {"subset": "nonsense"}])
def test_an_unknown_subset_or_split_is_refused(choice: dict[str, str], wav_root: Path) -> None:
    with pytest.raises(ValueError, match=r"split|subset"):
        tracks(wav_root, wav=True, **choice)  # type: ignore[arg-type]
