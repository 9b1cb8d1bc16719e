"""Files of 23 formats, damaged at random: as much sound as there is, or one sentence, soon."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from separation.audio.files import read
from separation.audio.stream import AudioError
from tests.audio.helpers import BY_FFMPEG, RATE, ffmpeg, noise, write_soundfile

KINDS = (
    *("wav-24", "wav-adpcm", "wav-mp3", "w64", "aiff", "caf", "au", "flac", "ogg-vorbis", "ogg-opus", "mp3", "aac"),
    *("m4a", "m4a-alac", "mp4-fragments", "matroska-vorbis", "webm-opus", "ac3", "wavpack", "mpeg-ts"),
    *("rf64", "mov", "matroska-flac"),
)
FRAMES = 40000
LONGEST = 10.0  # seconds; a read takes milliseconds


@pytest.fixture(scope="module")
def intact_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, int]]:
    """A second of noise in every format, and its length as it is read."""
    folder = tmp_path_factory.mktemp("whole")
    write_soundfile(folder / "source.wav", noise(FRAMES), "WAV", "PCM_16")
    for kind in KINDS:
        ffmpeg("-i", folder / "source.wav", *BY_FFMPEG[kind].split(), folder / kind)
    return {kind: ((folder / kind).read_bytes(), read(folder / kind).frames) for kind in KINDS}


def damaged(data: bytes, other: bytes, number: int, random: np.random.Generator) -> tuple[str, bytes]:
    """What was done to a file, and what is left of it."""
    content, size = bytearray(data), len(data)
    first, last = sorted(random.integers(0, size, 2).tolist())
    match number % 8:
        case 0:
            for place in random.integers(0, size, int(random.integers(1, 40))):
                content[place] ^= 1 << int(random.integers(8))
            return "bits flipped", bytes(content)
        case 1:
            for place in random.integers(0, min(size, 200), int(random.integers(1, 8))):
                content[place] = int(random.integers(256))
            return "header overwritten", bytes(content)
        case 2:
            return "cut", data[: max(1, last)]
        case 3:
            content[first : first + 3000] = bytes(len(content[first : first + 3000]))
            return "zeros", bytes(content)
        case 4:
            return "a part gone", data[:first] + data[last:] or b"\0"
        case 5:
            return "a part repeated", data[:last] + data[first:]
        case 6:
            junk = random.bytes(int(random.integers(1, 4000)))
            return "junk", junk + data if random.integers(2) else data + junk
        case _:
            head = int(random.integers(4, 300))
            return "another's header", other[:head] + data[head:]


def check(path: Path, what: str, content: bytes, length: int) -> bool:
    """Read a damaged file and return whether it is sound; the assertions are what may come of it."""
    path.write_bytes(content)
    began = time.monotonic()
    try:
        audio = read(path)
    except AudioError as error:
        message = str(error)
        assert message.startswith(f"cannot read {path.name!r}: ")
        assert "\n" not in message
        assert str(path.parent) not in message
        return False
    finally:
        assert time.monotonic() - began < LONGEST
    assert all("\n" not in warning for warning in audio.warnings)
    if what != "header overwritten":  # which may ask for another rate
        assert 0 < audio.frames <= 2 * length + 60 * RATE
    if what == "cut":
        assert audio.frames <= length
    return True


def check_damaged_files(intact_files: dict[str, tuple[bytes, int]], path: Path, numbers: range) -> None:
    sound = 0
    for number in numbers:
        random = np.random.default_rng(number)
        kind, other = KINDS[number // 8 % len(KINDS)], KINDS[int(random.integers(len(KINDS)))]
        data, length = intact_files[kind]
        what, content = damaged(data, intact_files[other][0], number, random)
        try:
            sound += check(path, what, content, length)
        except Exception as error:
            raise AssertionError(f"file {number}, {kind}, {what}: {error!r}") from error
    assert 0.3 * len(numbers) < sound < len(numbers), "damage that always, or never, shows proves little"


def test_two_hundred_damaged_files(intact_files: dict[str, tuple[bytes, int]], tmp_path: Path) -> None:
    check_damaged_files(intact_files, tmp_path / "song", range(200))


@pytest.mark.slow  # a minute; two hundred others are in `make test`
def test_two_thousand_damaged_files(intact_files: dict[str, tuple[bytes, int]], tmp_path: Path) -> None:
    check_damaged_files(intact_files, tmp_path / "song", range(200, 2200))
