"""Truncated files are refused; recordings that merely broke off are read as far as they go."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from separation.audio import integrity, joined, ogg
from separation.audio.files import read
from separation.audio.flac_frames import flac_end
from tests.audio.helpers import (
    EVERY,
    FRAMES,
    RATE,
    chord,
    encode,
    quantised,
    refusal_message,
    write_soundfile,
)

#: Raw streams of frames, such as recorded broadcasts, do not tell how long they are.
RAW = {"aac"}


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind not in RAW])
def test_truncated_files_are_detected(kind: str, fraction: float, tmp_path: Path) -> None:
    noise = 0.2 * np.random.default_rng(0).standard_normal((60000, 2))
    EVERY[kind](tmp_path / kind, noise)
    whole = (tmp_path / kind).read_bytes()
    assert read(tmp_path / kind).frames >= 60000
    (tmp_path / kind).write_bytes(whole[: int(fraction * len(whole))])
    assert "cut off" in refusal_message(tmp_path / kind, strict=True)


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov", "default_base_moof+frag_every_frame"])
def test_mp4_boxes_in_any_order_are_complete(movflags: str, tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    encode(path, chord(60000), container="mp4", codec="aac", options={"movflags": movflags})
    assert read(path).frames >= 60000
    path.write_bytes(path.read_bytes()[:-5])
    assert "cut off" in refusal_message(path, strict=True)


def test_data_after_the_end_of_an_mp4_file_is_not_truncation(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    encode(path, chord(), container="ipod", codec="aac")
    path.write_bytes(path.read_bytes() + b"TAG" + b"x" * 125)  # as some programs tag whatever they see
    assert read(path).frames >= FRAMES


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.9, 1.0])
def test_truncated_raw_streams_are_read_to_their_end(fraction: float, tmp_path: Path) -> None:
    frames = 60000
    path = tmp_path / "radio.aac"
    encode(path, 0.2 * np.random.default_rng(0).standard_normal((frames, 2)), container="adts", codec="aac")
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    assert read(path).frames == pytest.approx(fraction * frames, abs=6000)


def quiet_then_loud(seconds: float) -> np.ndarray:
    """Noise after silence: the first frames tell nothing about the average bit rate."""
    frames = int(seconds * RATE)
    noise: np.ndarray = 0.3 * np.random.default_rng(0).standard_normal((frames, 2))
    noise[: frames // 2] *= 1e-4
    return noise


@pytest.mark.parametrize("loud_first", [False, True])
def test_raw_streams_of_variable_bit_rate_are_complete(loud_first: bool, tmp_path: Path) -> None:
    waveform = quiet_then_loud(3)
    encode(tmp_path / "radio.aac", waveform[::-1] if loud_first else waveform, container="adts", codec="aac")
    assert len(waveform) <= read(tmp_path / "radio.aac").frames <= len(waveform) + 3 * 1024


def without_index(content: bytes) -> bytes:
    """An MP3 as encoders wrote it before there were indexes: without the first frame, which holds it."""
    place = max(content.find(b"Xing"), content.find(b"Info"))
    assert place > 0
    return content[content.index(content[:2], place) :]


@pytest.mark.parametrize("loud_first", [False, True])
@pytest.mark.parametrize("fraction", [1.0, 0.6])
def test_truncated_mp3_without_index_is_read_to_its_end(fraction: float, loud_first: bool, tmp_path: Path) -> None:
    """Its length can only be guessed from the first frames, by libsndfile as by FFmpeg, and the guess is no limit."""
    waveform = quiet_then_loud(3)
    path = tmp_path / "old.mp3"
    write_soundfile(path, waveform[::-1] if loud_first else waveform, "MP3", "MPEG_LAYER_III")
    content = without_index(path.read_bytes())
    path.write_bytes(content)
    whole = read(path).frames
    assert len(waveform) <= whole <= len(waveform) + 3 * 1152
    path.write_bytes(content[: int(fraction * len(content))])
    assert fraction < 1 or read(path).frames == whole
    assert 0.1 * whole < read(path).frames <= whole


@pytest.mark.parametrize("count", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_mp3_with_a_wrong_index(count: int, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    write_soundfile(path, chord(), "MP3", "MPEG_LAYER_III")
    content = bytearray(path.read_bytes())
    place = max(content.find(b"Xing"), content.find(b"Info"))
    content[place + 8 : place + 12] = struct.pack(">I", count)
    path.write_bytes(content)
    if count == 0:  # an encoder that could not go back
        assert FRAMES <= read(path).frames <= FRAMES + 3 * 1152
    else:  # hundreds of gigabytes, if it were believed
        assert "cut off" in refusal_message(path, strict=True)


def test_an_mp3_with_a_large_cover_image(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    write_soundfile(path, chord(), "MP3", "MPEG_LAYER_III")
    plain = read(path)
    image = b"\0image/png\0\x03\0" + bytes(300_000)
    picture = b"APIC" + struct.pack(">I", len(image)) + b"\0\0" + image
    length = bytes((len(picture) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + length + picture + path.read_bytes())
    assert torch.equal(read(path).waveform, plain.waveform)
    path.write_bytes(path.read_bytes()[:-1500])
    assert "cut off" in refusal_message(path, strict=True)


def set_flac_length(content: bytes, frames: int) -> bytes:
    """Change the number of samples in a FLAC's header: 36 bits."""
    changed = bytearray(content)
    changed[21] = changed[21] & 0xF0 | frames >> 32
    changed[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(changed)


def test_a_flac_without_a_length_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    waveform = quantised(chord(), 16)
    write_soundfile(path, waveform, "FLAC", "PCM_16")
    path.write_bytes(set_flac_length(path.read_bytes(), 0))
    np.testing.assert_array_equal(read(path).waveform.numpy().T, waveform.astype(np.float32))
    excerpt = read(path, start=0.1, duration=0.05)
    np.testing.assert_array_equal(excerpt.waveform.numpy().T, waveform[4410 : 4410 + 2205].astype(np.float32))
    refusal_message(path, start=1.0)


@pytest.mark.parametrize("announced", [1, 4096, FRAMES // 2, FRAMES - 1])
@pytest.mark.parametrize("behind", [b"", b"TAG" + bytes(125)])
def test_a_flac_longer_than_its_header_is_read_to_its_end(announced: int, behind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    waveform = quantised(chord(), 16)
    write_soundfile(path, waveform, "FLAC", "PCM_16")
    path.write_bytes(set_flac_length(path.read_bytes(), announced) + behind)
    np.testing.assert_array_equal(read(path).waveform.numpy().T, waveform.astype(np.float32))


@pytest.mark.parametrize("frames", [1, 4095, 4096, 4097, 130 * 4096 + 300])
def test_the_end_of_a_flac_is_found(frames: int, tmp_path: Path) -> None:
    """Frame numbers of one byte and of two, and last frames of all kinds."""
    path = tmp_path / "song.flac"
    write_soundfile(path, chord(frames, channels=1, rate=8000), "FLAC", "PCM_16", rate=8000)
    with path.open("rb") as file:
        assert flac_end(file) == frames


@pytest.mark.parametrize("frames", [FRAMES + 5000, 2**36 - 1])
def test_a_flac_shorter_than_its_header_is_truncated(frames: int, tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    write_soundfile(path, chord(), "FLAC", "PCM_16")
    path.write_bytes(set_flac_length(path.read_bytes(), frames))
    assert "cut off" in refusal_message(path, strict=True)


@pytest.mark.parametrize("claim", [0x7FFFF000, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_wav_with_the_largest_possible_size_is_read_to_its_end(claim: int, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    write_soundfile(path, chord(), "WAV", "PCM_16")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, claim)
    path.write_bytes(content)
    assert read(path).frames == FRAMES


@pytest.mark.parametrize("claim", [60000, 1_500_000_000, 3_000_000_000])
def test_a_wav_shorter_than_its_header_is_truncated(claim: int, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    write_soundfile(path, chord(), "WAV", "PCM_16")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, claim)
    path.write_bytes(content)
    assert f"announces {claim} bytes" in refusal_message(path, strict=True)


def test_trailing_chunks_of_a_wav_are_not_audio(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    write_soundfile(path, chord(), "WAV", "PCM_16")
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4000) + bytes(4000))
    assert read(path).frames == FRAMES
    path.write_bytes(path.read_bytes()[:-2000])  # a cut that takes none of the sound
    assert read(path).frames == FRAMES


# -- crafted files: what is examined does not grow with their size -----------------------------------


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (b"OggS" + b"\xff" * 23, "too much of the file is damaged"),
        (b"fLaC\0\0\0\x22", "it consists of more than 1000 files joined end to end"),
        (b"RIFF\4\0\0\0WAVE", "it consists of more than 1000 files joined end to end"),
        (struct.pack(">I4sI", 12, b"ftyp", 0), "it consists of more than 1000 files joined end to end"),
    ],
    ids=["damaged pages", "FLAC", "WAV", "MP4"],
)
def test_a_file_of_very_many_parts_is_refused(part: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "parts.bin"
    path.write_bytes(part * 12_000)
    assert reason in refusal_message(path)


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (b"", struct.pack(">I4s", 8, b"free")),
        (b"RIFF\0\0\0\0WAVE", b"LIST\0\0\0\0"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", b"LIST\0\0\0\0"),
        (b"riff".ljust(40, b"\0"), b"junk".ljust(16, b"\0") + struct.pack("<Q", 24)),
        (b"", b"\x1aE\xdf\xa3\x80"),
    ],
    ids=["MP4", "WAV", "unfinished WAV", "W64", "Matroska"],
)
def test_not_all_of_very_many_chunks_are_examined(
    head: bytes, chunk: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (integrity, joined):
        monkeypatch.setattr(module, "MOST_CHUNKS", 10)
    read_at, reads = integrity.read_bytes_at, []

    def count(*arguments: Any) -> bytes:
        reads.append(arguments[1])
        return read_at(*arguments)

    monkeypatch.setattr(integrity, "read_bytes_at", count)
    path = tmp_path / "chunks.bin"
    path.write_bytes(head + chunk * 1000)
    with path.open("rb") as file:
        for examine in (
            integrity.is_truncated,
            integrity.is_unfinished,
            integrity.w64_frames,
            joined.extra_data,
            joined.joined_files,
        ):
            examine(file)
    assert max(reads) < 1000
    assert len(reads) < 40


def test_some_damaged_pages_do_not_stop_the_search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "song.ogg"
    write_soundfile(path, chord(), "OGG", "VORBIS")
    path.write_bytes((b"OggS" + b"\xff" * 23) * 5 + path.read_bytes())
    monkeypatch.setattr(ogg, "_MOST_DAMAGED", 5)
    assert read(path).frames == FRAMES


class Pipe(io.RawIOBase):
    """Takes bytes and cannot go back."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self.content += bytes(data)
        return len(data)


def test_webm_without_a_length_is_complete(tmp_path: Path) -> None:
    pipe = Pipe()
    encode(
        pipe,
        chord(60000, rate=48000),
        container="webm",
        codec="libopus",
        sample_format="flt",
        rate=48000,
        options={"live": "1"},
    )
    path = tmp_path / "recording.webm"
    path.write_bytes(pipe.content)
    assert read(path).frames == pytest.approx(60000, abs=1000)
