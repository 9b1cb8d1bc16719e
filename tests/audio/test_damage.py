"""Joined, unfinished, cut and damaged files are read as far as there is sound, and what is lost is told."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from separation.audio.files import Recording, read
from separation.audio.losses import Losses
from separation.audio.ogg import ogg_links
from separation.audio.stream import DamageReport
from tests.audio.helpers import EVERY, RATE, chord, encode, noise, refusal_message, write_soundfile
from tests.conftest import snr

FRAMES = 4 * RATE
HOLE = 2000  # bytes

JOINED = ["ogg", "opus", "wav-16", "wav-24", "aiff-16", "flac-16", "alac.m4a", "m4a"]


def as_mp3(path: Path, waveform: np.ndarray, *, index: bool = True) -> bytes:
    encode(
        path,
        waveform,
        container="mp3",
        codec="libmp3lame",
        sample_format="fltp",
        options={} if index else {"write_xing": "0"},
    )
    return path.read_bytes()


def with_hole(content: bytes, place: float = 0.5) -> bytes:
    """The file with zeros in the middle."""
    start = int(place * len(content))
    return content[:start] + bytes(HOLE) + content[start + HOLE :]


# -- joined files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [True, False])
def test_joined_mp3_files_are_read_to_the_end(index: bool, tmp_path: Path) -> None:
    """The second file's padding is sound, as for the ffmpeg program."""
    path = tmp_path / "song.mp3"
    content = as_mp3(path, noise(2 * RATE), index=index)
    path.write_bytes(2 * content)
    audio = read(path, strict=True)
    assert 4 * RATE <= audio.frames <= 4 * RATE + 4 * 1152
    assert audio.warnings == ()


@pytest.mark.parametrize("kind", JOINED)
def test_joined_files_are_read_in_full(kind: str, tmp_path: Path) -> None:
    parts, content = [], b""
    for seed in range(3):
        path = tmp_path / f"{seed}.{kind}"
        EVERY[kind](path, noise(30000 + 1000 * seed, seed=seed))
        parts.append(read(path).waveform)
        content += path.read_bytes()
    chain = tmp_path / f"chain.{kind}"
    chain.write_bytes(content)
    expected = torch.cat(parts, dim=1)
    audio = read(chain, strict=True)
    assert torch.equal(audio.waveform, expected)
    for start in (0.1, 0.7, 1.4):
        first = round(start * audio.sample_rate)
        excerpt = read(chain, start=start, duration=0.2).waveform
        assert torch.equal(excerpt, expected[:, first : first + round(0.2 * audio.sample_rate)])
    with Recording(chain, tmp_path) as recording:
        assert recording.frames == expected.shape[1]


def test_a_damaged_stream_does_not_affect_the_rest_of_its_chain(tmp_path: Path) -> None:
    EVERY["ogg"](tmp_path / "one.ogg", noise(FRAMES))
    content = (tmp_path / "one.ogg").read_bytes()
    whole = read(tmp_path / "one.ogg").waveform
    chain = tmp_path / "chain.ogg"
    chain.write_bytes(with_hole(content) + content)
    audio = read(chain)
    assert audio.frames == 2 * FRAMES
    assert torch.equal(audio.waveform[:, FRAMES:], whole)
    assert len(audio.warnings) == 1
    assert "damaged" in refusal_message(chain, strict=True)


def test_a_chain_of_different_rates_is_refused(tmp_path: Path) -> None:
    for number, rate in enumerate((44100, 48000)):
        write_soundfile(tmp_path / str(number), noise(20000), "OGG", "VORBIS", rate)
    chain = tmp_path / "chain.ogg"
    chain.write_bytes((tmp_path / "0").read_bytes() + (tmp_path / "1").read_bytes())
    assert "changes partway through" in refusal_message(chain)


def test_a_second_data_chunk_is_ignored_with_a_warning(tmp_path: Path) -> None:
    """Libsndfile and FFmpeg read the last one."""
    path = tmp_path / "song.wav"
    EVERY["wav-16"](path, noise(FRAMES))
    whole = read(path).waveform
    path.write_bytes(path.read_bytes() + b"data" + struct.pack("<I", 400) + bytes(400))
    audio = read(path)
    assert torch.equal(audio.waveform, whole)
    assert audio.warnings == ("the file has a second data chunk, which is ignored",)
    assert "second data chunk" in refusal_message(path, strict=True)


def test_checksums_of_ogg_pages_are_verified(tmp_path: Path) -> None:
    EVERY["ogg"](tmp_path / "song.ogg", noise(FRAMES))
    content = bytearray((tmp_path / "song.ogg").read_bytes())

    def links(changed: bytes) -> list[tuple[bool, bool]]:
        (tmp_path / "song.ogg").write_bytes(changed)
        with (tmp_path / "song.ogg").open("rb") as file:
            return [(link.damaged, link.cut) for link in ogg_links(file)]

    assert links(bytes(content)) == [(False, False)]
    assert links(bytes(content) + b"TAG" + bytes(125)) == [(False, False)]
    assert links(bytes(content[:-1])) == [(False, True)]
    assert links(bytes(content[: content.rindex(b"OggS")])) == [(False, True)]
    content[len(content) // 2] ^= 1
    assert links(bytes(content)) == [(True, False)]


# -- headers that were never finished ---------------------------------------------------------------


def test_an_unfinished_wav_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    write_soundfile(path, chord(10000), "WAV", "PCM_16")
    whole = read(path).waveform
    content = bytearray(path.read_bytes())
    content[4:8] = bytes(4)
    place = content.index(b"data") + 4
    content[place : place + 4] = bytes(4)
    path.write_bytes(content[:-1002])
    audio = read(path)
    assert torch.equal(audio.waveform, whole[:, : 10000 - 251])
    assert "never finished" in audio.warnings[0]
    assert torch.equal(read(path, start=0.1, duration=0.05).waveform, whole[:, 4410 : 4410 + 2205])
    assert "never finished" in refusal_message(path, strict=True)


@pytest.mark.parametrize(("format", "tag", "behind"), [("AIFF", b"SSND", 4), ("AU", b".snd", 8), ("CAF", b"data", 4)])
def test_other_unfinished_files_are_read_to_their_end(format: str, tag: bytes, behind: int, tmp_path: Path) -> None:
    path = tmp_path / "song"
    write_soundfile(path, chord(10000), format, "PCM_16")
    whole = read(path).waveform
    content = bytearray(path.read_bytes())
    place = content.index(tag) + behind
    size = 8 if format == "CAF" else 4
    content[place : place + size] = bytes(size)
    path.write_bytes(content)
    audio = read(path)
    assert torch.equal(audio.waveform, whole)
    assert audio.warnings


def test_trailing_chunks_of_an_empty_wav_are_not_audio(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    write_soundfile(path, np.zeros((0, 2)), "WAV", "PCM_16")
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 400) + bytes(400))
    assert "0 samples" in refusal_message(path)


@pytest.mark.parametrize(
    ("format", "tag", "code"), [("AIFF", b"SSND", ">I"), ("AU", b".snd", ">I"), ("CAF", b"data", ">Q")]
)
def test_a_size_of_all_ones_means_unknown(format: str, tag: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "song"
    write_soundfile(path, chord(), format, "PCM_16")
    whole = read(path).waveform
    content = bytearray(path.read_bytes())
    place = content.index(tag) + (8 if format == "AU" else 4)
    struct.pack_into(code, content, place, 256 ** struct.calcsize(code) - 1)
    path.write_bytes(content)
    assert torch.equal(read(path).waveform, whole)


# -- cut and damaged files -------------------------------------------------------------------------

#: Kinds that are read up to a cut; the others have an index at their end, without which nothing can be found.
CUT = [kind for kind in EVERY if kind not in ("m4a", "mp4", "alac.m4a", "pcm.mov")]


@pytest.mark.parametrize("kind", CUT)
def test_a_third_of_a_file_gives_a_third_of_the_audio(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    EVERY[kind](path, noise(FRAMES))
    whole = read(path).waveform
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    audio = read(path)
    assert audio.frames == pytest.approx(FRAMES / 3, rel=0.3)  # containers have large blocks
    settled = audio.frames - 2 * 1152
    assert torch.allclose(audio.waveform[:, :settled], whole[:, :settled], atol=1e-4)
    assert audio.warnings
    with Recording(path, tmp_path) as recording:
        assert recording.frames == audio.frames
        assert recording.warnings == audio.warnings
        assert recording.digest() == read(path).digest()
    assert repr(path.name) in refusal_message(path, strict=True)


#: Kind -> whether its time stamps keep what follows a hole in its place.
HOLES = {"flac-16": True, "ogg": True, "opus": True, "alac.m4a": True, "m4a": True, "mp3": False, "aac": False}


@pytest.mark.parametrize(("kind", "timed"), HOLES.items())
def test_a_gap_is_reported_and_the_rest_is_read(kind: str, timed: bool, tmp_path: Path) -> None:
    path = tmp_path / kind
    EVERY[kind](path, chord(FRAMES))  # AAC replaces noise with other noise
    whole = read(path).waveform
    path.write_bytes(with_hole(path.read_bytes(), 0.4))
    audio = read(path)
    assert "damaged or missing" in audio.warnings[0]
    if timed:
        assert audio.frames == whole.shape[1]
        assert snr(audio.waveform[:, -40000:], whole[:, -40000:]) > 40
    else:
        assert 0 < whole.shape[1] - audio.frames < 12 * 1152
    for start, duration in ((1.0, 0.1), (1.5, 1.0), (3.0, 9.0)):
        first = round(start * audio.sample_rate)
        excerpt = read(path, start=start, duration=duration).waveform
        assert torch.equal(excerpt, audio.waveform[:, first : first + round(duration * audio.sample_rate)])
    assert "damaged" in refusal_message(path, strict=True)


def test_a_damaged_flac_keeps_the_length_of_its_header(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    write_soundfile(path, noise(FRAMES), "FLAC", "PCM_16")
    path.write_bytes(with_hole(path.read_bytes()))
    with Recording(path, tmp_path) as recording:
        assert recording.frames == FRAMES
        assert torch.equal(recording.read(0, FRAMES), read(path).waveform)
        assert len(recording.warnings) == 1


def damaged_copies(content: bytes) -> list[bytes]:
    """What makes decoders complain."""
    flipped = bytearray(content)
    for place in np.random.default_rng(0).integers(200, len(content), 60):
        flipped[place] ^= 255
    return [with_hole(content), content[: len(content) // 3], bytes(flipped), content + bytes(500), 2 * content]


@pytest.mark.parametrize("kind", ["mp3", "ogg", "flac-16", "m4a", "wav-16", "aac", "opus"])
def test_decoders_do_not_print_to_standard_error(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / kind
    EVERY[kind](path, noise(FRAMES))
    for content in damaged_copies(path.read_bytes()):
        path.write_bytes(content)
        try:
            read(path)
        except ValueError:
            continue
    assert capfd.readouterr() == ("", "")


def test_a_damaged_time_stamp_does_not_insert_hours_of_silence() -> None:
    losses = Losses(RATE, Fraction(1, RATE), DamageReport(strict=False))

    def silence_before(stamp: int) -> int:
        return losses.before(SimpleNamespace(pts=stamp, samples=1000, time_base=Fraction(1, RATE)), 0)

    assert [silence_before(stamp) for stamp in (0, 1000, 2500)] == [0, 0, 500]
    a_day = 86400 * RATE
    assert sum(silence_before(day * a_day) for day in range(1, 5)) == 60 * RATE - 500


@pytest.mark.parametrize("kind", ["mp3", "ogg", "flac-16", "wav-16"])
def test_trailing_tags_and_junk_are_not_audio(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    EVERY[kind](path, noise(20000))
    whole = read(path).waveform
    content = path.read_bytes()
    path.write_bytes(content + b"TAG" + b"x" * 125)
    assert torch.equal(read(path, strict=True).waveform, whole)
    path.write_bytes(content + np.random.default_rng(0).bytes(3000))
    assert torch.equal(read(path).waveform[:, :19000], whole[:, :19000])


def test_a_stream_that_starts_mid_file_is_skipped(tmp_path: Path) -> None:
    """Such as the advertisement in a recorded broadcast: a second one whose packets have another number."""
    path = tmp_path / "song.ts"
    encode(path, noise(FRAMES), container="mpegts", codec="aac")
    content = bytearray(path.read_bytes())
    whole = read(path)
    packet = next(
        place for place in range(len(content) // 376 * 188, len(content), 188) if content[place + 1] & 0x5F == 0x41
    )
    content[packet + 2] ^= 1
    path.write_bytes(content)
    assert read(path).frames == pytest.approx(whole.frames, abs=12 * 1024)
