"""Decoding with PyAV, for formats that libsndfile does not read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, cast

import numpy as np

from separation.audio.limits import Limits, check_format_limits, limit_size
from separation.audio.stream import AudioError, AudioStream, as_sentence, to_frames

__all__ = ["decode_pyav"]

# Containers that hold sound and cannot name another file to be opened in their place.
_PYAV_FORMATS = (
    *("mov", "mp4", "matroska", "webm", "aac", "ogg", "mp3", "wav", "w64", "flac", "aiff", "caf"),
    *("ac3", "eac3", "asf", "wv", "tta", "ape", "dts", "dtshd", "mpc", "mpc8", "tak", "shn"),
)


class _PathlessFile:
    """A file object without a path, so that the demuxer cannot open other files relative to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):  # offsets in a damaged file may be anything
            return -1


def decode_pyav(
    file: IO[bytes], closing: ExitStack, start: float, duration: float | None, limits: Limits
) -> AudioStream:
    import av  # slow to import and rarely needed

    whitelist = {"format_whitelist": ",".join(_PYAV_FORMATS)}
    with _pyav_errors():
        container = closing.enter_context(av.open(_PathlessFile(file), options=whitelist, metadata_errors="replace"))
        if not set(container.format.name.split(",")) & set(_PYAV_FORMATS):
            raise AudioError(f"{container.format.name} files are not supported")
        if not container.streams.audio:
            raise AudioError("there is no sound in it")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioError("its sound is coded in a way that is not known here")
        rate, channels = stream.rate, stream.channels
    check_format_limits(rate, channels, limits)
    everything = limit_size(_planar(cast("Any", container), stream), limits)
    blocks = _excerpt(everything, rate, start, duration)
    return AudioStream(sample_rate=rate, channels=channels, frames=None, blocks=blocks)


@contextmanager
def _pyav_errors() -> Iterator[None]:
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise AudioError(f"it is not a sound file that can be decoded ({as_sentence(error)})") from error


def _excerpt(blocks: Iterator[np.ndarray], rate: int, start: float, duration: float | None) -> Iterator[np.ndarray]:
    first = to_frames(start, rate)
    last = None if duration is None else first + max(1, to_frames(duration, rate))
    position, found = 0, False
    for block in blocks:
        begin, end = max(first - position, 0), block.shape[1] if last is None else max(last - position, 0)
        position += block.shape[1]
        if block[:, begin:end].shape[1]:
            found = True
            yield block[:, begin:end]
        if last is not None and position >= last:
            break
    if position == 0:
        raise AudioError("there is no sound in it (0 samples)")
    if not found:
        raise AudioError(f"the excerpt starts at {start:g} s, the sound ends at {position / rate:.2f} s")


def _planar(container: Any, stream: Any) -> Iterator[np.ndarray]:
    """Decode a whole stream to float32 blocks, each (channels, time)."""
    import av

    rate, channels = stream.rate, stream.channels
    converter = av.AudioResampler(format="fltp")  # converts the sample format only
    with _pyav_errors():
        for frame in _frames(container, stream):
            if frame.sample_rate != rate or frame.layout.nb_channels != channels:
                raise AudioError("its rate or number of channels changes on the way")
            for converted in converter.resample(frame):
                yield converted.to_ndarray()


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Yield decoded frames; ignore an incomplete last one, as in a recorded broadcast."""
    import av

    broken: Exception | None = None
    for packet in container.demux(stream):
        if broken is not None and packet.size:
            break
        try:
            yield from packet.decode()
        except av.InvalidDataError as error:
            broken = error
            if container.format.name not in ("aac", "mp3"):
                break
    else:
        return
    raise AudioError("its sound is cut off or damaged") from broken
