"""Audio in memory and recordings on disk."""

from __future__ import annotations

import errno
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from separation.audio.files import Recording, read
from separation.audio.signal import Audio
from separation.audio.stream import AudioError, AudioStream
from tests.audio.helpers import EVERY, RATE, chord, write_soundfile


@pytest.mark.parametrize(
    ("waveform", "rate"),
    [
        (torch.zeros(100), RATE),
        (torch.zeros(1, 2, 100), RATE),
        (torch.zeros(2, 100, dtype=torch.float64), RATE),
        (torch.zeros(2, 0), RATE),
        (torch.zeros(0, 100), RATE),
        (torch.zeros(9, 100), RATE),
        (torch.zeros(2, 100), 0),
        (torch.full((2, 100), torch.nan), RATE),
        (torch.full((2, 100), torch.inf), RATE),
    ],
)
def test_audio_refuses_invalid_waveforms_and_rates(waveform: Tensor, rate: int) -> None:
    with pytest.raises(AudioError):
        Audio(waveform=waveform, sample_rate=rate)


@pytest.mark.parametrize("kind", EVERY)
def test_a_recording_equals_the_decoded_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"song.{kind}"
    EVERY[kind](path, chord())
    whole = read(path)
    with Recording(path, tmp_path) as recording:
        assert (recording.channels, recording.sample_rate) == (whole.channels, whole.sample_rate)
        assert recording.frames == whole.frames
        assert recording.duration == whole.duration
        assert recording.digest() == whole.digest()
        for start, stop in ((5, 5), (0, whole.frames), (100, 7000), (3, 4)):  # in any order
            assert torch.equal(recording.read(start, stop), whole.waveform[:, start:stop])
    assert sorted(tmp_path.iterdir()) == [path]


def test_an_excerpt_of_a_recording(tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", chord(), "WAV", "FLOAT")
    with Recording(tmp_path / "song.wav", tmp_path, start=0.1, duration=0.05) as recording:
        assert recording.frames == round(0.05 * RATE)
        excerpt = read(tmp_path / "song.wav", start=0.1, duration=0.05)
        assert torch.equal(recording.read(0, recording.frames), excerpt.waveform)


def blocks_then(event: threading.Event, *more: np.ndarray | Exception) -> Iterator[np.ndarray]:
    yield np.zeros((2, 1000), dtype=np.float32)
    event.wait(10)
    for block in more:
        if isinstance(block, Exception):
            raise block
        yield block


def recording_of(
    blocks: Iterator[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, frames: int | None = 2000
) -> Recording:
    from contextlib import nullcontext

    decoded = AudioStream(sample_rate=RATE, channels=2, frames=frames, blocks=blocks)
    monkeypatch.setattr("separation.audio.files.open_audio", lambda path, **excerpt: nullcontext(decoded))
    return Recording("song.wav", tmp_path)


def test_a_recording_can_be_read_while_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = threading.Event()
    with recording_of(blocks_then(more, np.ones((2, 1000), dtype=np.float32)), tmp_path, monkeypatch) as recording:
        assert recording.frames == 2000  # the file tells
        assert not recording.read(0, 1000).any()
        more.set()
        assert recording.read(1000, 2000).all()


def test_an_unknown_length_waits_for_the_whole_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = threading.Event()
    threading.Timer(0.2, more.set).start()
    blocks = blocks_then(more, np.ones((2, 500), dtype=np.float32))
    with recording_of(blocks, tmp_path, monkeypatch, frames=None) as recording:
        assert recording.frames == 1500
        with pytest.raises(ValueError, match="there are 1500"):
            recording.read(1400, 1600)


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (AudioError("cannot read 'song.wav': its audio is cut off or damaged"), "cut off"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space"),
        (np.full((2, 10), np.nan, dtype=np.float32), r"the sample at 0\.02 s is NaN or infinite"),
    ],
)
def test_decoding_errors_are_raised_when_the_affected_part_is_read(
    trouble: Exception | np.ndarray, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = threading.Event()
    with recording_of(blocks_then(more, trouble), tmp_path, monkeypatch) as recording:
        assert not recording.read(0, 1000).any()
        more.set()
        for use in (lambda: recording.read(1000, 2000), recording.digest):
            with pytest.raises((AudioError, OSError), match=expected):
                use()


def test_closing_a_recording_stops_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal asked
        while True:
            asked += 1
            yield np.zeros((2, 10), dtype=np.float32)

    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    recording_of(endless(), tmp_path, monkeypatch).close()
    seen = asked
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
    assert asked == seen


def test_a_recording_is_pickled_as_audio_in_memory(tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", chord(), "WAV", "FLOAT")
    with Recording(tmp_path / "song.wav", tmp_path) as recording:
        there = pickle.loads(pickle.dumps(recording))
    assert isinstance(there, Audio)
    assert torch.equal(there.waveform, read(tmp_path / "song.wav").waveform)


def test_files_without_audio_are_refused_immediately(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_text("nothing")
    with pytest.raises(AudioError, match=r"cannot read 'song\.wav'"):
        Recording(tmp_path / "song.wav", tmp_path)
