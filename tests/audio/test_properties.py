"""What holds for files of any rate, number of channels, length, excerpt and damage."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from separation.audio.encoding import StemWriter
from separation.audio.files import Recording, read
from separation.audio.stream import AudioError
from tests.audio.helpers import noise, resample

#: The same examples every time.
few = settings(max_examples=30, deadline=None, derandomize=True, database=None)

LOSSLESS = ("WAV", "WAVEX", "W64", "RF64", "AIFF", "CAF", "AU", "FLAC")


@dataclass(frozen=True)
class Sound:
    """A file to write: container, subtype and form of the sound."""

    format: str
    subtype: str
    rate: int
    channels: int
    frames: int

    def write(self, path: Path) -> np.ndarray:
        """Write noise, (channels, time), and return it."""
        samples = np.round(noise(self.frames, self.channels) * 32768).clip(-32768, 32767) / 32768
        soundfile.write(path, samples, self.rate, format=self.format, subtype=self.subtype)
        return samples.T.astype(np.float32)


lossless = st.builds(
    Sound,
    format=st.sampled_from(LOSSLESS),
    subtype=st.sampled_from(("PCM_16", "PCM_24")),
    rate=st.one_of(st.sampled_from((44100, 96000, 192000)), st.integers(1000, 65535)),  # FLAC has no odd higher rates
    channels=st.integers(1, 8),
    frames=st.integers(1, 6000),
)

lossy = st.one_of(
    st.builds(
        Sound,
        format=st.just("OGG"),
        subtype=st.just("VORBIS"),
        rate=st.integers(8000, 96000),
        channels=st.integers(1, 8),
        frames=st.integers(1, 6000),
    ),
    st.builds(
        Sound,
        format=st.just("OGG"),
        subtype=st.just("OPUS"),
        rate=st.sampled_from((8000, 12000, 16000, 24000, 48000)),
        channels=st.integers(1, 8),
        frames=st.integers(1, 6000),
    ),
    st.builds(
        Sound,
        format=st.just("MP3"),
        subtype=st.just("MPEG_LAYER_III"),
        rate=st.sampled_from((8000, 11025, 16000, 22050, 32000, 44100, 48000)),
        channels=st.integers(1, 2),
        frames=st.integers(600, 6000),  # FFmpeg is wrong about less than a frame of MP3 at low rates
    ),
)

starts = st.floats(0, 1.5)
durations = st.one_of(st.none(), st.floats(1e-6, 2))


@contextmanager
def some_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "song"


def assert_excerpt_is_slice(path: Path, whole: torch.Tensor, rate: int, start: float, duration: float | None) -> None:
    first = round(start * rate)
    last = whole.shape[1] if duration is None else first + max(1, round(duration * rate))
    if first >= whole.shape[1]:
        try:
            read(path, start=start, duration=duration)
        except AudioError as error:
            assert "the audio ends at" in str(error)
            return
        raise AssertionError("an excerpt beyond the end was read")
    assert torch.equal(read(path, start=start, duration=duration).waveform, whole[:, first:last])


@few
@given(sound=lossless, start=starts, duration=durations)
def test_lossless_files_are_read_exactly_from_any_start(sound: Sound, start: float, duration: float | None) -> None:
    with some_file() as path:
        samples = torch.from_numpy(sound.write(path))
        audio = read(path, strict=True)
        assert (audio.sample_rate, audio.warnings) == (sound.rate, ())
        assert torch.equal(audio.waveform, samples)
        assert_excerpt_is_slice(path, samples, sound.rate, start, duration)


@few
@given(sound=lossy, start=starts, duration=durations)
def test_lossy_files_keep_the_written_length(sound: Sound, start: float, duration: float | None) -> None:
    with some_file() as path:
        sound.write(path)
        audio = read(path, strict=True)
        assert audio.channels == sound.channels
        # Opus always works at 48 kHz or a rate that divides it.
        assert audio.frames == sound.frames * audio.sample_rate // sound.rate
        assert_excerpt_is_slice(path, audio.waveform, audio.sample_rate, start, duration)


@few
@given(sound=lossless, fraction=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_gives_its_beginning(sound: Sound, fraction: float) -> None:
    with some_file() as path:
        samples = torch.from_numpy(sound.write(path))
        content = path.read_bytes()
        path.write_bytes(content[: int(fraction * len(content))])
        try:
            audio = read(path)
        except AudioError as error:
            assert str(error).startswith("cannot read 'song': ")
            return
        assert 0 < audio.frames <= sound.frames
        if sound.format != "FLAC":  # what a cut takes of a frame of FLAC may be replaced by silence
            assert torch.equal(audio.waveform, samples[:, : audio.frames])
        assert audio.warnings or audio.frames >= sound.frames - 1  # a few bytes of one sample
        with Recording(path, path.parent) as recording:
            assert torch.equal(recording.read(0, recording.frames), audio.waveform)


@few
@given(sound=st.one_of(lossless, lossy), junk=st.binary(min_size=1, max_size=3000))
def test_trailing_junk_changes_nothing(sound: Sound, junk: bytes) -> None:
    with some_file() as path:
        sound.write(path)
        whole = read(path).waveform
        path.write_bytes(path.read_bytes() + junk)
        audio = read(path)
        assert torch.equal(audio.waveform[:, : audio.frames - 2 * 1152], whole[:, : audio.frames - 2 * 1152])
        if sound.format != "MP3":  # where junk may be taken for a frame
            assert audio.frames == whole.shape[1]


@few
@given(sound=st.one_of(lossless, lossy), junk=st.binary(min_size=1, max_size=3000))
def test_leading_junk_gives_audio_or_an_audio_error(sound: Sound, junk: bytes) -> None:
    with some_file() as path:
        sound.write(path)
        path.write_bytes(junk + path.read_bytes())
        try:
            assert read(path).frames > 0
        except AudioError as error:
            assert str(error).startswith("cannot read 'song': ")
            assert "\n" not in str(error)


@few
@given(
    format=st.sampled_from(("wav", "flac", "ogg", "mp3")),
    rate=st.sampled_from((8000, 22050, 44100, 48000)),
    channels=st.integers(1, 2),
    frames=st.integers(600, 9000),
    level=st.floats(0.01, 4),
    block=st.integers(1, 9000),
)
def test_written_stems_keep_their_length(
    format: str, rate: int, channels: int, frames: int, level: float, block: int
) -> None:
    stems = level * torch.from_numpy(np.stack([noise(frames, channels, seed=seed).T for seed in range(2)])).float()
    with tempfile.TemporaryDirectory() as folder:
        writer = StemWriter(Path(folder), ("a", "b"), channels=channels, sample_rate=rate, format=format)
        for part in stems.split(block, dim=-1):
            writer.write(part)
        gain = writer.finish()
        assert 0 < gain <= 1
        for source, stem in zip("ab", stems, strict=True):
            audio = read(Path(folder) / f"{source}.{format}", strict=True)
            assert (audio.sample_rate, *audio.waveform.shape) == (rate, channels, frames)
            if format in ("wav", "flac"):
                assert torch.allclose(audio.waveform, gain * stem, atol=2**-22)


@few
@given(frames=st.integers(1, 3000), old=st.integers(8000, 96000), new=st.integers(8000, 96000))
def test_resampling_has_an_exact_length(frames: int, old: int, new: int) -> None:
    waveform = torch.from_numpy(noise(frames, 1).T).float()
    assert resample(waveform, old, new).shape == (1, -(-frames * new // old))
