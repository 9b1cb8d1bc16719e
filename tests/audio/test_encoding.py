"""Stems are written with one gain and whole; what a format cannot hold is refused before any work."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from separation.audio import encoding
from separation.audio.encoding import StemWriter, check_format, read_blocks
from tests.audio.helpers import FRAMES, RATE, chord, write_soundfile


def test_stems_are_written_block_by_block_with_one_gain(tmp_path: Path) -> None:
    stems = torch.from_numpy(np.stack([4 * chord(seed=1), chord(seed=2)])).float().transpose(1, 2)
    writer = StemWriter(tmp_path, ("loud", "soft"), channels=2, sample_rate=RATE)
    for block in stems.split(5000, dim=-1):
        writer.write(block)
    gain = writer.finish()
    assert gain == pytest.approx((1 - 2**-15) / float(stems.abs().max()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loud.wav", "soft.wav"]
    for source, stem in zip(("loud", "soft"), stems, strict=True):
        info = soundfile.info(tmp_path / f"{source}.wav")
        assert (info.subtype, info.samplerate, info.channels, info.frames) == ("PCM_24", RATE, 2, FRAMES)
        written = torch.cat(list(read_blocks(tmp_path / f"{source}.wav")), dim=1)
        assert torch.allclose(written, gain * stem, atol=2**-23)
        assert written.abs().max() < 1


def test_full_scale_does_not_clip(tmp_path: Path) -> None:
    writer = StemWriter(tmp_path, ("stem",), channels=1, sample_rate=RATE)
    writer.write(torch.tensor([[[1.0, -1.0, 0.5]]]))
    assert writer.finish() < 1
    left, right, half = soundfile.read(tmp_path / "stem.wav")[0]
    assert left == -right == pytest.approx(2 * half, abs=2**-22)


def test_stems_are_read_back_in_small_blocks(tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", np.zeros((150_000, 1)), "WAV", "PCM_16")
    assert [block.shape for block in read_blocks(tmp_path / "song.wav")] == [(1, 65536), (1, 65536), (1, 18928)]


@pytest.mark.parametrize(
    ("format", "more", "expected"),
    [
        ("aiff", {}, "wav, flac, mp3, ogg"),
        ("flac", {"float32": True}, "needs WAV"),
        ("flac", {"sample_rate": 700_000}, "FLAC holds at most"),
        ("mp3", {"sample_rate": 96000}, "choose wav or flac"),
        ("mp3", {"channels": 3}, "choose wav or flac"),
        ("ogg", {"sample_rate": 7999}, "choose wav or flac"),
        ("ogg", {"sample_rate": 192001}, "choose wav or flac"),
    ],
)
def test_unsupported_rates_and_channels_are_refused(
    format: str, more: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=expected):
        check_format(format, **{"float32": False, "channels": 2, "sample_rate": RATE, **more})


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
def test_mp3_is_written_at_every_supported_rate(rate: int, tmp_path: Path) -> None:
    writer = StemWriter(tmp_path, ("stem",), channels=2, sample_rate=rate, format="mp3")
    writer.write(torch.from_numpy(chord(5000, rate=rate).T.astype(np.float32))[None])
    writer.finish()
    info = soundfile.info(tmp_path / "stem.mp3")
    assert (info.samplerate, info.frames) == (rate, 5000)


@pytest.mark.parametrize(("format", "rate"), [("ogg", 8000), ("ogg", 192000), ("flac", 655350), ("wav", 768000)])
def test_extreme_rates_are_written(format: str, rate: int, tmp_path: Path) -> None:
    writer = StemWriter(tmp_path, ("stem",), channels=2, sample_rate=rate, format=format)
    writer.write(torch.from_numpy(chord(5000, rate=rate).T.astype(np.float32))[None])
    writer.finish()
    info = soundfile.info(tmp_path / f"stem.{format}")
    assert (info.samplerate, info.frames) == (rate, 5000)


@pytest.mark.parametrize("moment", ["open", "write", "finish", "close"])
def test_disk_errors_raise_oserror_at_every_step(moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = soundfile.SoundFile
    refusals: list[str] = []

    class Refusing(real):  # type: ignore[misc, valid-type]
        def __init__(self, file: Any, mode: str = "r", **more: Any) -> None:
            final = not str(file).endswith(".draft")
            if (moment == "open" and "b" in Path(file).name) or (moment == "finish" and final):
                raise soundfile.LibsndfileError(2, "Error opening it: ")
            super().__init__(file, mode, **more)

        def write(self, data: Any) -> None:
            if moment == "write":
                raise AssertionError  # what soundfile says if fewer frames were written than given
            super().write(data)

        def close(self) -> None:
            failing = moment == "close" and not self.closed and not refusals
            super().close()
            if failing:
                refusals.append(moment)
                raise soundfile.LibsndfileError(2, "")

    monkeypatch.setattr(encoding.soundfile, "SoundFile", Refusing)
    with pytest.raises(OSError) as caught:
        writer = StemWriter(tmp_path, ("a", "b"), channels=1, sample_rate=RATE)
        writer.write(torch.zeros(2, 1, 100))
        writer.finish()
    assert caught.value.errno == errno.ENOSPC


def test_files_beyond_4_gb_are_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_MOST_IN_WAV", 1500)
    for frames, format in ((1000, "WAV"), (2000, "RF64")):
        writer = StemWriter(tmp_path, ("stem",), channels=1, sample_rate=RATE)
        writer.write(torch.zeros(1, 1, frames))
        writer.finish()
        assert soundfile.info(tmp_path / "stem.wav").format == format
