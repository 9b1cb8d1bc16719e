"""Stores: equal to their files, resumable after interruption, and checked for damage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from separation.datasets.dataset import Dataset, open_dataset
from separation.datasets.musdb18 import Track
from separation.datasets.stem_folders import FolderTrack
from separation.datasets.store import StemStore, StoredTrack, build_store

RATE = 8000
SOURCES = ("vocals", "drums")
CLIPS = ("ANiMAL - Easy Tiger", "Actions - Devil's Words")


def write_track(folder: Path, *, rate: int = RATE, subtype: str = "PCM_16", **stems: NDArray[np.float64]) -> None:
    """Write stems of shape (time,) or (time, channels)."""
    folder.mkdir(parents=True)
    for source, wave in stems.items():
        soundfile.write(folder / f"{source}.wav", wave, rate, subtype=subtype)


def noise(seed: int, frames: int, channels: int = 2) -> NDArray[np.float64]:
    """Convert a waveform to 16-bit integers."""
    return np.random.default_rng(seed).integers(-20000, 20000, (frames, channels)) / 32768


def sine(frequency: float, frames: int, rate: int) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency / rate * np.arange(frames))


def stored(
    folder: Path,
    tracks: Path,
    *,
    sources: Sequence[str] = SOURCES,
    rate: int = RATE,
    channels: int = 2,
    speeds: Sequence[float] = (1.0,),
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> StemStore:
    return build_store(
        folder,
        [open_dataset(tracks)],
        sources=sources,
        sample_rate=rate,
        channels=channels,
        speeds=speeds,
        progress=progress,
    )


def whole_numbers(wave: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.rint(wave * 32768).astype(np.int16)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Return a folder of three tracks; one has no drums."""
    root = tmp_path / "music"
    write_track(root / "a", vocals=noise(1, 700), drums=noise(2, 700))
    write_track(root / "b", vocals=noise(3, 500))
    write_track(root / "c", vocals=noise(4, 300), drums=noise(5, 300))
    return root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the names of the decoded tracks, in order."""
    names: list[str] = []
    original = FolderTrack.read

    def read(self: FolderTrack) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        names.append(self.name)
        return original(self)

    monkeypatch.setattr(FolderTrack, "read", read)
    return names


def test_recordings_are_stored_end_to_end(tmp_path: Path, music: Path) -> None:
    store = stored(tmp_path / "store", music)
    assert [(r.name, r.collection, r.speed, r.start, r.frames) for r in store.recordings] == [
        ("a", "music", 1.0, 0, 700),
        ("b", "music", 1.0, 700, 500),
        ("c", "music", 1.0, 1200, 300),
    ]
    assert store.samples.shape == (1500, 2, 2)
    assert store.samples.dtype == torch.int16
    assert store.bytes == (tmp_path / "store" / "samples.int16").stat().st_size == 1500 * 2 * 2 * 2
    assert (store.sources, store.sample_rate, store.device.type) == (SOURCES, RATE, "cpu")
    np.testing.assert_array_equal(store.samples[:700, 0], whole_numbers(noise(1, 700)))
    np.testing.assert_array_equal(store.samples[:700, 1], whole_numbers(noise(2, 700)))
    np.testing.assert_array_equal(store.samples[1200:, 1], whole_numbers(noise(5, 300)))


def test_sources_are_stored_in_the_given_order(tmp_path: Path, music: Path) -> None:
    store = stored(tmp_path / "store", music, sources=["drums", "bass", "vocals"])
    assert store.sources == ("drums", "bass", "vocals")
    assert store.recordings[0].sources == ("drums", "vocals")
    np.testing.assert_array_equal(store.samples[:700, 2], whole_numbers(noise(1, 700)))
    np.testing.assert_array_equal(store.samples[:700, 0], whole_numbers(noise(2, 700)))
    assert not store.samples[:, 1].any()


def test_a_missing_source_is_silent(tmp_path: Path, music: Path) -> None:
    store = stored(tmp_path / "store", music)
    assert [r.sources for r in store.recordings] == [SOURCES, ("vocals",), SOURCES]
    assert not store.samples[700:1200, 1].any()
    assert store.samples[700:1200, 0].any()


def test_samples_are_rounded_and_clipped(tmp_path: Path) -> None:
    steps = [0.4, 0.6, -0.4, -0.6, 1000.5, 1001.5, -2.7, 32766.6, 32767, 32768, 49152, -32767.7, -32768, -49152]
    expected = [0, 1, 0, -1, 1000, 1002, -3, 32767, 32767, 32767, 32767, -32768, -32768, -32768]
    write_track(tmp_path / "music" / "a", subtype="FLOAT", vocals=np.array(steps)[:, None] / 32768)
    store = stored(tmp_path / "store", tmp_path / "music", channels=1)
    assert store.samples[:, 0, 0].tolist() == expected


def test_mono_is_copied_to_every_channel(tmp_path: Path) -> None:
    write_track(tmp_path / "music" / "a", vocals=noise(1, 100, 1), drums=noise(2, 100, 1))
    store = stored(tmp_path / "store", tmp_path / "music")
    for channel in range(2):
        np.testing.assert_array_equal(store.samples[:, 0, channel], whole_numbers(noise(1, 100, 1))[:, 0])
        np.testing.assert_array_equal(store.samples[:, 1, channel], whole_numbers(noise(2, 100, 1))[:, 0])


@pytest.mark.parametrize(("held", "wanted"), [(2, 1), (3, 2)])
def test_other_numbers_of_channels_are_refused(held: int, wanted: int, tmp_path: Path) -> None:
    write_track(tmp_path / "music" / "a", vocals=noise(1, 100, held))
    with pytest.raises(ValueError, match=f"the first is 'a': vocals has {held} channels, not {wanted}"):
        stored(tmp_path / "store", tmp_path / "music", channels=wanted)


def test_inaudible_stems_are_not_listed_as_sources(tmp_path: Path) -> None:
    """Stems with a peak of up to 300 steps count as silence; their samples are stored nevertheless."""
    quiet, loud, full = (np.zeros((100, 2)) for _ in range(3))
    quiet[40] = 300 / 32768, -300 / 32768
    loud[99, 1] = -301 / 32768
    full[0, 0] = -1
    write_track(tmp_path / "music" / "a", vocals=quiet, drums=loud, bass=full, other=np.zeros((100, 2)))
    store = stored(tmp_path / "store", tmp_path / "music", sources=("vocals", "drums", "bass", "other"))
    assert store.recordings[0].sources == ("drums", "bass")
    assert store.samples[40, 0].tolist() == [300, -300]


@pytest.mark.parametrize(("rate", "frames"), [(22050, 22050), (48000, 48000), (32000, 16001)])
def test_another_rate_keeps_pitch_and_duration(rate: int, frames: int, tmp_path: Path) -> None:
    vocals, drums = sine(440, frames, rate), sine(1000, frames, rate)
    write_track(
        tmp_path / "music" / "a", rate=rate, vocals=np.stack([vocals, -vocals], 1), drums=np.stack([drums] * 2, 1)
    )
    store = stored(tmp_path / "store", tmp_path / "music", rate=44100)
    expected = frames * 44100 / rate
    assert store.recordings[0].frames == pytest.approx(expected, abs=1)
    samples = store.samples.numpy() / 32768
    for source, channel, frequency, sign in ((0, 0, 440, 1), (0, 1, 440, -1), (1, 0, 1000, 1), (1, 1, 1000, 1)):
        ideal = sign * sine(frequency, len(samples), 44100)
        np.testing.assert_allclose(samples[1000:-1000, source, channel], ideal[1000:-1000], atol=1e-3)


def test_every_recording_is_stored_at_every_speed(tmp_path: Path) -> None:
    for name, pitch in (("a", 300), ("b", 500)):
        wave = sine(pitch, 4000, RATE)
        write_track(tmp_path / "music" / name, vocals=np.stack([wave, -wave], 1), drums=np.stack([0.5 * wave, wave], 1))
    store = stored(tmp_path / "store", tmp_path / "music", speeds=(1.0, 0.8, 1.25))
    assert [(r.name, r.speed, r.frames) for r in store.recordings] == [
        (name, speed, frames) for name in "ab" for speed, frames in ((1.0, 4000), (0.8, 5000), (1.25, 3200))
    ]
    assert [r.start for r in store.recordings] == [0, 4000, 9000, 12200, 16200, 21200]
    for recording in store.recordings:
        ideal = sine((300 if recording.name == "a" else 500) * recording.speed, recording.frames, RATE)
        for source, channel, factor in ((0, 0, 1.0), (0, 1, -1.0), (1, 0, 0.5), (1, 1, 1.0)):
            samples = store.samples[recording.start :][: recording.frames, source, channel].numpy() / 32768
            np.testing.assert_allclose(samples[200:-200], factor * ideal[200:-200], atol=1e-3)


def test_a_track_is_decoded_once_for_all_its_speeds(tmp_path: Path, music: Path, reads: list[str]) -> None:
    stored(tmp_path / "store", music, speeds=(1.0, 0.8, 1.25))
    assert reads == ["a", "b", "c"]


def read_excerpt(store: StemStore, recording: int, source: int, start: int, length: int) -> Tensor:
    recordings, sources, starts = (torch.tensor([number]) for number in (recording, source, start))
    return store.excerpts(recordings, sources, starts, length)[0]


@pytest.mark.parametrize("length", [1, 50, 500, 600])
def test_excerpts_are_zero_beyond_both_ends(length: int, tmp_path: Path, music: Path) -> None:
    """Excerpts of the recording in the middle must not contain its neighbours."""
    store = stored(tmp_path / "store", music)
    whole = np.zeros((2, 3000), np.float32)
    whole[:, 1000:1500] = noise(3, 500).T
    for start in (-1000, -601, -600, -599, -50, -49, -1, 0, 1, 449, 450, 451, 499, 500, 501, 999):
        excerpt = read_excerpt(store, 1, 0, start, length)
        assert (excerpt.dtype, excerpt.shape) == (torch.float32, (2, length))
        np.testing.assert_array_equal(excerpt, whole[:, 1000 + start : 1000 + start + length])


def test_an_excerpt_is_of_the_requested_source(tmp_path: Path, music: Path) -> None:
    store = stored(tmp_path / "store", music)
    excerpt = read_excerpt(store, 2, 1, 10, 20)
    np.testing.assert_array_equal(excerpt, noise(5, 300)[10:30].T)


def test_modifying_excerpts_and_samples_does_not_change_the_file(tmp_path: Path, music: Path) -> None:
    store = stored(tmp_path / "store", music)
    read_excerpt(store, 0, 0, 0, 700).zero_()
    np.testing.assert_array_equal(store.samples[:700, 0], whole_numbers(noise(1, 700)))
    store.samples.zero_()
    assert StemStore(tmp_path / "store").samples.any()


class Interrupted(Exception):  # noqa: N818
    pass


def interrupt_at(moment: int) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, name: str) -> None:
        if done == moment:
            raise Interrupted

    return progress


def contents(folder: Path) -> tuple[bytes, str]:
    return (folder / "samples.int16").read_bytes(), (folder / "store.json").read_text()


@pytest.mark.parametrize("left_behind", [b"", b"half of a sample" * 7 + b"!"])
@pytest.mark.parametrize("moment", range(6))
def test_an_interrupted_build_resumes(
    moment: int, left_behind: bytes, tmp_path: Path, music: Path, reads: list[str]
) -> None:
    """Six recordings (three tracks at two speeds), interrupted before any of them; none is decoded twice."""
    uninterrupted = stored(tmp_path / "at once", music, speeds=(1.0, 0.8))
    with pytest.raises(Interrupted):
        stored(tmp_path / "store", music, speeds=(1.0, 0.8), progress=interrupt_at(moment))
    with pytest.raises(ValueError, match="the store 'store' is not complete: build it again"):
        StemStore(tmp_path / "store")
    with (tmp_path / "store" / "samples.int16").open("ab") as file:
        file.write(left_behind)
    reads.clear()
    calls: list[tuple[int, int, str]] = []
    store = stored(tmp_path / "store", music, speeds=(1.0, 0.8), progress=lambda *call: calls.append(call))
    assert reads == list("abc"[moment // 2 :])
    assert calls == [(done, 6, "aabbcc"[done]) for done in range(moment, 6)] + [(6, 6, "")]
    assert contents(tmp_path / "store") == contents(tmp_path / "at once")
    assert store.fingerprint == uninterrupted.fingerprint


def test_a_partly_written_index_is_harmless(tmp_path: Path, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed after the samples of the second recording, while its entry is written."""
    stored(tmp_path / "at once", music)
    write = Path.write_text

    def fail(path: Path, text: str, encoding: str | None = None) -> int:
        if len(json.loads(text)["recordings"]) == 2:
            write(path, text[: len(text) // 2], encoding)
            raise Interrupted
        return write(path, text, encoding)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Path, "write_text", fail)
        stored(tmp_path / "store", music)
    assert (tmp_path / "store" / "samples.int16").stat().st_size == 1200 * 8
    stored(tmp_path / "store", music)
    assert contents(tmp_path / "store") == contents(tmp_path / "at once")


def test_the_samples_of_all_indexed_recordings_are_on_disk_at_any_time(tmp_path: Path, music: Path) -> None:
    held: list[int] = []

    def look(done: int, total: int, name: str) -> None:
        if done:
            samples, index = contents(tmp_path / "store")
            frames = [recording["frames"] for recording in json.loads(index)["recordings"]]
            assert (len(frames), len(samples)) == (done, sum(frames) * 8)
            held.append(done)

    stored(tmp_path / "store", music, progress=look)
    assert held == [1, 2, 3]


def test_a_complete_store_is_only_opened(tmp_path: Path, music: Path, reads: list[str]) -> None:
    first = stored(tmp_path / "store", music)
    before = contents(tmp_path / "store")
    reads.clear()
    again = stored(tmp_path / "store", music, progress=interrupt_at(0))
    assert reads == []
    assert contents(tmp_path / "store") == before
    assert (again.fingerprint, again.recordings) == (first.fingerprint, first.recordings)
    assert torch.equal(again.samples, first.samples)


SCRIPT = """
import sys, time
from pathlib import Path
from separation.datasets.dataset import open_dataset
from separation.datasets.store import build_store

folder, tracks, here, there = map(Path, sys.argv[1:])
collection = open_dataset(tracks)
calls = []
progress = lambda *call: (calls.append(call), time.sleep(0.1))
here.touch()
while not there.exists():
    time.sleep(0.005)
store = build_store(folder, [collection], sources=("vocals", "drums"), sample_rate=8000, progress=progress)
print(store.fingerprint, len(calls))
"""


def test_two_processes_at_once_build_one_store(tmp_path: Path, music: Path) -> None:
    alone = stored(tmp_path / "alone", music)
    here, there = tmp_path / "here", tmp_path / "there"
    calls: list[tuple[int, int, str]] = []

    def progress(*call: int | str) -> None:
        calls.append(call)  # type: ignore[arg-type]
        time.sleep(0.1)

    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "store"), str(music), str(there), str(here)],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        try:
            while not there.exists() and other.poll() is None:
                time.sleep(0.005)
            here.touch()
            store = stored(tmp_path / "store", music, progress=progress)
            output = other.communicate(timeout=300)[0]
        finally:
            other.kill()
    assert other.returncode == 0
    fingerprint, calls_there = output.split()
    assert store.fingerprint == fingerprint == alone.fingerprint
    assert sorted([len(calls), int(calls_there)]) == [0, 4]  # one did it all, the other waited
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")


def test_equal_data_has_an_equal_fingerprint_and_other_data_another(tmp_path: Path, music: Path) -> None:
    fingerprint = stored(tmp_path / "one", music).fingerprint
    assert stored(tmp_path / "two", music).fingerprint == fingerprint
    wave = noise(4, 300)
    wave[299, 1] += 1 / 32768
    soundfile.write(music / "c" / "vocals.wav", wave, RATE, subtype="PCM_16")
    assert stored(tmp_path / "three", music).fingerprint != fingerprint


@pytest.mark.parametrize(("place", "name"), [(0, "a"), (5599, "a"), (5600, "b"), (9601, "c"), (11999, "c")])
def test_one_wrong_byte_is_detected(place: int, name: str, tmp_path: Path, music: Path) -> None:
    stored(tmp_path / "store", music)
    path = tmp_path / "store" / "samples.int16"
    samples = bytearray(path.read_bytes())
    samples[place] ^= 1
    path.write_bytes(samples)
    with pytest.raises(ValueError, match=f"the store 'store' is damaged at '{name}': delete and rebuild it"):
        StemStore(tmp_path / "store")
    with pytest.raises(ValueError, match="damaged"):
        stored(tmp_path / "store", music)


@pytest.mark.parametrize("size", [11999, 11998, 0, 12001, None])
def test_samples_of_another_size_are_detected(size: int | None, tmp_path: Path, music: Path) -> None:
    stored(tmp_path / "store", music)
    path = tmp_path / "store" / "samples.int16"
    samples = path.read_bytes()
    path.unlink()
    if size is not None:
        path.write_bytes((samples + b"?")[:size])
    with pytest.raises(ValueError, match="damaged: its size differs from its index"):
        StemStore(tmp_path / "store")


def test_samples_missing_from_an_incomplete_store_are_detected(tmp_path: Path, music: Path) -> None:
    with pytest.raises(Interrupted):
        stored(tmp_path / "store", music, progress=interrupt_at(2))
    with (tmp_path / "store" / "samples.int16").open("r+b") as file:
        file.truncate(9000)
    with pytest.raises(ValueError, match="damaged at 'b'"):
        stored(tmp_path / "store", music)


def test_a_store_without_its_end_or_its_index_is_incomplete(tmp_path: Path, music: Path) -> None:
    stored(tmp_path / "store", music)
    index = tmp_path / "store" / "store.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"complete": False}))
    with pytest.raises(ValueError, match="not complete"):
        StemStore(tmp_path / "store")
    index.unlink()
    with pytest.raises(ValueError, match="not complete"):
        StemStore(tmp_path / "store")
    with pytest.raises(ValueError, match="not complete"):
        StemStore(tmp_path / "nowhere")


def rename(music: Path) -> None:
    (music / "b").rename(music / "d")


def leave_out(music: Path) -> None:
    shutil.rmtree(music / "c")


def insert_track_first(music: Path) -> None:
    shutil.copytree(music / "a", music / "0")


@pytest.mark.parametrize("change", [rename, leave_out, insert_track_first])
def test_a_folder_with_a_store_of_other_tracks_is_refused(
    change: Callable[[Path], None], tmp_path: Path, music: Path
) -> None:
    stored(tmp_path / "store", music)
    before = contents(tmp_path / "store")
    change(music)
    with pytest.raises(ValueError, match="the folder 'store' holds a store of other tracks or settings"):
        stored(tmp_path / "store", music)
    assert contents(tmp_path / "store") == before


@pytest.mark.parametrize(
    "settings",
    [
        {"sources": ("drums", "vocals")},
        {"sources": ("vocals",)},
        {"rate": 16000},
        {"channels": 1},
        {"speeds": (0.8,)},
        {"speeds": (0.8, 1.0)},
        {"speeds": (1.0, 0.8)},
    ],
)
@pytest.mark.parametrize("moment", [2, None], ids=["unfinished", "finished"])
def test_a_folder_with_a_store_of_other_settings_is_refused(
    settings: dict[str, object], moment: int | None, tmp_path: Path, music: Path
) -> None:
    if moment is None:
        stored(tmp_path / "store", music)
    else:
        with pytest.raises(Interrupted):
            stored(tmp_path / "store", music, progress=interrupt_at(moment))
    before = contents(tmp_path / "store")
    with pytest.raises(ValueError, match="the folder 'store' holds a store of other tracks or settings"):
        stored(tmp_path / "store", music, **settings)  # type: ignore[arg-type]
    assert contents(tmp_path / "store") == before


def test_a_complete_store_does_not_accept_another_track(tmp_path: Path, music: Path) -> None:
    stored(tmp_path / "store", music)
    shutil.copytree(music / "a", music / "d")
    with pytest.raises(ValueError, match="other tracks"):
        stored(tmp_path / "store", music)


def test_tracks_of_another_data_set_are_different_tracks(tmp_path: Path, music: Path) -> None:
    stored(tmp_path / "store", music)
    with pytest.raises(ValueError, match="other tracks"):
        stored(tmp_path / "store", music.rename(tmp_path / "sounds"))


def test_a_complete_store_does_not_accept_another_speed(tmp_path: Path, music: Path) -> None:
    shutil.rmtree(music / "b")
    shutil.rmtree(music / "c")
    stored(tmp_path / "one", music)
    with pytest.raises(ValueError, match="other tracks"):
        stored(tmp_path / "one", music, speeds=(1.0, 0.8))
    stored(tmp_path / "two", music, speeds=(1.0, 0.8))
    with pytest.raises(ValueError, match="other tracks"):
        stored(tmp_path / "two", music)


def test_only_training_tracks_are_stored_one_data_set_after_the_other(tmp_path: Path, music: Path) -> None:
    write_track(tmp_path / "more" / "train" / "z", vocals=noise(9, 100))
    write_track(tmp_path / "more" / "valid" / "v", vocals=noise(9, 100))
    collections = [open_dataset(tmp_path / "more"), open_dataset(music)]
    store = build_store(tmp_path / "store", collections, sources=SOURCES, sample_rate=RATE)
    assert [(r.collection, r.name) for r in store.recordings] == [
        ("more", "z"),
        ("music", "a"),
        ("music", "b"),
        ("music", "c"),
    ]


def test_nothing_to_store_is_refused(tmp_path: Path) -> None:
    nothing = Dataset(name="nothing", train=[], valid=[])
    with pytest.raises(ValueError, match="there are no tracks to store"):
        build_store(tmp_path / "store", [nothing], sources=SOURCES, sample_rate=RATE)


def test_without_a_gpu_samples_are_not_moved(tmp_path: Path, music: Path) -> None:
    store = stored(tmp_path / "store", music)
    assert store.to(torch.device("cpu")) is store
    assert store.device == torch.device("cpu")
    assert isinstance(store.recordings[0], StoredTrack)


@pytest.fixture(scope="module")
def clips(musdb_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a MUSDB18 of two training tracks."""
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("musdb needs ffmpeg and ffprobe")
    root = tmp_path_factory.mktemp("musdb")
    (root / "train").mkdir()
    for name in CLIPS:
        (root / "train" / f"{name}.stem.mp4").symlink_to(musdb_root / "train" / f"{name}.stem.mp4")
    return root


def test_a_store_holds_what_musdb_decodes(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = {}
    read = Track.read

    def remember(self: Track) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        decoded[self.name] = read(self)
        return decoded[self.name]

    monkeypatch.setattr(Track, "read", remember)
    sources = ("bass", "drums", "other", "vocals")
    store = build_store(tmp_path / "store", [open_dataset(clips)], sources=sources, sample_rate=44100)
    import musdb  # refuses to be imported without ffmpeg

    handles = {handle.name: handle for handle in musdb.DB(root=str(clips), subsets=["train"])}
    assert [r.name for r in store.recordings] == sorted(CLIPS)
    for recording, heard in zip(store.recordings, ("vocals", "bass"), strict=True):
        samples = store.samples[recording.start :][: recording.frames].numpy()
        references = decoded[recording.name][1]
        np.testing.assert_array_equal(samples, np.stack([np.rint(references[s].T * 32768) for s in sources], 1))
        through_musdb = handles[recording.name].targets[heard].audio
        np.testing.assert_allclose(samples[:, sources.index(heard)], np.rint(through_musdb * 32768), atol=1)
