"""Audio files read in blocks while they are scored."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from separation.audio.decoding import open_audio
from separation.audio.files import Recording

__all__ = ["FileSignals"]

_LOSSY = {"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"}


class FileSignals:
    """Audio files as sources, each the sum of one or several, read in blocks and cut or zero-padded to `time` samples.

    Uncompressed and losslessly compressed files are read in place. Others are decoded to temporary files and rounded
    to 16 bits, as musdb reads its own. Without rounding, there is no energy at all above a codec's cut-off, and the
    projection filters, and with them ISR, SIR and SAR, are undefined.

    Parameters
    ----------
    paths : sequence of path, or of sequences of path
        The files of each source. A mono file among multichannel ones counts for every channel.
    time : int
        Length in samples.
    channels : int, optional
        Number of channels; that of the files by default.

    Raises
    ------
    ValueError
        If the files differ in their number of channels.
    """

    def __init__(self, paths: Sequence[Path | Sequence[Path]], *, time: int, channels: int | None = None) -> None:
        sources = [[source] if isinstance(source, Path) else source for source in paths]
        with ExitStack() as closing:
            self._files = [[_File(path, closing) for path in source] for source in sources]
            self._closing = closing.pop_all()
        counts = {file.channels for source in self._files for file in source}
        if len(counts - {1}) > 1:
            raise ValueError(f"the files in {sources[0][0].parent.name!r} differ in channels: {sorted(counts)}")
        self.shape = (len(paths), channels or max(counts), time)

    def read(self, start: int, stop: int) -> Tensor:
        """Return samples `start` to `stop` in float64, shape (sources, channels, stop - start)."""
        _, channels, _ = self.shape
        samples = np.zeros((len(self._files), channels, stop - start))
        for row, files in zip(samples, self._files, strict=True):
            for file in files:
                if start < file.frames:
                    last = min(stop, file.frames)
                    row[:, : last - start] += file.read(start, last)
        return torch.from_numpy(samples)

    def __enter__(self) -> FileSignals:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()


class _File:
    """One file: `channels`, `frames`, and its samples in float64, shape (channels, time)."""

    def __init__(self, path: Path, closing: ExitStack) -> None:
        self._position = threading.Lock()  # a file has one position for all threads
        self._sound = _open_in_place(path, closing)
        if self._sound is None:
            self._decoded = closing.enter_context(Recording(path, tempfile.gettempdir()))
        opened = self._decoded if self._sound is None else self._sound
        self.channels, self.frames = opened.channels, opened.frames

    def read(self, start: int, stop: int) -> np.ndarray:
        if self._sound is not None:
            integers = self._sound.subtype == "PCM_16"  # numpy converts them in half the time of libsndfile
            with self._position:
                self._sound.seek(start)
                samples = self._sound.read(stop - start, dtype="int16" if integers else "float64", always_2d=True).T
            return samples * 2.0**-15 if integers else samples
        return np.round(self._decoded.read(start, stop).double().numpy() * 32768) / 32768


def _open_in_place(path: Path, closing: ExitStack) -> soundfile.SoundFile | None:
    """Open a lossless file that libsndfile reads in full; return None for any other."""
    with open_audio(path) as stream:
        frames = stream.frames  # None for files that are read in another way, such as joined ones
    with suppress(soundfile.LibsndfileError):
        sound = closing.enter_context(soundfile.SoundFile(path))
        return sound if sound.frames == frames and sound.subtype not in _LOSSY else None
    return None
