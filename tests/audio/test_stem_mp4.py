"""Native Instruments' stem files are read without any program, at 16 bits; bad ones are named."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from separation.audio.stem_mp4 import TRACKS, read_stem_mp4, stem_mp4_duration, write_stem_mp4

RATE = 44100
FRAMES = 40 * 1024  # whole AAC frames: no padding at the end


def tone(number: int, frames: int = FRAMES, channels: int = 2) -> np.ndarray:
    """A tone of a frequency of its own, (time, channels)."""
    wave = 0.3 * np.sin(2 * np.pi * 300 * (number + 1) * np.arange(frames) / RATE)
    return np.repeat(wave[:, None], channels, axis=1)


@pytest.fixture
def stem_file(tmp_path: Path) -> Path:
    for number, name in enumerate(TRACKS):
        soundfile.write(tmp_path / f"{name}.wav", tone(number), RATE)
    stems = {name: tmp_path / f"{name}.wav" for name in TRACKS[1:]}
    return write_stem_mp4(tmp_path / "夢 song.stem.mp4", tmp_path / "mixture.wav", stems)


def write_tracks(path: Path, waves: Sequence[np.ndarray], rates: Mapping[int, int] = {}) -> Path:
    """Write lossless tracks into an MP4; `rates` says which are not at 44.1 kHz."""
    with av.open(str(path), "w", format="mp4") as container:
        layouts = ["mono" if wave.shape[1] == 1 else "stereo" for wave in waves]
        streams = [
            container.add_stream("alac", rate=rates.get(number, RATE), layout=layout)
            for number, layout in enumerate(layouts)
        ]
        for stream, layout, wave in zip(streams, layouts, waves, strict=True):
            samples = np.ascontiguousarray((wave * 32768).astype(np.int16).T)
            frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = stream.rate, 0, Fraction(1, stream.rate)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def test_written_tracks_are_read_in_order_without_any_program(stem_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    tracks, rate = read_stem_mp4(stem_file)
    assert rate == RATE
    assert tuple(tracks) == TRACKS
    assert stem_mp4_duration(stem_file) == pytest.approx(FRAMES / RATE, abs=0.05)
    for number, wave in enumerate(tracks.values()):
        assert wave.dtype == np.float32
        assert wave.shape == (2, FRAMES)
        np.testing.assert_allclose(wave[:, 4096:-4096], tone(number).T[:, 4096:-4096], atol=0.01)


def test_samples_are_rounded_to_16_bits(stem_file: Path) -> None:
    for wave in read_stem_mp4(stem_file)[0].values():
        steps = wave.astype(np.float64) * 32768
        np.testing.assert_array_equal(steps, np.rint(steps))


def test_lossless_tracks_are_read_exactly(tmp_path: Path) -> None:
    waves = [np.round(tone(number, 4096, channels=1) * 32768) / 32768 for number in range(5)]
    tracks, _ = read_stem_mp4(write_tracks(tmp_path / "a.stem.mp4", waves))
    for wave, expected in zip(tracks.values(), waves, strict=True):
        np.testing.assert_array_equal(wave, expected.T)


@pytest.mark.parametrize(
    ("odd", "rates"),
    [(tone(4, 2048), {}), (tone(4, 4096, channels=1), {}), (tone(4, 4096), {4: 48000})],
    ids=["length", "channels", "sample rate"],
)
def test_tracks_that_do_not_fit_each_other_are_refused(odd: np.ndarray, rates: dict[int, int], tmp_path: Path) -> None:
    waves = [*(tone(number, 4096) for number in range(4)), odd]
    with pytest.raises(ValueError, match=r"tracks of 'a\.stem\.mp4' differ in sample rate, channels or length"):
        read_stem_mp4(write_tracks(tmp_path / "a.stem.mp4", waves, rates))


def test_a_damaged_track_is_named(stem_file: Path) -> None:
    """Bytes in the middle of the compressed audio are replaced; the index is intact."""
    data = bytearray(stem_file.read_bytes())
    middle = data.index(b"mdat") + 20_000
    data[middle : middle + 30_000] = b"\xff" * 30_000
    stem_file.write_bytes(data)
    with pytest.raises(ValueError, match=r"cannot read '夢 song\.stem\.mp4': it is damaged"):
        read_stem_mp4(stem_file)


def test_a_file_of_four_tracks_is_refused(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.stem.mp4", [tone(number, 4096) for number in range(4)])
    for read in (read_stem_mp4, stem_mp4_duration):
        with pytest.raises(ValueError, match="holds 4 streams; a stem file has 5: mixture, drums, bass, other, vocals"):
            read(path)
