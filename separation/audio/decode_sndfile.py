"""Decoding with libsndfile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import soundfile

from separation.audio.limits import Limits, check_format_limits, limit_size
from separation.audio.stream import BLOCK, AudioError, AudioStream, DamageReport, Excerpt, as_sentence

__all__ = ["SNDFILE_FORMATS", "UNKNOWN_LENGTH", "check_claimed_size", "decode_sndfile", "tail_is_readable"]


# Containers that hold sound and cannot name another file to be opened in their place. A
# playlist (HLS, ffconcat, ...) dressed up as song.mp3 would otherwise make the decoder read,
# and the server hand out, any file of the machine it points to.
SNDFILE_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "CAF", "AU"}

UNKNOWN_LENGTH = 2**62  # frames or more: how libsndfile reports a FLAC without a length, e.g. one written to a pipe


# Names, in libsndfile's log, of the lengths that a header declares.
_CLAIMS = {
    "WAV": {"data"},
    "WAVEX": {"data"},
    "AIFF": {"SSND"},
    "CAF": {"data"},
    "AU": {"Data Size"},
    "W64": {"riff"},
    "RF64": {"Riff size"},
}


#: Number of channels -> where in an Ogg file each channel of WAVE order is: Vorbis and Opus put the centre second and
#: the LFE last (Vorbis I specification, 4.3.9), and libsndfile leaves them there.
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
        Opens the rest with another decoder where this one finds the file damaged.
    announced : int, optional
        The number of samples by the header, if libsndfile may find more.
    """
    rate = sound.samplerate
    check_format_limits(rate, sound.channels, limits)
    first, last = excerpt.first(rate), excerpt.last(rate)
    total = sound.frames if announced is None else min(announced, sound.frames)
    if 0 < total <= first:
        raise excerpt.beyond(total, rate)
    frames = max(0, min(sys.maxsize if last is None else last, total) - first)
    if sound.format == "OGG":  # its seek is late in the last page
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
        raise AudioError(f"its sound is cut off or damaged ({as_sentence(error)})") from error


def _seekable_blocks(
    sound: soundfile.SoundFile, first: int, frames: int, go_on: Callable[[Excerpt], AudioStream]
) -> Iterator[np.ndarray]:
    """Yield `frames` samples, those that the decoder does not get out by `go_on`, or silent."""
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
        raise AudioError("there is no sound in it (0 samples)")
    for size in range(frames - held, 0, -BLOCK):
        yield np.zeros((sound.channels, min(size, BLOCK)), dtype=np.float32)


def tail_is_readable(sound: soundfile.SoundFile) -> bool:
    """Return whether the last sample that the header announces is there; the position is 0 afterwards."""
    try:
        sound.seek(sound.frames - 1)
        found = len(sound.read(1)) == 1
        sound.seek(0)
    except soundfile.LibsndfileError:
        return False
    return found


def check_claimed_size(sound: soundfile.SoundFile, damage: DamageReport) -> None:
    """Report if the header declares more audio than the file holds, or none where there is some.

    libsndfile silently shortens such files and reports the difference only in its log.
    """
    for line in sound.extra_info.splitlines():
        name, _, rest = line.strip().partition(":")
        numbers = [int(word) for word in rest.replace("(should be", " ").replace(")", " ").split() if word.isdigit()]
        if name.strip() in _CLAIMS.get(sound.format, ()) and "should be" in rest and len(numbers) == 2:
            claimed, present = numbers
            # A recorder that could not seek back leaves the largest number: the length is unknown.
            if any(largest - 0xFFFF <= claimed <= largest + 1 for largest in (2**31 - 1, 2**32 - 1)):
                damage.note(f"its header does not say how long it is; {sound.frames} samples are there")
            elif claimed == 0:
                damage.add(f"its header was never finished: it announces no sound, {sound.frames} samples are there")
            elif present < claimed:
                damage.add(f"the file is cut off: it announces {claimed} bytes and holds {present}")
