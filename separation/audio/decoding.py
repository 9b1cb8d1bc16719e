"""Open any audio file safely and decode it block by block."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from separation.audio.decode_pyav import decode_pyav, speakers_by_pyav
from separation.audio.decode_sndfile import (
    SNDFILE_FORMATS,
    UNKNOWN_LENGTH,
    check_claimed_size,
    decode_sndfile,
    tail_is_readable,
)
from separation.audio.flac_frames import flac_end
from separation.audio.integrity import (
    file_size,
    is_for_sndfile,
    is_truncated,
    is_unfinished,
    read_bytes_at,
    w64_frames,
)
from separation.audio.joined import extra_data, joined_files
from separation.audio.limits import Limits, check_duration, limit_duration, limit_size
from separation.audio.ogg import OggLink, ogg_links
from separation.audio.speakers import WAVE_ORDER
from separation.audio.stream import AudioError, AudioStream, DamageReport, Excerpt

__all__ = ["open_audio"]

_COPIED = 1 << 20  # bytes copied at a time
_MALFORMED = (3, 24)  # libsndfile's error codes for a malformed file of a known format, or one without length


@contextmanager
def open_audio(
    path: str | Path,
    *,
    start: float = 0.0,
    duration: float | None = None,
    limits: Limits = Limits(),
    strict: bool = False,
) -> Iterator[AudioStream]:
    """Open an audio file at its own sample rate and channel count.

    libsndfile reads WAV, AIFF, FLAC, Ogg (Vorbis and Opus), CAF and AU. PyAV reads the rest, and the rest of a file
    that is damaged. docs/formats.md lists the tested formats. The format is detected from the content; the suffix
    is ignored.

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
    strict : bool
        Whether a truncated or damaged file is an error. Otherwise all audio that can be decoded is read, with warnings.

    Yields
    ------
    AudioStream

    Raises
    ------
    AudioError
        If the file is missing, empty, not audio, beyond a limit, has more than 8 channels, or the excerpt starts
        after its end. The message is one sentence that names the file. Errors found only while decoding are raised
        by the blocks.
    """
    path = Path(path)
    if not (start >= 0 and np.isfinite(start)):
        raise AudioError(f"the excerpt must start at 0 s or later, got {start}")
    if duration is not None and not (duration > 0 and np.isfinite(duration)):
        raise AudioError(f"the excerpt must last longer than 0 s, got {duration}")
    with ExitStack() as closing:
        damage = DamageReport(strict=strict)
        with _naming_file(path):
            if not path.is_file():
                raise AudioError("no such file" if not path.exists() else "not a file")
            size = path.stat().st_size
            if size == 0:
                raise AudioError("the file is empty")
            if size > limits.file_bytes:
                raise AudioError(f"it has {size / 1e6:.1f} MB; the limit is {limits.file_bytes / 1e6:g} MB")
            file = closing.enter_context(path.open("rb", buffering=0))
            decoded = _decode(file, _Opening(closing, Excerpt(start, duration), limits, damage))
            if decoded.frames is not None:
                check_duration(decoded.frames, decoded.sample_rate, limits)
        blocks = _named_blocks(limit_duration(decoded, limits), path)
        yield replace(decoded, blocks=blocks, warnings=damage.warnings)


@contextmanager
def _naming_file(path: Path) -> Iterator[None]:
    """Re-raise errors as one sentence that names the file, without its folder."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"cannot read {path.name!r}: {error}") from error
    except OSError as error:
        raise AudioError(f"cannot read {path.name!r}: {error.strerror or 'input/output error'}") from error


def _named_blocks(blocks: Iterator[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    while True:
        with _naming_file(path):  # not around the yield: errors of the consumer are not the file's
            block = next(blocks, None)
        if block is None:
            return
        yield block


@dataclass(frozen=True)
class _Opening:
    """Arguments for opening a file that do not depend on the decoder."""

    closing: ExitStack
    excerpt: Excerpt
    limits: Limits
    damage: DamageReport

    def by_pyav(self, file: IO[bytes], excerpt: Excerpt | None = None) -> AudioStream:
        file.seek(0)
        try:
            return decode_pyav(file, self.closing, excerpt or self.excerpt, self.limits, self.damage)
        except AudioError as error:
            if not self.damage.warnings or error.__cause__ is None:  # errors about limits stay as they are
                raise
            raise AudioError(f"{self.damage.warnings[0]}, and none of its audio can be decoded") from error


def _decode(file: IO[bytes], opening: _Opening) -> AudioStream:
    """Open a file with the decoder for its format."""
    head = read_bytes_at(file, 0, 4)
    if head == b"OggS":
        return _decode_ogg(file, opening)
    parts = joined_files(file)
    if len(parts) > 1:
        return _decode_parts(file, [_Part(start, stop, _decode_one) for start, stop in parts], opening)
    return _decode_one(file, opening)


def _decode_one(file: IO[bytes], opening: _Opening) -> AudioStream:
    """Decode a file that is not a chain of several."""
    if extra := extra_data(file):
        opening.damage.add("the file has a second data chunk, which is ignored")
        return _Part(0, extra, _decode_file).open(file, opening)
    return _decode_file(file, opening)


def _decode_file(file: IO[bytes], opening: _Opening) -> AudioStream:
    if is_truncated(file):
        opening.damage.add("the file is cut off: its last part is incomplete")
    sound = _open_sndfile(file, opening) if is_for_sndfile(file) else None
    if sound is None:
        return opening.by_pyav(file)
    announced = w64_frames(file) if sound.format == "W64" else None
    decoded = decode_sndfile(sound, opening.excerpt, opening.limits, partial(_go_on, file, opening), announced)
    if decoded.channels <= 2:
        return decoded
    b_format = "(Ambisonic B)" in sound.extra_info
    return replace(decoded, speakers=("W", "X", "Y", "Z")[: decoded.channels] if b_format else speakers_by_pyav(file))


def _open_sndfile(file: IO[bytes], opening: _Opening) -> soundfile.SoundFile | None:
    """Open a file with libsndfile; return None for a file that PyAV must decode."""
    try:
        # The descriptor, not the file object: there is no name to guess a format from, and no callback
        # into Python in which a signal such as Ctrl-C would get lost.
        sound = opening.closing.enter_context(soundfile.SoundFile(file.fileno(), closefd=False))
    except soundfile.LibsndfileError as error:
        if error.code in _MALFORMED and read_bytes_at(file, 0, 4) == b"caff":  # PyAV would not report it
            opening.damage.add("the file is cut off or damaged: its header does not match its content")
        return None
    if sound.format not in SNDFILE_FORMATS:
        raise AudioError(f"{sound.format} files are not supported")
    if sound.frames == 0 and is_unfinished(file):
        opening.damage.add("its header was never finished: it announces no audio, but the file holds some")
        return None
    if sound.frames >= UNKNOWN_LENGTH:
        return None
    if sound.format == "FLAC" and (flac_end(file) > sound.frames or not tail_is_readable(sound)):
        return None
    check_claimed_size(sound, opening.damage)
    return sound


def _go_on(file: IO[bytes], opening: _Opening, excerpt: Excerpt) -> AudioStream:
    if opening.damage.strict:
        raise AudioError("its audio is cut off or damaged")
    return opening.by_pyav(file, excerpt)


def _decode_ogg(file: IO[bytes], opening: _Opening) -> AudioStream:
    """Decode the streams of an Ogg file one after the other: FFmpeg loses the beginning of all but the first."""
    links = ogg_links(file)
    if not links:
        raise AudioError("it is not an audio file that can be decoded (it contains no beginning of an Ogg stream)")
    for link in links:
        if link.cut:
            opening.damage.add("the file is cut off: the end of its audio is missing")
    if len(links) == 1 and (links[0].start, links[0].stop) == (0, file_size(file)):
        return _decode_link(links[0], file, opening)
    return _decode_parts(file, [_Part(link.start, link.stop, partial(_decode_link, link)) for link in links], opening)


def _decode_link(link: OggLink, file: IO[bytes], opening: _Opening) -> AudioStream:
    sound = _open_sndfile(file, opening) if link.is_simple else None
    if sound is None:
        return opening.by_pyav(file)
    decoded = decode_sndfile(sound, opening.excerpt, opening.limits, partial(_go_on, file, opening))
    return replace(decoded, speakers=WAVE_ORDER.get(decoded.channels))


@dataclass(frozen=True)
class _Part:
    """A part of a file that is decoded as a separate file: its byte range and its decoder."""

    start: int
    stop: int
    decode: Callable[[IO[bytes], _Opening], AudioStream]

    def open(self, file: IO[bytes], opening: _Opening) -> AudioStream:
        """Decode a temporary copy, which `opening` removes."""
        part = opening.closing.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
        for position in range(self.start, self.stop, _COPIED):
            part.write(read_bytes_at(file, position, min(_COPIED, self.stop - position)))
        part.seek(0)
        return self.decode(part, opening)


def _decode_parts(file: IO[bytes], parts: Sequence[_Part], opening: _Opening) -> AudioStream:
    """Decode the parts of a file one after the other; all must have one sample rate and number of channels."""
    whole = replace(opening, excerpt=Excerpt())
    first = parts[0].open(file, whole)

    def blocks() -> Iterator[np.ndarray]:
        yield from first.blocks
        for part in parts[1:]:
            with ExitStack() as closing:
                later = part.open(file, replace(whole, closing=closing))
                if (later.sample_rate, later.channels) != (first.sample_rate, first.channels):
                    raise AudioError("its sample rate or number of channels changes partway through")
                yield from later.blocks

    everything = limit_size(blocks(), opening.limits)
    return replace(first, frames=None, blocks=opening.excerpt.cut(everything, first.sample_rate))
