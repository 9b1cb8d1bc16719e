"""Sound in memory and on disk is the same sound; its rate and channels change without a trace."""

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

from separation.audio import resampling
from separation.audio.channels import ChannelMix, downmix
from separation.audio.files import Recording, read
from separation.audio.resampling import ResampledSignal, Resampler, resample
from separation.audio.signal import Audio, TensorSignal
from separation.audio.stream import AudioError, AudioStream
from tests.audio.test_decoding import EVERY, RATE, chord, write_soundfile
from tests.conftest import snr

# -- Audio -----------------------------------------------------------------------------------------


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
def test_audio_refuses_what_it_cannot_be(waveform: Tensor, rate: int) -> None:
    with pytest.raises(AudioError):
        Audio(waveform=waveform, sample_rate=rate)


# -- rate ------------------------------------------------------------------------------------------

RATES = [(8000, 44100), (44100, 8000), (22050, 44100), (44100, 48000), (48000, 44100), (192000, 44100)]


def tone(frequency: float, frames: int, rate: int) -> Tensor:
    return torch.sin(2 * torch.pi * frequency * torch.arange(frames, dtype=torch.float64) / rate).float()[None]


@pytest.mark.parametrize(("old", "new"), RATES)
def test_a_tone_is_the_same_tone_at_another_rate(old: int, new: int) -> None:
    frames = old // 4
    result = resample(tone(1000.0, frames, old), old, new)
    assert result.shape == (1, -(-frames * new // old))
    inside = slice(new // 50, -new // 50)  # the ends ring, as those of any cut tone do
    assert snr(result[:, inside], tone(1000.0, result.shape[1], new)[:, inside]) > 100


@pytest.mark.parametrize(("old", "new"), [(48000, 44100), (192000, 44100), (44100, 8000)])
def test_what_the_new_rate_cannot_hold_is_gone(old: int, new: int) -> None:
    result = resample(tone(0.53 * new, old // 4, old), old, new)
    assert result[:, new // 50 : -new // 50].abs().max() < 1e-6


@pytest.mark.parametrize(("old", "new"), RATES)
def test_resampling_in_blocks_is_resampling_at_once(old: int, new: int) -> None:
    waveform = torch.from_numpy(chord(7919, 2, old).T.astype(np.float32))
    length = -(-7919 * new // old)
    stream = Resampler(2, old, new, frames=length)
    blocks = [stream(block) for block in waveform.split(1000, dim=1)[:-1]]
    blocks.append(stream(waveform[:, 7000:], last=True))
    assert torch.allclose(torch.cat(blocks, 1), resample(waveform, old, new), atol=1e-6)


def test_the_same_rate_changes_nothing() -> None:
    waveform = torch.rand(2, 100)
    assert torch.equal(resample(waveform, RATE, RATE), waveform)
    assert torch.equal(Resampler(2, RATE, RATE, frames=100)(waveform, last=True), waveform)


@pytest.mark.parametrize("rate", [8000, 48000, 192000])
def test_one_sample_survives_any_rate(rate: int) -> None:
    there = resample(torch.ones(1, 1), rate, RATE)
    assert there.shape == (1, max(1, -(-RATE // rate)))
    assert Resampler(1, RATE, rate, frames=1)(there, last=True).shape == (1, 1)


# -- channels --------------------------------------------------------------------------------------

A = 0.7071067811865476  # -3 dB
#: What each channel, in WAVE order, adds to the left and to the right, worked out by hand from BS.775.
LEFT = {
    3: [1, 0, A],
    4: [1, 0, A, 0],
    5: [1, 0, A, A, 0],
    6: [1, 0, A, 0, A, 0],
    7: [1, 0, A, 0, 0.5, A, 0],
    8: [1, 0, A, 0, A, 0, A, 0],
}
RIGHT = {
    3: [0, 1, A],
    4: [0, 1, 0, A],
    5: [0, 1, A, 0, A],
    6: [0, 1, A, 0, 0, A],
    7: [0, 1, A, 0, 0.5, 0, A],
    8: [0, 1, A, 0, 0, A, 0, A],
}


@pytest.mark.parametrize("channels", range(3, 9))
def test_more_than_two_channels_become_two(channels: int) -> None:
    stereo = downmix(torch.eye(channels))  # each channel alone, one after the other
    assert torch.allclose(stereo, torch.tensor([LEFT[channels], RIGHT[channels]], dtype=torch.float32))


@pytest.mark.parametrize("channels", [1, 2])
def test_one_and_two_channels_are_not_mixed(channels: int) -> None:
    waveform = torch.rand(channels, 10)
    assert torch.equal(downmix(waveform), waveform)


# -- on disk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
def test_a_recording_is_what_reading_gives(kind: str, tmp_path: Path) -> None:
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


def test_the_beginning_can_be_read_while_the_rest_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = threading.Event()
    with recording_of(blocks_then(more, np.ones((2, 1000), dtype=np.float32)), tmp_path, monkeypatch) as recording:
        assert recording.frames == 2000  # the file tells
        assert not recording.read(0, 1000).any()
        more.set()
        assert recording.read(1000, 2000).all()


def test_who_does_not_tell_the_length_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        (AudioError("cannot read 'song.wav': its sound is cut off or damaged"), "cut off"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space"),
        (np.full((2, 10), np.nan, dtype=np.float32), r"the sample at 0\.02 s is NaN or infinite"),
    ],
)
def test_trouble_comes_where_it_matters(
    trouble: Exception | np.ndarray, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = threading.Event()
    with recording_of(blocks_then(more, trouble), tmp_path, monkeypatch) as recording:
        assert not recording.read(0, 1000).any()
        more.set()
        for use in (lambda: recording.read(1000, 2000), recording.digest):
            with pytest.raises((AudioError, OSError), match=expected):
                use()


def test_a_recording_that_is_closed_stops_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_another_process_gets_a_recording_in_memory(tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", chord(), "WAV", "FLOAT")
    with Recording(tmp_path / "song.wav", tmp_path) as recording:
        there = pickle.loads(pickle.dumps(recording))
    assert isinstance(there, Audio)
    assert torch.equal(there.waveform, read(tmp_path / "song.wav").waveform)


def test_what_is_no_sound_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_text("nothing")
    with pytest.raises(AudioError, match=r"cannot read 'song\.wav'"):
        Recording(tmp_path / "song.wav", tmp_path)


# -- signals read piece by piece ---------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), RATES)
def test_resampling_as_it_is_read_is_resampling_at_once(old: int, new: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_BLOCK", 1000)
    waveform = torch.from_numpy(chord(30000).T.astype(np.float32))
    expected = resample(waveform, old, new)
    signal = ResampledSignal(TensorSignal(waveform), old, new)
    assert (signal.channels, signal.frames) == tuple(expected.shape)
    end = signal.frames
    for start, stop in ((0, 10), (5, end // 2), (end // 3, end // 2 + 7), (end - 5, end), (0, end), (end, end)):
        assert torch.allclose(signal.read(start, stop), expected[:, start:stop], atol=1e-6)


def test_going_back_by_less_than_a_second_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_BLOCK", 1000)
    reads: list[int] = []

    class Counted(TensorSignal):
        def read(self, start: int, stop: int) -> Tensor:
            reads.append(start)
            return super().read(start, stop)

    signal = ResampledSignal(Counted(torch.zeros(1, 300_000)), 48000, 44100)
    for start in range(0, 200_000, 20_000):
        signal.read(start, start + 30_000)
        signal.read(max(0, start - 40_000), start)
    assert reads == sorted(set(reads))  # every part once, one after the other


def test_other_channels_as_it_is_read() -> None:
    waveform = torch.arange(12.0).reshape(2, 6)
    signal = ChannelMix(TensorSignal(waveform), 1, lambda part: part.mean(0, keepdim=True))
    assert (signal.channels, signal.frames) == (1, 6)
    assert torch.equal(signal.read(2, 4), waveform[:, 2:4].mean(0, keepdim=True))
