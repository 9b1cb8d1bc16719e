"""The search for stem files: names, hidden files, duplicates, and ``stems.toml`` in the folders above."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.audio.suffixes import SUFFIXES
from separation.datasets.dataset import fingerprint, open_dataset
from separation.datasets.stem_audio import measure_stem, read_stems, stem_duration
from separation.datasets.stem_files import find_stems, stem_map_of
from separation.datasets.stem_folders import FolderTrack, folder_tracks
from separation.datasets.store import build_store

RATE = 8000


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def constant(path: Path, value: float, *, frames: int = 100, channels: int = 2, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((frames, channels), value), rate, subtype="FLOAT")


def names(folder: Path, **more: object) -> dict[str, list[str]]:
    found = find_stems(folder, **more)  # type: ignore[arg-type]
    return {target: [found.label(path) for path in paths] for target, paths in found.targets.items()}


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
@pytest.mark.parametrize("upper", [False, True])
def test_every_audio_suffix_counts(suffix: str, upper: bool, tmp_path: Path) -> None:
    name = f"vocals{suffix}".upper() if upper else f"vocals{suffix}"
    assert names(touch(tmp_path, name)) == {"vocals": [name]}


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    litter = ("._vocals.wav", ".DS_Store", "Thumbs.db", "vocals.txt", "vocals", "bass.mid", "__MACOSX/drums.wav")
    found = find_stems(touch(tmp_path, "drums.wav", "flute.wav", "mixture.wav", "deep/bass.wav", *litter))
    assert list(found.targets) == ["drums"]
    assert found.unused == [tmp_path / "flute.wav"]


def test_sources_are_listed_first_and_other_names_alphabetically(tmp_path: Path) -> None:
    touch(tmp_path, "Other.wav", "bass.wav", "Vocals.wav", "accompaniment.wav", "mixture.wav")
    assert list(names(tmp_path)) == ["vocals", "bass", "other"]
    assert list(names(tmp_path, names=None)) == ["accompaniment", "bass", "other", "vocals"]


def test_two_files_for_one_target_are_a_problem_of_this_target(tmp_path: Path) -> None:
    found = find_stems(touch(tmp_path, "vocals.wav", "VOCALS.flac", "drums.wav"))
    assert found.problems == {"vocals": "there are two files for vocals, 'VOCALS.flac' and 'vocals.wav': remove one"}
    with pytest.raises(ValueError, match="two files for vocals"):
        found.checked()
    with pytest.raises(ValueError, match="two files for vocals"):
        stem_duration(found)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folder 'nowhere'"):
        find_stems(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()

    def refuse(self: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    for use in (find_stems, folder_tracks):
        with pytest.raises(ValueError, match="cannot read the folder 'set': Permission denied"):
            use(tmp_path / "set")


def test_a_track_whose_files_were_deleted_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    track = FolderTrack(name="a", path=tmp_path / "a", sources=("vocals",))
    with pytest.raises(ValueError, match="no source has a file"):
        track.read()


# -- stems.toml ------------------------------------------------------------------------------------

MOISES = 'unmentioned = "other"\n[targets]\nvocals = ["vocals"]\ndrums = ["drums", "percussion"]\nbass = ["bass"]\n'
MEDLEY = 'ignore = ["*_MIX", "*_RAW"]\nunmentioned = "other"\n'


def moises(root: Path, track: str = "train/7f1c") -> Path:
    """Two vocals of 0.01, drums of 0.1 and 0.2 (mono), bass of 0.3, guitar and piano of 0.02 and 0.04."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "stems.toml").write_text(MOISES)
    folder = root / track
    constant(folder / "vocals" / "ab12.wav", 0.01)
    constant(folder / "vocals" / "cd34.wav", 0.01, frames=60)
    constant(folder / "drums" / "ab12.wav", 0.1)
    constant(folder / "percussion" / "ab12.wav", 0.2, channels=1)
    constant(folder / "bass" / "ab12.wav", 0.3)
    constant(folder / "guitar" / "ab12.wav", 0.02)
    constant(folder / "piano" / "ab12.wav", 0.04)
    (folder / "data.json").write_text("{}")
    return folder


def test_the_files_of_a_target_are_summed(tmp_path: Path) -> None:
    moises(tmp_path / "moisesdb")
    (track,) = folder_tracks(tmp_path / "moisesdb" / "train")
    assert (track.sources, track.subset, track.duration) == (("vocals", "drums", "bass", "other"), "train", 0.0125)
    mixture, references, rate = track.read()
    assert rate == RATE
    levels = {target: float(wave[1, 0]) for target, wave in references.items()}
    assert levels == pytest.approx({"vocals": 0.02, "drums": 0.3, "bass": 0.3, "other": 0.06})
    assert references["drums"][0, 0] == references["drums"][1, 0]  # mono stands for both channels
    assert references["vocals"][0, -1] == pytest.approx(0.01)  # one voice ended early
    np.testing.assert_allclose(mixture[:, 0], 0.68, rtol=1e-6)


def test_numbered_stems_of_a_track_with_a_map_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "Audio"
    for number in range(1, 5):
        constant(root / "Band_Song" / "Band_Song_STEMS" / f"Band_Song_STEM_0{number}.wav", number / 100)
    constant(root / "Band_Song" / "Band_Song_MIX.wav", 0.9)
    constant(root / "Band_Song" / "Band_Song_RAW" / "Band_Song_RAW_01_01.wav", 0.9)
    (root / "stems.toml").write_text(MEDLEY)
    (track,) = folder_tracks(root)
    with pytest.raises(ValueError, match=r"stems\.toml has no \[targets\]"):
        track.read()
    (root / "Band_Song" / "stems.toml").write_text('[targets]\nvocals = ["*_STEM_0[14]"]\ndrums = ["*_STEM_03"]\n')
    (track,) = folder_tracks(root)
    levels = {target: float(wave[0, 0]) for target, wave in track.read()[1].items()}
    assert levels == pytest.approx({"vocals": 0.05, "drums": 0.03, "other": 0.02})


def test_the_map_is_found_in_the_root_above_train_valid_and_test_only(tmp_path: Path) -> None:
    assert stem_map_of(moises(tmp_path / "a", "train/one")) is not None
    assert stem_map_of(moises(tmp_path / "b", "one")) is not None
    assert stem_map_of(moises(tmp_path / "c", "songs/one")) is None


def test_a_relative_path_finds_the_map_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(moises(tmp_path / "set", "one"))
    assert stem_map_of(Path()) is not None


def test_links_to_folders_are_followed_except_in_cycles(tmp_path: Path) -> None:
    folder = moises(tmp_path / "set")
    (folder / "guitar").rename(tmp_path / "guitar")
    (folder / "guitar").symlink_to(tmp_path / "guitar")
    (folder / "bass" / "up").symlink_to(folder)
    (track,) = folder_tracks(tmp_path / "set" / "train")
    assert [track.files().label(path) for path in track.files().targets["other"]] == [
        "guitar/ab12.wav",
        "piano/ab12.wav",
    ]
    before = fingerprint([open_dataset(tmp_path / "set")])
    constant(tmp_path / "guitar" / "ab12.wav", 0.02, frames=99)
    assert fingerprint([open_dataset(tmp_path / "set")]) != before


def test_copies_of_one_recording_are_refused(tmp_path: Path) -> None:
    folder = moises(tmp_path)
    touch(folder, "bass/AB12.flac")
    (track,) = folder_tracks(tmp_path / "train")
    with pytest.raises(ValueError, match=r"two files for bass, 'bass/AB12\.flac' and 'bass/ab12\.wav'"):
        track.read()


def test_a_bad_file_deep_inside_is_named_with_its_folder(tmp_path: Path) -> None:
    folder = moises(tmp_path)
    (folder / "guitar" / "ab12.wav").write_bytes(b"")
    (track,) = folder_tracks(tmp_path / "train")
    for use in (track.read, lambda: track.duration):
        with pytest.raises(ValueError, match=r"cannot read 'guitar/ab12\.wav': the file is empty"):
            use()


@pytest.mark.parametrize(("channels", "rate", "said"), [(3, RATE, "3 channels"), (2, 16000, "16000 Hz")])
def test_mapped_files_agree_in_rate_and_channels(channels: int, rate: int, said: str, tmp_path: Path) -> None:
    constant(moises(tmp_path) / "bass" / "ab12.wav", 0.3, channels=channels, rate=rate)
    (track,) = folder_tracks(tmp_path / "train")
    with pytest.raises(ValueError, match=rf"'bass/ab12\.wav' has {said} where '.*' has"):
        track.read()


def test_a_map_that_cannot_be_used_is_an_error_of_the_set(tmp_path: Path) -> None:
    moises(tmp_path)
    (tmp_path / "stems.toml").write_text("[targets")
    with pytest.raises(ValueError, match=r"cannot read stems\.toml"):
        folder_tracks(tmp_path / "train")


def test_a_map_of_a_track_that_cannot_be_used_is_an_error_of_the_track(tmp_path: Path) -> None:
    (moises(tmp_path) / "stems.toml").write_text("[targets")
    moises(tmp_path, "train/other")
    bad, good = folder_tracks(tmp_path / "train")
    assert (bad.sources, good.sources) == ((), ("vocals", "drums", "bass", "other"))
    with pytest.raises(ValueError, match=r"cannot read stems\.toml in '7f1c'"):
        bad.read()


def test_a_folder_without_sound_is_not_a_track_with_a_map_either(tmp_path: Path) -> None:
    moises(tmp_path)
    (tmp_path / "train" / "notes").mkdir()
    assert [track.name for track in folder_tracks(tmp_path / "train")] == ["7f1c"]


def test_a_mapped_set_is_stored(tmp_path: Path) -> None:
    moises(tmp_path / "set")
    moises(tmp_path / "set", "train/unknown target")
    (tmp_path / "set" / "train" / "unknown target" / "stems.toml").write_text('[targets]\nguitar = ["guitar"]\n')
    store = build_store(
        tmp_path / "store", [open_dataset(tmp_path / "set")], sources=("drums", "other"), sample_rate=RATE
    )
    assert [track.name for track in store.recordings] == ["7f1c"]
    np.testing.assert_allclose(store.samples[0, :, 0].numpy() / 32768, [0.3, 0.06], atol=1e-4)
    (skipped,) = store.skipped
    assert skipped.name == "unknown target"
    assert skipped.reason == "stems.toml has the target 'guitar'; training knows vocals, drums, bass, other"


@pytest.mark.parametrize("change", ["map", "file", "nothing"])
def test_the_fingerprint_covers_the_map_and_the_files_in_subfolders(change: str, tmp_path: Path) -> None:
    folder = moises(tmp_path / "set")
    before = fingerprint([open_dataset(tmp_path / "set")])
    if change == "map":
        (tmp_path / "set" / "stems.toml").write_text(MOISES.replace('"percussion"', '"drum*"'))
    elif change == "file":
        constant(folder / "guitar" / "ab12.wav", 0.02, frames=99)
    assert (fingerprint([open_dataset(tmp_path / "set")]) == before) == (change == "nothing")


# -- reading ---------------------------------------------------------------------------------------


def test_the_measured_format_equals_the_decoded_one(tmp_path: Path) -> None:
    constant(tmp_path / "vocals.wav", -0.5, frames=70000)
    found = measure_stem(find_stems(tmp_path), tmp_path / "vocals.wav")
    assert (found.sample_rate, found.channels, found.frames) == (RATE, 2, 70000)


def test_the_stem_with_a_different_format_is_named(tmp_path: Path) -> None:
    for source, frames in (("vocals", 90), ("drums", 100), ("bass", 100), ("other", 100)):
        constant(tmp_path / f"{source}.wav", 0.1, frames=frames)
    with pytest.raises(ValueError, match=r"^'vocals\.wav' has 90 samples where 'drums\.wav' has 100$"):
        read_stems(find_stems(tmp_path))


def test_a_track_without_a_length_in_its_header_has_a_duration(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "vocals.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 44100), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    track = FolderTrack(name="a", path=tmp_path, sources=("vocals",))
    assert track.duration == pytest.approx(1.0, abs=0.05)
