"""Open any audio file safely and decode it block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from separation.audio.decode_pyav import decode_pyav
from separation.audio.decode_sndfile import SNDFILE_FORMATS, UNKNOWN_LENGTH, check_claimed_size, decode_sndfile
from separation.audio.integrity import is_truncated, mp3_has_length, ogg_is_chained, read_bytes_at
from separation.audio.limits import Limits, check_duration, limit_duration
from separation.audio.stream import AudioError, AudioStream

__all__ = ["open_audio"]

_MALFORMED = 3  # libsndfile's error code for a malformed file of a known format


@contextmanager
def open_audio(
    path: str | Path, *, start: float = 0.0, duration: float | None = None, limits: Limits = Limits()
) -> Iterator[AudioStream]:
    """Open an audio file at its own sample rate and channel count.

    libsndfile reads WAV, AIFF, FLAC, Ogg (Vorbis and Opus), MP3, CAF and AU. PyAV reads the rest: M4A, AAC,
    MP4, WebM, Matroska, AC-3, E-AC-3, WMA, WavPack, TTA, MP3 in a WAV,
    chained Ogg, and MP3 and FLAC files without a length in their header. The format is detected from the
    content; the suffix is ignored.

    Parameters
    ----------
    path : path
        A regular file.
    start : float
        Start of the excerpt in seconds, at least 0.
    duration : float, optional
        Length of the excerpt in seconds, above 0; it ends at the end of the file if it is longer.
    limits : Limits
        Limits for untrusted files; none by default.

    Yields
    ------
    AudioStream

    Raises
    ------
    AudioError
        If the file is missing, empty, not audio, truncated, beyond a limit, has more than 8
        channels, or the excerpt starts after its end. The message is one sentence that names the
        file. Errors found only while decoding are raised by the blocks.
    """
    path = Path(path)
    if not (start >= 0 and np.isfinite(start)):
        raise AudioError(f"the excerpt must start at 0 s or later, got {start}")
    if duration is not None and not (duration > 0 and np.isfinite(duration)):
        raise AudioError(f"the excerpt must last longer than 0 s, got {duration}")
    with ExitStack() as closing:
        with _naming_file(path):
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
                check_duration(decoded.frames, decoded.sample_rate, limits)
        yield AudioStream(
            sample_rate=decoded.sample_rate,
            channels=decoded.channels,
            frames=decoded.frames,
            blocks=_named_blocks(limit_duration(decoded, limits), path),
        )


@contextmanager
def _naming_file(path: Path) -> Iterator[None]:
    """Re-raise errors as one sentence that names the file, without its folder."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"cannot read {path.name!r}: {error}") from error
    except OSError as error:
        raise AudioError(f"cannot read {path.name!r}: {error.strerror or 'the disk refused'}") from error


def _named_blocks(blocks: Iterator[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    while True:
        with _naming_file(path):  # not around the yield: errors of the consumer are not the file's
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _decode(file: IO[bytes], closing: ExitStack, start: float, duration: float | None, limits: Limits) -> AudioStream:
    if is_truncated(file):
        raise AudioError("the file is cut off: its last part is not all there")
    try:
        # The descriptor, not the file object: there is no name to guess a format from, and no callback
        # into Python in which a signal such as Ctrl-C would get lost.
        sound = closing.enter_context(soundfile.SoundFile(file.fileno(), closefd=False))
    except soundfile.LibsndfileError as error:
        if (
            error.code == _MALFORMED and read_bytes_at(file, 0, 4) == b"caff"
        ):  # a truncated CAF; PyAV would not report it
            raise AudioError("the file is cut off or damaged") from error
    else:
        if sound.format not in SNDFILE_FORMATS:
            raise AudioError(f"{sound.format} files are not supported")
        proven = not (sound.format == "OGG" and ogg_is_chained(file))
        proven = proven and not (sound.format.startswith("WAV") and sound.subtype.startswith("MPEG"))
        if proven and sound.frames < UNKNOWN_LENGTH and (sound.format != "MP3" or mp3_has_length(file)):
            check_claimed_size(sound)
            return decode_sndfile(sound, start, duration, limits)
        # libsndfile reads only the first of chained Ogg streams, and estimates the length of MP3 in a WAV.
    file.seek(0)
    return decode_pyav(file, closing, start, duration, limits)
