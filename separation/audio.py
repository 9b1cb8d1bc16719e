"""Sound in memory or on disk, read piece by piece; its rate and its channels."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr
import torch
from torch import Tensor

from separation.decoding import MAX_CHANNELS, AudioError, Decoded, Limits, opened

__all__ = [
    "Audio",
    "AudioError",
    "Limits",
    "Recording",
    "Remixed",
    "Resampled",
    "Resampler",
    "Signal",
    "Sound",
    "Waveform",
    "down_mix",
    "read",
    "resample",
]


_BLOCK = 1 << 18  # frames that are resampled at a time


# -- what can be read piece by piece ---------------------------------------------------------------


class Signal(Protocol):
    """Samples that need not be in memory: `frames` of them in each of `channels`."""

    @property
    def channels(self) -> int: ...

    @property
    def frames(self) -> int: ...

    def read(self, start: int, stop: int) -> Tensor:
        """Samples `start` to `stop`, within 0..frames: float32, shape (channels, stop - start)."""
        ...


class Sound(Signal, Protocol):
    """A signal with a rate, such as :class:`Audio` and :class:`Recording`."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def duration(self) -> float:
        """Seconds."""
        ...

    def digest(self) -> str:
        """SHA-256 of the decoded samples: the same for the same sound in any container."""
        ...


@dataclass(frozen=True)
class Waveform:
    """A signal in memory, shape (channels, time)."""

    samples: Tensor

    @property
    def channels(self) -> int:
        return self.samples.shape[0]

    @property
    def frames(self) -> int:
        return self.samples.shape[1]

    def read(self, start: int, stop: int) -> Tensor:
        return self.samples[:, start:stop]


@dataclass(frozen=True, kw_only=True)
class Audio:
    """A piece of sound in memory.

    Attributes
    ----------
    waveform : Tensor, shape (channels, time), float32
        Full scale is +-1; a float file may hold more. Finite, 1 to 8 channels, at least one frame.
    sample_rate : int
        Hz.
    """

    waveform: Tensor
    sample_rate: int

    def __post_init__(self) -> None:
        if self.waveform.dim() != 2 or self.waveform.dtype != torch.float32:
            shape, dtype = tuple(self.waveform.shape), self.waveform.dtype
            raise AudioError(f"expected a float32 waveform of shape (channels, time), got {dtype} {shape}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise AudioError(f"the sound has {self.channels} channels; 1 to {MAX_CHANNELS} are supported")
        if self.frames == 0:
            raise AudioError("there is no sound in it (0 samples)")
        if self.sample_rate <= 0:
            raise AudioError(f"the sample rate must be positive, got {self.sample_rate} Hz")
        if not bool(torch.isfinite(self.waveform).all()):
            count = int((~torch.isfinite(self.waveform)).sum())
            raise AudioError(f"{count} of its samples are NaN or infinite")

    @property
    def channels(self) -> int:
        return self.waveform.shape[0]

    @property
    def frames(self) -> int:
        return self.waveform.shape[1]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate

    def read(self, start: int, stop: int) -> Tensor:
        return self.waveform[:, start:stop]

    def digest(self) -> str:
        return hashlib.sha256(self.waveform.T.contiguous().numpy().data).hexdigest()


# -- files -----------------------------------------------------------------------------------------


def read(path: str | Path, *, start: float = 0.0, duration: float | None = None, limits: Limits = Limits()) -> Audio:
    """Decode a sound file, or an excerpt of it, into memory; see :func:`separation.decoding.opened`.

    Raises
    ------
    AudioError
        One sentence that names the file, also if samples are NaN or infinite.
    """
    with opened(path, start=start, duration=duration, limits=limits) as file:
        blocks = list(file.blocks)
    waveform = np.empty((file.channels, sum(block.shape[1] for block in blocks)), dtype=np.float32)
    np.concatenate(blocks, axis=1, out=waveform)
    try:
        return Audio(waveform=torch.from_numpy(waveform), sample_rate=file.sample_rate)
    except AudioError as error:
        raise AudioError(f"cannot read {Path(path).name!r}: {error}") from error


class Recording:
    """A sound file, decoded once to disk and read from there: memory does not grow with its length.

    A thread of its own decodes into a nameless file of float samples, which is gone when this is
    closed or the process ends; what is there can be read while the rest is still on its way.

    Parameters
    ----------
    path, start, duration, limits
        As for :func:`separation.decoding.opened`.
    folder : path
        Where there is room: 10 MB for a minute of stereo at 44.1 kHz.

    Raises
    ------
    AudioError
        One sentence that names the file; what only decoding shows is raised where it matters: by
        :meth:`read`, :meth:`digest` and, for files that do not tell their length, :attr:`frames`.
    OSError
        By the same, if the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        folder: str | Path,
        *,
        start: float = 0.0,
        duration: float | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self._name = Path(path).name
        self._closing = ExitStack()
        try:
            decoded = self._closing.enter_context(opened(path, start=start, duration=duration, limits=limits))
            self._samples = self._closing.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))  # noqa: SIM115
        except BaseException:
            self._closing.close()
            raise
        self.sample_rate, self.channels = decoded.sample_rate, decoded.channels
        self._promised = decoded.frames
        self._written = 0
        self._error: Exception | None = None
        self._ended = self._stopped = False
        self._hash = hashlib.sha256()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._decode, args=(decoded,), name="decoder", daemon=True)
        self._thread.start()

    def _decode(self, decoded: Decoded) -> None:
        try:
            for block in decoded.blocks:
                if self._stopped:
                    break
                self._append(np.ascontiguousarray(block.T))
        except Exception as error:  # whoever reads is told
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
        while data:
            data = data[os.write(self._samples.fileno(), data) :]
        with self._news:
            self._written += len(block)
            self._news.notify_all()

    def _wait(self, frames: int | None) -> None:
        """Until so many are there, or all."""
        with self._news:
            self._news.wait_for(lambda: self._ended or (frames is not None and self._written >= frames))
        if self._error is not None:
            raise self._error

    @property
    def frames(self) -> int:
        if self._promised is None:
            self._wait(None)
            return self._written
        return self._promised

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate

    def read(self, start: int, stop: int) -> Tensor:
        """As :meth:`Signal.read`; waits until that part is decoded."""
        self._wait(stop)
        size = 4 * self.channels
        found = np.empty((stop - start, self.channels), dtype=np.float32)
        view, position = memoryview(found.reshape(-1).view(np.uint8).data), start * size
        while view:
            count = os.preadv(self._samples.fileno(), [view], position)
            if not count:
                raise ValueError(f"samples {start} to {stop} were asked for; there are {self._written}")
            view, position = view[count:], position + count
        return torch.from_numpy(found.T).contiguous()

    def digest(self) -> str:
        self._wait(None)
        return self._hash.hexdigest()

    def __reduce__(self) -> tuple[Callable[[], Audio], tuple[()]]:
        """Another process gets it in memory."""
        return partial(Audio, waveform=self.read(0, self.frames), sample_rate=self.sample_rate), ()

    def close(self) -> None:
        self._stopped = True
        self._thread.join()
        self._closing.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# -- rate and channels -----------------------------------------------------------------------------


class Resampler:
    """A resampler that is fed block by block and ends at an exact length.

    libsoxr at its "very high quality": linear phase, no delay, 145 dB of stop-band rejection.
    """

    def __init__(self, channels: int, from_rate: int, to_rate: int, *, frames: int) -> None:
        """`frames` is the length of everything that will have come out at the end."""
        self.left = frames
        same = from_rate == to_rate
        self._stream = None if same else soxr.ResampleStream(from_rate, to_rate, channels, "float32", "VHQ")

    def __call__(self, block: Tensor, *, last: bool = False) -> Tensor:
        """(channels, time) in, (channels, another time) out; `last` brings out all that remains."""
        if self._stream is not None:
            data = np.ascontiguousarray(block.numpy().T)
            block = torch.from_numpy(self._stream.resample_chunk(data, last=last).T)
        block = block[:, : self.left]
        self.left -= block.shape[1]
        if last and self.left:
            block = torch.nn.functional.pad(block, (0, self.left))
            self.left = 0
        return block


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """(channels, time) -> (channels, ceil(time * to_rate / from_rate)); see :class:`Resampler`."""
    if from_rate == to_rate:
        return waveform
    channels, frames = waveform.shape
    length = -(-frames * to_rate // from_rate)
    return Resampler(channels, from_rate, to_rate, frames=length)(waveform, last=True)


class Resampled:
    """A signal at another rate, resampled as it is read; see :class:`Resampler`.

    Made for readers that go forward: what lies more than a second before the last read is
    forgotten, and to go back further is to begin again.
    """

    def __init__(self, signal: Signal, from_rate: int, to_rate: int) -> None:
        self._signal, self._rates = signal, (from_rate, to_rate)
        self.channels = signal.channels
        self.frames = -(-signal.frames * to_rate // from_rate)
        self._rewind()

    def _rewind(self) -> None:
        self._resampler = Resampler(self.channels, *self._rates, frames=self.frames)
        self._taken = 0  # of the signal
        self._first, self._kept = 0, torch.empty(self.channels, 0)

    def read(self, start: int, stop: int) -> Tensor:
        if start < self._first:
            self._rewind()
        parts = [self._kept]
        end = self._first + self._kept.shape[1]
        while end < stop:
            until = min(self._signal.frames, self._taken + _BLOCK)
            block = self._signal.read(self._taken, until)
            self._taken = until
            parts.append(self._resampler(block, last=until == self._signal.frames))
            end += parts[-1].shape[1]
        self._kept = torch.cat(parts, dim=1) if len(parts) > 1 else self._kept
        found = self._kept[:, start - self._first : stop - self._first].clone()
        forget = max(0, start - self._rates[1] - self._first)
        self._kept, self._first = self._kept[:, forget:].clone(), self._first + forget
        return found


class Remixed:
    """A signal with other channels: `mix` makes (channels, time) of what is read."""

    def __init__(self, signal: Signal, channels: int, mix: Callable[[Tensor], Tensor]) -> None:
        self._signal, self._mix = signal, mix
        self.channels, self.frames = channels, signal.frames

    def read(self, start: int, stop: int) -> Tensor:
        return self._mix(self._signal.read(start, stop))


# Gain of each channel in the left and the right one, in the WAVE order of speakers, after
# ITU-R BS.775: centre and surrounds at -3 dB, the low-frequency effects channel left out.
_L, _R, _C, _LFE, _LS, _RS, _BC = (
    (1.0, 0.0),
    (0.0, 1.0),
    (0.5**0.5,) * 2,
    (0.0, 0.0),
    (0.5**0.5, 0.0),
    (0.0, 0.5**0.5),
    (0.5, 0.5),
)
_DOWN_MIX = {
    3: (_L, _R, _C),
    4: (_L, _R, _LS, _RS),
    5: (_L, _R, _C, _LS, _RS),
    6: (_L, _R, _C, _LFE, _LS, _RS),
    7: (_L, _R, _C, _LFE, _BC, _LS, _RS),
    8: (_L, _R, _C, _LFE, _LS, _RS, _LS, _RS),
}


def down_mix(waveform: Tensor) -> Tensor:
    """More than two channels to stereo, as ITU-R BS.775 has it; mono and stereo stay as they are.

    The channels are taken in WAVE order: 3 = L R C, 4 = L R Ls Rs, 5 = L R C Ls Rs,
    6 = 5.1 (L R C LFE Ls Rs), 7 = 6.1, 8 = 7.1. Centre and surrounds enter at -3 dB, LFE is left
    out. The sum is not scaled down: float samples may exceed full scale.
    """
    channels = waveform.shape[0]
    if channels <= 2:
        return waveform
    gains = torch.tensor(_DOWN_MIX[channels], dtype=waveform.dtype, device=waveform.device)
    return gains.T @ waveform
