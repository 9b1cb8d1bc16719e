"""Write stems to audio files: block by block, with a common gain, atomically."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

__all__ = ["BLOCK", "FORMATS", "StemWriter", "check_format", "container", "disk_errors", "read_blocks"]

BLOCK = 1 << 16  # frames copied at a time: small in memory, large enough to be fast

#: Output formats: libsndfile's format and subtype of each.
FORMATS = {
    "wav": ("WAV", "PCM_24"),
    "flac": ("FLAC", "PCM_24"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
}

_MOST_IN_WAV = 1_000_000_000  # samples, of 4 bytes at most: WAV lengths have 32 bits


class StemWriter:
    """Writes stems block by block, with one gain for all.

    Blocks are first written to temporary float files, since only at the end is it known whether a
    fixed-point file would clip. :meth:`finish` writes the final files and removes the temporary ones.

    Parameters
    ----------
    folder : path
        An existing folder; receives ``<source>.<format>``.
    sources : sequence of str
        Names of the stems.
    channels : int
        Channels of every stem.
    sample_rate : int
        Sample rate of every stem in Hz.
    format : "wav", "flac", "mp3" or "ogg"
        WAV and FLAC are written with 24 bits.
    float32 : bool
        Write 32-bit float samples, which cannot clip; WAV only.

    Raises
    ------
    ValueError
        If the format does not support this sample rate, channel count or float samples.
    """

    def __init__(
        self,
        folder: Path,
        sources: tuple[str, ...],
        *,
        channels: int,
        sample_rate: int,
        format: str = "wav",
        float32: bool = False,
    ) -> None:
        check_format(format, float32=float32, channels=channels, sample_rate=sample_rate)
        self.sample_rate = sample_rate
        self.format = format
        self.float32 = float32
        self.peak = 0.0
        self.paths = {source: folder / f"{source}.{format}" for source in sources}
        self._drafts = {source: folder / f".{source}.draft" for source in sources}
        self._files: dict[str, soundfile.SoundFile] = {}
        try:
            with disk_errors():
                for source, path in self._drafts.items():
                    self._files[source] = soundfile.SoundFile(
                        path, "w", samplerate=sample_rate, channels=channels, format="W64", subtype="FLOAT"
                    )
        except OSError:
            self.close()
            raise

    def write(self, block: Tensor) -> None:
        """Append a block, shape (sources, channels, time)."""
        self.peak = max(self.peak, float(block.abs().max()) if block.numel() else 0.0)
        with disk_errors():
            for file, stem in zip(self._files.values(), block, strict=True):
                file.write(stem.T.contiguous().numpy())

    def finish(self) -> float:
        """Write the final files and return the common gain, which is 1 unless a stem would clip."""
        ceiling = 1 - 2**-15
        gain = 1.0 if self.float32 or self.peak <= ceiling else ceiling / self.peak
        self.close()
        with disk_errors():
            for source in self.paths:
                self._finish_one(source, gain)
        return gain

    def _finish_one(self, source: str, gain: float) -> None:
        draft = self._drafts[source]
        subtype = "FLOAT" if self.float32 else FORMATS[self.format][1]
        with (
            soundfile.SoundFile(draft) as reader,
            soundfile.SoundFile(
                self.paths[source],
                "w",
                samplerate=self.sample_rate,
                channels=reader.channels,
                format=container(self.format, samples=reader.frames * reader.channels),
                subtype=subtype,
            ) as writer,
        ):
            for block in reader.blocks(BLOCK, dtype="float32", always_2d=True):
                writer.write(block * np.float32(gain))
        draft.unlink()

    def close(self) -> None:
        """Close the temporary files. After an error they remain, for the caller to remove with their folder."""
        with disk_errors():
            for file in self._files.values():
                file.close()


def container(format: str, *, samples: int) -> str:
    """Return libsndfile's name of a format; WAV files of over a thousand million samples need 64-bit lengths (RF64)."""
    return "RF64" if format == "wav" and samples > _MOST_IN_WAV else FORMATS[format][0]


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn soundfile's vague errors on a full disk into the OSError that the system would raise."""
    try:
        yield
    except (soundfile.SoundFileError, AssertionError) as error:
        raise OSError(errno.ENOSPC, "the stems cannot be written: the disk is full or failing") from error


def check_format(format: str, *, float32: bool, channels: int, sample_rate: int) -> None:
    """Raise ValueError if a file format cannot hold such audio, before any work is done."""
    if format not in FORMATS:
        raise ValueError(f"stems can be written as {', '.join(FORMATS)}, not as {format!r}")
    if float32 and format != "wav":
        raise ValueError(f"--float32 needs WAV files; {format} holds no float samples")
    if format == "flac" and sample_rate > 655350:
        raise ValueError(f"FLAC holds at most 655350 Hz, the audio has {sample_rate} Hz: choose wav")
    if format == "mp3" and (sample_rate not in _MP3_RATES or channels > 2):
        raise ValueError(
            f"MP3 holds 1 or 2 channels at {_MP3_RATES[0]} to {_MP3_RATES[-1]} Hz, "
            f"the stems have {channels} at {sample_rate} Hz: choose wav or flac"
        )
    if format == "ogg" and not 8000 <= sample_rate <= 192000:
        raise ValueError(f"Ogg Vorbis holds 8000 to 192000 Hz, the audio has {sample_rate} Hz: choose wav or flac")


_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def read_blocks(path: Path) -> Iterator[Tensor]:
    """Yield a file that libsndfile reads as blocks (channels, time) of at most 65,536 frames."""
    with disk_errors(), soundfile.SoundFile(path) as file:  # libsndfile may report a failed write only here
        for block in file.blocks(BLOCK, dtype="float32", always_2d=True):
            yield torch.from_numpy(block.T.copy())
