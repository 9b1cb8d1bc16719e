"""Decoding with PyAV, for formats that libsndfile does not read, and for damaged files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np

from separation.audio.core_audio import hidden_layouts, stored_speakers
from separation.audio.integrity import mp3_length, unfinished_au
from separation.audio.limits import Limits, check_format_limits, limit_size
from separation.audio.losses import Losses
from separation.audio.speakers import known_speakers
from separation.audio.stream import BLOCK, AudioError, AudioStream, DamageReport, Excerpt, as_sentence

__all__ = ["decode_pyav", "speakers_by_pyav"]

# Audio containers that cannot refer to other files.
_PYAV_FORMATS = (
    *("mov", "mp4", "matroska", "webm", "aac", "loas", "ogg", "mp3", "wav", "w64", "flac", "aiff", "caf", "au"),
    *("ac3", "eac3", "truehd", "mlp", "dts", "dtshd", "asf", "wv", "tta", "ape", "mpc", "mpc8", "tak", "shn"),
    *("avi", "flv", "mpegts", "mpeg"),
)

#: Containers whose header states the duration; for others FFmpeg estimates it from the bit rate.
_STATES_LENGTH = {"flac", "wv", "tta", "caf", "aiff", "avi", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}

_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")  # between concatenated MP3 files, and after the last

_MOST_STRAY = 8  # consecutive frames of another rate that count as damage; more are a change of rate


class _PathlessFile:
    """A file object without a path, so that the demuxer cannot open other files relative to it.

    `hidden` maps positions to bytes that replace the file's.
    """

    def __init__(self, file: IO[bytes], hidden: dict[int, bytes]) -> None:
        self._file, self._hidden = file, hidden
        self.tell = file.tell

    def read(self, count: int = -1) -> bytes:
        start = self._file.tell()
        data = self._file.read(count)
        for position, replacement in self._hidden.items():
            for offset, byte in enumerate(replacement, start=position - start):
                if 0 <= offset < len(data):
                    data = data[:offset] + bytes([byte]) + data[offset + 1 :]
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):  # a damaged file may hold any offset
            return -1


def decode_pyav(
    file: IO[bytes], closing: ExitStack, excerpt: Excerpt, limits: Limits, damage: DamageReport
) -> AudioStream:
    """Open a file with PyAV; the arguments are those of :func:`separation.audio.decoding.open_audio`."""
    container, stream = _open(file, closing)
    rate, channels = stream.rate, stream.channels
    check_format_limits(rate, channels, limits)
    everything = limit_size(_planar(container, stream, damage, _announced(file, container, stream)), limits)
    return AudioStream(
        sample_rate=rate,
        channels=channels,
        frames=None,
        blocks=excerpt.cut(everything, rate),
        speakers=_speakers(file, container, stream),
    )


def speakers_by_pyav(file: IO[bytes]) -> tuple[str, ...] | None:
    """Return the speakers that the header of a file names; None if it names none.

    The position in the file is restored, since another decoder may share it.
    """
    position = file.tell()
    file.seek(0)
    try:
        with ExitStack() as closing:
            return _speakers(file, *_open(file, closing))
    except AudioError:
        return None
    finally:
        file.seek(position)


def _open(file: IO[bytes], closing: ExitStack) -> tuple[Any, Any]:
    """Return the container and its audio stream; of several, the one that FFmpeg prefers, such as the default one."""
    import av  # slow to import and rarely needed

    options = {"format_whitelist": ",".join(_PYAV_FORMATS)}
    source = _PathlessFile(file, hidden_layouts(file) | unfinished_au(file))
    with _pyav_errors():
        container = closing.enter_context(av.open(source, options=options, metadata_errors="replace"))
        if not set(container.format.name.split(",")) & set(_PYAV_FORMATS):
            raise AudioError(f"{container.format.name} files are not supported")
        if not container.streams.audio:
            raise AudioError("it contains no audio")
        stream: Any = container.streams.best("audio") or container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioError("its audio codec is not supported")
        if stream.codec_context.name == "flac":  # by default damaged frames decode to noise
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        return container, stream


@contextmanager
def _pyav_errors() -> Iterator[None]:
    import av

    try:
        yield
    except av.FFmpegError as error:
        # FFmpeg's answer to a format that is not on the list is "invalid argument".
        unlisted = isinstance(error, av.ArgumentError)
        why = "WAV, FLAC, MP3, M4A and Ogg are among the formats that can" if unlisted else as_sentence(error)
        raise AudioError(f"it is not an audio file that can be decoded ({why})") from error


def _speakers(file: IO[bytes], container: Any, stream: Any) -> tuple[str, ...] | None:
    if container.format.name == "tta":  # FFmpeg only guesses a layout from the number of channels
        return None
    names = tuple(channel.name for channel in stream.layout.channels)
    return known_speakers(names) or stored_speakers(file, stream.channels)


def _announced(file: IO[bytes], container: Any, stream: Any) -> int | None:
    """Return the number of samples that the header announces; None if it does not say."""
    name, duration = container.format.name, None
    if stream.duration is not None:
        duration = round(stream.duration * stream.time_base * stream.rate)
    elif container.duration is not None and len(container.streams) == 1:
        duration = round(container.duration * stream.rate / 1_000_000)
    if name == "mp3":  # FFmpeg estimates the duration if the index does not fit the file
        indexed = mp3_length(file)
        return min(indexed, duration or indexed) if indexed else None
    return duration if name in _STATES_LENGTH else None


def _planar(container: Any, stream: Any, damage: DamageReport, announced: int | None) -> Iterator[np.ndarray]:
    """Decode a whole stream to float32 blocks, each (channels, time)."""
    import av

    rate, channels, stray, position = stream.rate, stream.channels, 0, 0
    # Converts the sample format only; interleaved, since PyAV 18 reads a ninth plane of planar frames of 8 channels.
    converter = av.AudioResampler(format="flt")
    losses = Losses(rate, stream.time_base, damage)
    for frame in _frames(container, stream, losses):
        same = frame is not None and (frame.sample_rate, frame.layout.nb_channels) == (rate, channels)
        if not same:
            stray += frame is not None
            if stray > _MOST_STRAY:
                raise AudioError("its sample rate or number of channels changes partway through")
            losses.packet(position)
            continue
        stray = 0
        missing = losses.before(frame, position)
        position += missing + frame.samples
        for size in range(missing, 0, -BLOCK):
            yield np.zeros((channels, min(size, BLOCK)), dtype=np.float32)
        try:
            yield from [one.to_ndarray().reshape(-1, channels).T for one in converter.resample(frame)]
        except ValueError as error:  # another channel layout
            raise AudioError("its channel layout changes partway through") from error
    losses.end(position, announced)


def _frames(container: Any, stream: Any, losses: Losses) -> Iterator[Any]:
    """Yield decoded frames, and None for each packet that cannot be decoded."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except IndexError:  # PyAV 18 on a packet of a stream that begins later in the file; it is skipped
            packets = container.demux(stream)
            continue
        except av.FFmpegError:  # the container is damaged from here on
            yield None
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except av.FFmpegError:
            if bytes(packet).startswith(_TAGS):
                losses.skip_tag()
            else:
                yield None
