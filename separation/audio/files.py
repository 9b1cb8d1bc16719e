"""Audio files as signals: read into memory, or decoded to disk and read from there."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from separation.audio.decoding import open_audio
from separation.audio.limits import Limits
from separation.audio.signal import Audio
from separation.audio.stream import AudioError, AudioStream

__all__ = ["Recording", "read"]


def read(
    path: str | Path,
    *,
    start: float = 0.0,
    duration: float | None = None,
    limits: Limits = Limits(),
    strict: bool = False,
) -> Audio:
    """Decode an audio file, or an excerpt of it, into memory.

    The parameters are those of :func:`separation.audio.decoding.open_audio`.

    Raises
    ------
    AudioError
        If the file cannot be decoded, or holds NaN or infinite samples. The message is one
        sentence that names the file.

    Examples
    --------
    >>> audio = read("song.mp3", start=0.5, duration=1)
    >>> audio.waveform.shape, audio.sample_rate
    (torch.Size([2, 44100]), 44100)
    """
    with open_audio(path, start=start, duration=duration, limits=limits, strict=strict) as file:
        waveform = _gather(file)
    try:
        return Audio(
            waveform=torch.from_numpy(waveform),
            sample_rate=file.sample_rate,
            speakers=file.speakers,
            warnings=tuple(file.warnings),
        )
    except AudioError as error:
        raise AudioError(f"cannot read {Path(path).name!r}: {error}") from error


def _gather(file: AudioStream) -> np.ndarray:
    """Return all blocks as one array; if the length is known, they are never in memory twice."""
    blocks: Iterable[np.ndarray] = file.blocks if file.frames is not None else list(file.blocks)
    frames = file.frames if file.frames is not None else sum(block.shape[1] for block in blocks)
    waveform, position = np.empty((file.channels, frames), dtype=np.float32), 0
    for block in blocks:
        waveform[:, position : position + block.shape[1]] = block
        position += block.shape[1]
    return waveform[:, :position]


class Recording:
    """An audio file that is decoded once to disk and read from there, in constant memory.

    A background thread decodes to an unlinked temporary float32 file, which disappears on close or
    exit. Samples already decoded can be read while decoding continues.

    Parameters
    ----------
    path, start, duration, limits, strict
        See :func:`separation.audio.decoding.open_audio`.
    folder : path
        Folder for the temporary file; a minute of stereo at 44.1 kHz takes 20 MB.

    Raises
    ------
    AudioError
        If the file cannot be opened. Errors found only while decoding are raised by :meth:`read`,
        :meth:`digest` and - if the header has no length - :attr:`frames`.
    OSError
        Raised by the same methods if the disk is full.

    Examples
    --------
    >>> with Recording("song.mp3", folder=".") as recording:
    ...     recording.read(0, 44100).shape
    torch.Size([2, 44100])
    """

    def __init__(
        self,
        path: str | Path,
        folder: str | Path,
        *,
        start: float = 0.0,
        duration: float | None = None,
        limits: Limits = Limits(),
        strict: bool = False,
    ) -> None:
        self._name = Path(path).name
        self._closing = ExitStack()
        try:
            decoded = self._closing.enter_context(
                open_audio(path, start=start, duration=duration, limits=limits, strict=strict)
            )
            self._samples = self._closing.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))  # noqa: SIM115
        except BaseException:
            self._closing.close()
            raise
        self.sample_rate, self.channels, self.speakers = decoded.sample_rate, decoded.channels, decoded.speakers
        self._warnings = decoded.warnings
        self._promised = decoded.frames
        self._written = 0
        self._error: Exception | None = None
        self._ended = self._stopped = False
        self._hash = hashlib.sha256()
        self._news = threading.Condition()
        self._file_access = threading.Lock()  # the file has one position for writing and reading
        self._thread = threading.Thread(target=self._decode, args=(decoded,), name="decoder", daemon=True)
        self._thread.start()

    def _decode(self, decoded: AudioStream) -> None:
        try:
            for block in decoded.blocks:
                if self._stopped:
                    break
                self._append(np.ascontiguousarray(block.T))
        except Exception as error:  # re-raised in the reader
            self._error = error
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _append(self, block: np.ndarray) -> None:
        if not np.isfinite(block).all():
            when = (self._written + int(np.argmin(np.isfinite(block).all(1)))) / self.sample_rate
            raise AudioError(f"cannot read {self._name!r}: the sample at {when:.2f} s is NaN or infinite")
        data = memoryview(block.data).cast("B")
        self._hash.update(data)
        with self._file_access:
            self._samples.seek(0, os.SEEK_END)
            while data:
                data = data[self._samples.write(data) :]
        with self._news:
            self._written += len(block)
            self._news.notify_all()

    def _wait(self, frames: int | None) -> None:
        """Block until `frames` frames are decoded, or the whole file is."""
        with self._news:
            self._news.wait_for(lambda: self._ended or (frames is not None and self._written >= frames))
        if self._error is not None:
            raise self._error

    @property
    def frames(self) -> int:
        """Length in samples; waits for the end of decoding if the header does not state it."""
        if self._promised is None:
            self._wait(None)
            return self._written
        return self._promised

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate

    @property
    def warnings(self) -> tuple[str, ...]:
        """Defects of the file, such as truncation, one sentence each."""
        self._wait(None)
        return tuple(self._warnings)

    def read(self, start: int, stop: int) -> Tensor:
        """Return samples `start` to `stop` as :meth:`Signal.read` does, waiting until they are decoded."""
        self._wait(stop)
        size = 4 * self.channels
        samples = np.empty((stop - start, self.channels), dtype=np.float32)
        view, position = memoryview(samples.reshape(-1).view(np.uint8).data), start * size
        with self._file_access:
            self._samples.seek(position)
            while view:
                count = self._samples.readinto(view)
                if not count:
                    raise ValueError(f"samples {start} to {stop} were requested, but there are {self._written}")
                view = view[count:]
        return torch.from_numpy(samples.T).contiguous()

    def digest(self) -> str:
        """Return the SHA-256 of the decoded samples, once all are decoded."""
        self._wait(None)
        return self._hash.hexdigest()

    def __reduce__(self) -> tuple[Callable[[], Audio], tuple[()]]:
        """Pickle as an :class:`Audio` in memory."""
        audio = partial(Audio, waveform=self.read(0, self.frames), sample_rate=self.sample_rate)
        return partial(audio, speakers=self.speakers, warnings=self.warnings), ()

    def close(self) -> None:
        """Stop decoding and delete the temporary file."""
        self._stopped = True
        self._thread.join()
        self._closing.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
