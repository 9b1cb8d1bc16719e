"""Decoding with libsndfile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import soundfile

from separation.audio.limits import Limits, check_format_limits, limit_size
from separation.audio.stream import BLOCK, AudioError, AudioStream, DamageReport, Excerpt, as_sentence

__all__ = ["SNDFILE_FORMATS", "UNKNOWN_LENGTH", "check_claimed_size", "decode_sndfile", "tail_is_readable"]


# Audio containers that cannot refer to other files. Otherwise, a playlist (HLS, ffconcat, ...) named song.mp3 could
# make the decoder read, and the server return, any file on the machine.
SNDFILE_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "CAF", "AU"}

UNKNOWN_LENGTH = 2**62  # frames or more: how libsndfile reports a FLAC without a length, e.g. one written to a pipe


# Names of the header's length fields in libsndfile's log.
_CLAIMS = {
    "WAV": {"data"},
    "WAVEX": {"data"},
    "AIFF": {"SSND"},
    "CAF": {"data"},
    "AU": {"Data Size"},
    "W64": {"riff"},
    "RF64": {"Riff size"},
}


#: Number of channels -> position in an Ogg file of each channel in WAVE order. Vorbis and Opus store the centre second
#: and the LFE last (Vorbis I specification, 4.3.9), and libsndfile keeps that order.
_OGG_ORDER = {
    3: [0, 2, 1],
    5: [0, 2, 1, 3, 4],
    6: [0, 2, 1, 5, 3, 4],
    7: [0, 2, 1, 6, 5, 3, 4],
    8: [0, 2, 1, 7, 5, 6, 3, 4],
}


def decode_sndfile(
    sound: soundfile.SoundFile,
    excerpt: Excerpt,
    limits: Limits,
    go_on: Callable[[Excerpt], AudioStream],
    announced: int | None = None,
) -> AudioStream:
    """Decode an open file.

    Parameters
    ----------
    sound, excerpt, limits
        See :func:`separation.audio.decoding.open_audio`.
    go_on : callable
        Opens an excerpt of the file with another decoder; called if libsndfile finds the file damaged.
    announced : int, optional
        Number of samples that the header declares, if libsndfile may decode more.
    """
    rate = sound.samplerate
    check_format_limits(rate, sound.channels, limits)
    first, last = excerpt.first(rate), excerpt.last(rate)
    total = sound.frames if announced is None else min(announced, sound.frames)
    if 0 < total <= first:
        raise excerpt.beyond(total, rate)
    frames = max(0, min(sys.maxsize if last is None else last, total) - first)
    if sound.format == "OGG":  # libsndfile seeks too far within the last page
        blocks = excerpt.cut(_ogg_blocks(sound), rate)
    else:
        blocks = _seekable_blocks(sound, first, frames, go_on)
    return AudioStream(
        sample_rate=rate, channels=sound.channels, frames=frames or None, blocks=limit_size(blocks, limits)
    )


def _ogg_blocks(sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    order = _OGG_ORDER.get(sound.channels, slice(None))
    try:
        while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
            yield block.T[order]
    except soundfile.LibsndfileError as error:
        raise AudioError(f"its audio is cut off or damaged ({as_sentence(error)})") from error


def _seekable_blocks(
    sound: soundfile.SoundFile, first: int, frames: int, go_on: Callable[[Excerpt], AudioStream]
) -> Iterator[np.ndarray]:
    """Yield `frames` samples; those that libsndfile cannot decode come from `go_on`, or are silent."""
    held, rate = 0, sound.samplerate
    try:
        if first:
            sound.seek(first)
        while held < frames:  # in blocks: the header may declare more than fits into memory
            block = sound.read(min(BLOCK, frames - held), dtype="float32", always_2d=True)
            if not len(block):
                break
            held += len(block)
            yield block.T
    except soundfile.LibsndfileError:
        rest = go_on(Excerpt((first + held) / rate, (frames - held) / rate))
        for block in rest.blocks:
            held += block.shape[1]
            yield block
    if not frames:
        raise AudioError("it contains no audio (0 samples)")
    for size in range(frames - held, 0, -BLOCK):
        yield np.zeros((sound.channels, min(size, BLOCK)), dtype=np.float32)


def tail_is_readable(sound: soundfile.SoundFile) -> bool:
    """Return whether the last sample that the header announces can be read; rewind to the first one."""
    try:
        sound.seek(sound.frames - 1)
        readable = len(sound.read(1)) == 1
        sound.seek(0)
    except soundfile.LibsndfileError:
        return False
    return readable


def check_claimed_size(sound: soundfile.SoundFile, damage: DamageReport) -> None:
    """Report a header that declares more audio than the file holds, or none although the file holds some.

    libsndfile silently shortens such files and reports the difference only in its log.
    """
    seconds = sound.frames / sound.samplerate
    for line in sound.extra_info.splitlines():
        name, _, rest = line.strip().partition(":")
        numbers = [int(word) for word in rest.replace("(should be", " ").replace(")", " ").split() if word.isdigit()]
        if name.strip() in _CLAIMS.get(sound.format, ()) and "should be" in rest and len(numbers) == 2:
            claimed, present = numbers
            # A recorder that cannot seek back writes the largest number: the length is unknown.
            if any(largest - 0xFFFF <= claimed <= largest + 1 for largest in (2**31 - 1, 2**32 - 1)):
                damage.note(f"its header does not state its length; {seconds:.2f} s were found")
            elif claimed == 0:
                damage.add(f"its header was never finished: it announces no audio, {seconds:.2f} s were found")
            elif present < claimed:
                damage.add(f"the file is cut off: it announces {claimed} bytes and holds {present}")
