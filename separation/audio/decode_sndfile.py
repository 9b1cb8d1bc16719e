"""Decoding with libsndfile."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import soundfile

from separation.audio.limits import Limits, check_format_limits, limit_size
from separation.audio.stream import BLOCK, AudioError, AudioStream, as_sentence, to_frames

__all__ = ["SNDFILE_FORMATS", "UNKNOWN_LENGTH", "check_claimed_size", "decode_sndfile"]


# Containers that hold sound and cannot name another file to be opened in their place. A
# playlist (HLS, ffconcat, ...) dressed up as song.mp3 would otherwise make the decoder read,
# and the server hand out, any file of the machine it points to.
SNDFILE_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3", "CAF", "AU"}

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


def decode_sndfile(sound: soundfile.SoundFile, start: float, duration: float | None, limits: Limits) -> AudioStream:
    rate = sound.samplerate
    check_format_limits(rate, sound.channels, limits)
    first = to_frames(start, rate)
    wanted = sys.maxsize if duration is None else max(1, to_frames(duration, rate))
    if 0 < sound.frames <= first:
        raise AudioError(f"the excerpt starts at {start:g} s, the sound ends at {sound.frames / rate:.2f} s")
    expected = max(0, min(wanted, sound.frames - first))
    blocks = limit_size(_libsndfile_blocks(sound, first, wanted, expected), limits)
    # A declared length of 0 is unknown, not empty.
    return AudioStream(sample_rate=rate, channels=sound.channels, frames=expected or None, blocks=blocks)


def _libsndfile_blocks(sound: soundfile.SoundFile, first: int, wanted: int, expected: int) -> Iterator[np.ndarray]:
    held = 0
    order = _OGG_ORDER.get(sound.channels, slice(None)) if sound.format == "OGG" else slice(None)
    try:
        if sound.format == "OGG":  # its seek is late in the last page
            _skip(sound, first)
        elif first:
            sound.seek(first)
        while held < wanted:  # in blocks: the header may declare more than fits into memory
            block = sound.read(min(BLOCK, wanted - held), dtype="float32", always_2d=True)
            if not len(block):
                break
            held += len(block)
            yield block.T[order]
    except soundfile.LibsndfileError as error:
        raise AudioError(f"its sound is cut off or damaged ({as_sentence(error)})") from error
    if held < expected:
        raise AudioError(f"the file is cut off: it announces {expected} samples and holds {held}")
    if not held:
        raise AudioError("there is no sound in it (0 samples)")


def _skip(sound: soundfile.SoundFile, frames: int) -> None:
    """Decode and discard `frames` samples."""
    while frames > 0 and (count := len(sound.read(min(BLOCK, frames), dtype="float32"))):
        frames -= count


def check_claimed_size(sound: soundfile.SoundFile) -> None:
    """Raise AudioError if the header declares more audio than the file holds.

    libsndfile silently shortens such files and reports the difference only in its log.
    """
    for line in sound.extra_info.splitlines():
        name, _, rest = line.strip().partition(":")
        numbers = [int(word) for word in rest.replace("(should be", " ").replace(")", " ").split() if word.isdigit()]
        if name.strip() in _CLAIMS.get(sound.format, ()) and "should be" in rest and len(numbers) == 2:
            claimed, present = numbers
            # A recorder that could not seek back leaves 0 or the largest number: the length is unknown.
            unknown = any(largest - 0xFFFF <= claimed <= largest + 1 for largest in (2**31 - 1, 2**32 - 1))
            if present < claimed and not unknown:
                raise AudioError(f"the file is cut off: it announces {claimed} bytes and holds {present}")
