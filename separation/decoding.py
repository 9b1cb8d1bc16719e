"""Sound files, opened safely and decoded block by block."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import soundfile

from separation.containers import ends_early, mp3_tells_its_length, peek

__all__ = ["MAX_CHANNELS", "AudioError", "Decoded", "Limits", "opened"]

MAX_CHANNELS = 8
BLOCK = 1 << 16  # frames decoded at a time: small enough to forget, large enough to be fast

# Containers that hold sound and cannot name another file to be opened in their place. A
# playlist (HLS, ffconcat, ...) dressed up as song.mp3 would otherwise make the decoder read,
# and the server hand out, any file of the machine it points to.
_LIBSNDFILE_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3", "CAF", "AU"}
_PYAV_FORMATS = ("mov", "mp4", "matroska", "webm", "aac", "ogg", "mp3", "wav", "flac", "aiff", "caf")


_MALFORMED = 3  # libsndfile's error for a format that it knows and a file that is not right
_UNKNOWN = 2**62  # frames, or more: libsndfile's word for a FLAC that came from a pipe and does not tell

# Names in libsndfile's log of the lengths that a file's header claims.
_CLAIMS = {
    "WAV": {"data"},
    "WAVEX": {"data"},
    "AIFF": {"SSND"},
    "CAF": {"data"},
    "AU": {"Data Size"},
    "W64": {"riff"},
    "RF64": {"Riff size"},
}


class AudioError(ValueError):
    """A file that cannot be used as sound; the message is one sentence for its owner."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of a stranger's file is taken; by default, all of it.

    They hold while it is decoded: what a file says of itself may be a lie.

    Attributes
    ----------
    file_bytes : float
        Of the file.
    seconds : float
        Of the excerpt.
    channels : int
        At most 8, whatever the limit.
    sample_rate : float
        Hz.
    decoded_bytes : float
        Of all that has to be decoded, four for a sample, also of what lies before the excerpt.
    """

    file_bytes: float = float("inf")
    seconds: float = float("inf")
    channels: int = MAX_CHANNELS
    sample_rate: float = float("inf")
    decoded_bytes: float = float("inf")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """An open file, or an excerpt of it.

    Attributes
    ----------
    sample_rate : int
        Hz.
    channels : int
        1 to 8.
    frames : int or None
        How many `blocks` will hold; None if the file does not tell.
    blocks : iterator of float32 arrays, each (channels, some time)
        Full scale is +-1; may hold NaN. Raises AudioError where the file turns out to be damaged.
    """

    sample_rate: int
    channels: int
    frames: int | None
    blocks: Iterator[np.ndarray]


@contextmanager
def opened(
    path: str | Path, *, start: float = 0.0, duration: float | None = None, limits: Limits = Limits()
) -> Iterator[Decoded]:
    """Open a sound file at its own rate and with its own channels.

    libsndfile reads WAV, AIFF, FLAC, OGG (Vorbis and Opus), MP3, CAF and AU; what it does not
    know goes to PyAV: M4A, AAC, MP4, WebM, Matroska, and MP3 and FLAC files that do not tell their
    length. The suffix is ignored, the content decides.

    Parameters
    ----------
    path : path
        A regular file.
    start, duration : float, seconds
        The excerpt; `duration` beyond the end means up to the end.
    limits : Limits

    Raises
    ------
    AudioError
        One sentence that names the file: missing, empty, not sound, cut off, more than 8
        channels, beyond a limit, or an excerpt outside of it. What only decoding shows is raised
        by the blocks.
    """
    path = Path(path)
    if not (start >= 0 and np.isfinite(start)):
        raise AudioError(f"the excerpt must start at 0 s or later, got {start}")
    if duration is not None and not (duration > 0 and np.isfinite(duration)):
        raise AudioError(f"the excerpt must last longer than 0 s, got {duration}")
    with ExitStack() as closing:
        with _named(path):
            if not path.is_file():
                raise AudioError("no such file" if not path.exists() else "not a file")
            size = path.stat().st_size
            if size == 0:
                raise AudioError("the file is empty")
            if size > limits.file_bytes:
                raise AudioError(f"it has {size / 1e6:.1f} MB; the limit is {limits.file_bytes / 1e6:g} MB")
            file = closing.enter_context(path.open("rb", buffering=0))
            decoded = _decode(file, closing, start, duration, limits)
            if decoded.frames is not None:
                _refuse_longer(decoded.frames, decoded.sample_rate, limits)
        yield Decoded(
            sample_rate=decoded.sample_rate,
            channels=decoded.channels,
            frames=decoded.frames,
            blocks=_named_blocks(_no_longer(decoded, limits), path),
        )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors as one sentence that names the file and no folder."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"cannot read {path.name!r}: {error}") from error
    except OSError as error:
        raise AudioError(f"cannot read {path.name!r}: {error.strerror or 'the disk refused'}") from error


def _named_blocks(blocks: Iterator[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    while True:
        with _named(path):  # not around the yield: what goes wrong with a block later is not the file's
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _refuse_beyond(rate: int, channels: int, limits: Limits) -> None:
    most = min(limits.channels, MAX_CHANNELS)
    if not 1 <= channels <= most:
        raise AudioError(f"the sound has {channels} channels; 1 to {most} are supported")
    if rate <= 0:
        raise AudioError(f"the sample rate must be positive, got {rate} Hz")
    if rate > limits.sample_rate:
        raise AudioError(f"it has {rate} samples a second; the limit is {limits.sample_rate:g} Hz")


def _refuse_longer(frames: int, rate: int, limits: Limits) -> None:
    if frames > limits.seconds * rate:
        raise AudioError(f"it lasts longer than {limits.seconds / 60:g} min, the limit: choose an excerpt")


def _no_longer(decoded: Decoded, limits: Limits) -> Iterator[np.ndarray]:
    """Its blocks, for as long as they are within the limit: a file may not tell its length, or lie."""
    frames = 0
    for block in decoded.blocks:
        frames += block.shape[1]
        _refuse_longer(frames, decoded.sample_rate, limits)
        yield block


def _no_larger(blocks: Iterator[np.ndarray], limits: Limits) -> Iterator[np.ndarray]:
    """Blocks, for as long as all that was decoded is within the limit."""
    size = 0
    for block in blocks:
        size += 4 * block.size
        if size > limits.decoded_bytes:
            raise AudioError(f"it unpacks to more than {limits.decoded_bytes / 1e6:g} MB, the limit")
        yield block


def _decode(file: IO[bytes], closing: ExitStack, start: float, duration: float | None, limits: Limits) -> Decoded:
    if ends_early(file):
        raise AudioError("the file is cut off: its last part is not all there")
    try:
        # The descriptor, not the file object: no name to guess a format from, and no way back into
        # Python on which a signal, such as Ctrl-C, would get lost.
        sound = closing.enter_context(soundfile.SoundFile(file.fileno(), closefd=False))
    except soundfile.LibsndfileError as error:
        if error.code == _MALFORMED and peek(file, 0, 4) == b"caff":  # so it says if a CAF is cut; PyAV would not mind
            raise AudioError("the file is cut off or damaged") from error
    else:
        if sound.format not in _LIBSNDFILE_FORMATS:
            raise AudioError(f"{sound.format} files are not supported")
        if sound.frames < _UNKNOWN and (sound.format != "MP3" or mp3_tells_its_length(file)):
            _refuse_truncated(sound)
            return _with_libsndfile(sound, start, duration, limits)
    file.seek(0)
    return _with_pyav(file, closing, start, duration, limits)


def _with_libsndfile(sound: soundfile.SoundFile, start: float, duration: float | None, limits: Limits) -> Decoded:
    rate = sound.samplerate
    _refuse_beyond(rate, sound.channels, limits)
    first = _frames_in(start, rate)
    wanted = sys.maxsize if duration is None else max(1, _frames_in(duration, rate))
    if 0 < sound.frames <= first:
        raise AudioError(f"the excerpt starts at {start:g} s, the sound ends at {sound.frames / rate:.2f} s")
    expected = max(0, min(wanted, sound.frames - first))
    blocks = _no_larger(_libsndfile_blocks(sound, first, wanted, expected), limits)
    # A header that announces nothing tells nothing: the blocks will.
    return Decoded(sample_rate=rate, channels=sound.channels, frames=expected or None, blocks=blocks)


def _libsndfile_blocks(sound: soundfile.SoundFile, first: int, wanted: int, expected: int) -> Iterator[np.ndarray]:
    held = 0
    try:
        if first:
            sound.seek(first)
        while held < wanted:  # in blocks: the header may announce more than fits into memory
            block = sound.read(min(BLOCK, wanted - held), dtype="float32", always_2d=True)
            if not len(block):
                break
            held += len(block)
            yield block.T
    except soundfile.LibsndfileError as error:
        raise AudioError(f"its sound is cut off or damaged ({_sentence(error)})") from error
    if held < expected:
        raise AudioError(f"the file is cut off: it announces {expected} samples and holds {held}")
    if not held:
        raise AudioError("there is no sound in it (0 samples)")


def _frames_in(seconds: float, rate: int) -> int:
    return round(min(seconds * rate, 2.0**62))


# -- files that end too early ----------------------------------------------------------------------


def _refuse_truncated(sound: soundfile.SoundFile) -> None:
    """libsndfile quietly shortens a file that ends before its header says; only its log tells."""
    for line in sound.extra_info.splitlines():
        name, _, rest = line.strip().partition(":")
        numbers = [int(word) for word in rest.replace("(should be", " ").replace(")", " ").split() if word.isdigit()]
        if name.strip() in _CLAIMS.get(sound.format, ()) and "should be" in rest and len(numbers) == 2:
            claimed, present = numbers
            # A recorder that could not seek back leaves 0 or the largest number it has: no claim, no error.
            unknown = any(largest - 0xFFFF <= claimed <= largest + 1 for largest in (2**31 - 1, 2**32 - 1))
            if present < claimed and not unknown:
                raise AudioError(f"the file is cut off: it announces {claimed} bytes and holds {present}")


# -- what libsndfile does not know -----------------------------------------------------------------


class _Nameless:
    """All of a file that the demuxer gets: with no path, there is none to resolve another one against."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):  # a damaged file leads anywhere
            return -1


def _with_pyav(file: IO[bytes], closing: ExitStack, start: float, duration: float | None, limits: Limits) -> Decoded:
    import av  # slow to import, and seldom needed

    whitelist = {"format_whitelist": ",".join(_PYAV_FORMATS)}
    with _pyav_errors():
        container = closing.enter_context(av.open(_Nameless(file), options=whitelist, metadata_errors="replace"))
        if not set(container.format.name.split(",")) & set(_PYAV_FORMATS):
            raise AudioError(f"{container.format.name} files are not supported")
        if not container.streams.audio:
            raise AudioError("there is no sound in it")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioError("its sound is coded in a way that is not known here")
        rate, channels = stream.rate, stream.channels
    _refuse_beyond(rate, channels, limits)
    everything = _no_larger(_planar(cast(Any, container), stream), limits)
    blocks = _excerpt(everything, rate, start, duration)
    return Decoded(sample_rate=rate, channels=channels, frames=None, blocks=blocks)


@contextmanager
def _pyav_errors() -> Iterator[None]:
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise AudioError(f"it is not a sound file that can be decoded ({_sentence(error)})") from error


def _excerpt(blocks: Iterator[np.ndarray], rate: int, start: float, duration: float | None) -> Iterator[np.ndarray]:
    first = _frames_in(start, rate)
    last = None if duration is None else first + max(1, _frames_in(duration, rate))
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
    """Everything of a stream as float32, (channels, some time)."""
    import av

    rate, channels = stream.rate, stream.channels
    converter = av.AudioResampler(format="fltp")  # only the number format changes
    with _pyav_errors():
        for frame in _frames(container, stream):
            if frame.sample_rate != rate or frame.layout.nb_channels != channels:
                raise AudioError("its rate or number of channels changes on the way")
            for converted in converter.resample(frame):
                yield converted.to_ndarray()


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames. A raw stream, such as a recorded broadcast, may break off within its last one."""
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


def _sentence(error: Exception) -> str:
    """What a decoder says, without the file names and addresses some of them add."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or "unknown format"
    return str(text).strip().rstrip(".").lower()
