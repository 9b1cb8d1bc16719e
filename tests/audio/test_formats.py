"""Every format is read as the ffmpeg program reads it, whole and from the right sample."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from separation.audio.files import read
from tests.audio.helpers import BY_FFMPEG, RATE, ffmpeg, ffmpeg_all, noise, write_soundfile
from tests.conftest import snr

FRAMES = 2 * RATE + 12346  # even, since ffmpeg counts the padding of W64 as sound; several Ogg pages and FLAC frames


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source.wav"
    write_soundfile(path, noise(FRAMES), "WAV", "PCM_16")
    return path


@pytest.fixture(scope="module")
def files(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a file of every format."""
    folder = tmp_path_factory.mktemp("formats")
    ffmpeg_all(
        folder, "-i", source, *(word for name, how in BY_FFMPEG.items() for word in (*how.split(), folder / name))
    )
    return folder


@pytest.fixture(scope="module", params=BY_FFMPEG)
def file(request: pytest.FixtureRequest, source: Path, files: Path) -> Path:
    path = files / request.param
    if not path.exists():
        ffmpeg("-i", source, *BY_FFMPEG[request.param].split(), path)
    return path


@pytest.fixture(scope="module")
def decoded(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what ffmpeg decodes from every file."""
    folder = tmp_path_factory.mktemp("decoded")
    inputs = [word for name in BY_FFMPEG for word in ("-i", files / name)]
    outputs = [
        word for number, name in enumerate(BY_FFMPEG) for word in ("-map", f"{number}:a", "-f", "f32le", folder / name)
    ]
    ffmpeg_all(folder, *inputs, *outputs)
    return folder


def test_decoded_files_equal_ffmpegs(file: Path, decoded: Path) -> None:
    audio = read(file, strict=True)  # which refuses what it would repair
    if not (decoded / file.name).exists():
        ffmpeg("-i", file, "-f", "f32le", decoded / file.name)
    expected = np.fromfile(decoded / file.name, dtype=np.float32).reshape(-1, audio.channels).T
    assert audio.waveform.shape == expected.shape
    assert snr(audio.waveform, torch.from_numpy(expected.copy())) > 60
    assert audio.warnings == ()


def test_an_excerpt_equals_a_slice_of_the_whole(file: Path) -> None:
    whole = read(file)
    rate = whole.sample_rate
    for start in (0.00027, 0.7, 1.3333, 2.1, 2.27):
        for duration in (0.05, 9.0):
            first, last = round(start * rate), min(whole.frames, round(start * rate) + round(duration * rate))
            excerpt = read(file, start=start, duration=duration)
            assert torch.equal(excerpt.waveform, whole.waveform[:, first:last])


@pytest.mark.parametrize(("frames", "written"), [("dts", "dts"), ("ac3", "spdif")])
def test_compressed_frames_in_wav_are_decoded(frames: str, written: str, source: Path, tmp_path: Path) -> None:
    """DTS discs and recordings of digital cables are WAV files of 16 bits that sound like noise."""
    codec = {"dts": "dca", "ac3": "ac3"}[frames]
    encoder = ["-ar", "48000", "-c:a", codec, "-strict", "-2"]
    ffmpeg("-i", source, *encoder, "-f", frames, tmp_path / "plain")
    ffmpeg("-i", source, *encoder, "-f", written, tmp_path / "disguised")
    data = (tmp_path / "disguised").read_bytes()
    form = struct.pack("<IHHIIHH", 16, 1, 2, 48000, 192000, 4, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data))
    (tmp_path / "song.wav").write_bytes(head + data)
    assert torch.equal(read(tmp_path / "song.wav").waveform, read(tmp_path / "plain").waveform)


def test_the_padding_of_w64_is_not_audio(tmp_path: Path) -> None:
    path = tmp_path / "song.w64"
    write_soundfile(path, noise(999, 1), "W64", "PCM_16")
    whole = read(path).waveform
    assert whole.shape == (1, 999)
    path.write_bytes(path.read_bytes() + bytes(2))
    assert torch.equal(read(path).waveform, whole)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (96000, 2)])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "m4a", "mka"])
def test_rates_and_channels(suffix: str, channels: int, rate: int, source: Path, tmp_path: Path) -> None:
    path = tmp_path / f"song.{suffix}"
    ffmpeg("-i", source, "-ar", str(rate), "-ac", str(channels), path)
    audio = read(path)
    expected = np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-"), dtype=np.float32)
    assert (audio.sample_rate, audio.channels, audio.frames) == (rate, channels, len(expected) // channels)
