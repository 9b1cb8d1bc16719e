"""Native Instruments' stem files: a song and its four stems as tracks of one MP4, for DJ software and MUSDB18.

The file has five AAC tracks, the song first, and a box ``moov/udta/stem`` of JSON that names and
colours the stems. See Native Instruments, "Stems file specification", version 1.0.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from separation.audio.decoding import open_audio

__all__ = ["TRACKS", "read_stem_mp4", "stem_mp4_duration", "write_stem_mp4"]

#: The tracks of MUSDB18's stem files and of those written here, in order: the tracks have no names of their own.
TRACKS = ("mixture", "drums", "bass", "other", "vocals")

RATE = 44100
BIT_RATE = 256_000
_COLOURS = {"drums": "#2f7fc4", "bass": "#8656c4", "other": "#1f8f69", "vocals": "#c2336e"}
_BLOCK = 1 << 16


def stem_mp4_duration(path: Path) -> float:
    """Return the duration of a stem file in seconds, from its header.

    Raises
    ------
    ValueError
        If the file is cut off, cannot be read or has another number of tracks than :data:`TRACKS`.
    """
    import av

    with _open_stem_mp4(path) as container:
        return (container.duration or 0) / av.time_base


def read_stem_mp4(path: Path) -> tuple[dict[str, np.ndarray], int]:
    """Decode all tracks of a stem file in one pass, rounded to 16 bits.

    `musdb` reads 16 bits, and all published scores were computed on them.

    Returns
    -------
    tracks : dict of str to array, each shape (channels, time), float32
        In the order of :data:`TRACKS`.
    sample_rate : int
        Hz.

    Raises
    ------
    ValueError
        If the file is damaged, or its tracks differ in sample rate, channels or length.
    """
    tracks = _decode_tracks(path)
    formats = {(block.sample_rate, block.layout.nb_channels) for blocks in tracks for block in blocks}
    lengths = {sum(block.samples for block in blocks) for blocks in tracks}
    if not formats:
        raise ValueError(f"cannot read {path.name!r}: it contains no audio")
    if len(formats) > 1 or len(lengths) > 1:
        raise ValueError(f"the tracks of {path.name!r} differ in sample rate, channels or length")
    [(rate, channels)] = formats
    waves = [np.concatenate([block.to_ndarray().reshape(-1, channels) for block in blocks]) for blocks in tracks]
    return {name: wave.T.astype(np.float32) / 32768 for name, wave in zip(TRACKS, waves, strict=True)}, rate


def _decode_tracks(path: Path) -> list[list[Any]]:
    """Return the decoded blocks of each track, as frames of interleaved 16-bit samples."""
    import av

    with _open_stem_mp4(path) as container:
        streams = container.streams.audio
        converters = {stream.index: av.AudioResampler(format="s16") for stream in streams}
        decoded: dict[int, list[Any]] = {stream.index: [] for stream in streams}
        for packet in container.demux(streams):
            for frame in packet.decode():
                try:
                    decoded[packet.stream_index] += converters[packet.stream_index].resample(frame)
                except ValueError as error:
                    raise ValueError(f"cannot read {path.name!r}: a track's format changes partway through") from error
        return list(decoded.values())


@contextmanager
def _open_stem_mp4(path: Path) -> Iterator[Any]:
    """Open a stem file whose header shows no damage; errors while it is open name the file."""
    import av

    with open_audio(path, strict=True):  # checks whether the file is complete
        pass
    try:
        with av.open(str(path), format="mov") as container:
            count = len(container.streams.audio)
            if count != len(TRACKS):
                raise ValueError(
                    f"{path.name!r} holds {count} streams; a stem file has {len(TRACKS)}: {', '.join(TRACKS)}"
                )
            yield container
    except av.FFmpegError as error:
        raise ValueError(f"cannot read {path.name!r}: it is damaged ({error.strerror})") from error


def write_stem_mp4(path: Path, mixture: Path, stems: Mapping[str, Path]) -> Path:
    """Write a song and its stems as a stem file.

    Parameters
    ----------
    path : path
        The file to write.
    mixture : path
        The song: 1 or 2 channels at 44.1 kHz. Mono is doubled.
    stems : mapping of str to path
        Drums, bass, other and vocals, with the mixture's channels and sample rate.

    Raises
    ------
    ValueError
        If the stems are not these four, or have another sample rate or more channels.
    """
    import av
    import soundfile

    if set(stems) - {"residual"} != set(_COLOURS):
        raise ValueError(f"a stem file holds {', '.join(_COLOURS)}; this method gives {', '.join(stems)}")
    files = [mixture, *(stems[name] for name in TRACKS[1:])]
    for file in files:
        header = soundfile.info(file)
        if header.samplerate != RATE or header.channels > 2:
            raise ValueError(
                f"a stem file holds stereo at {RATE} Hz; this file has {header.channels} channels "
                f"at {header.samplerate} Hz"
            )
    with av.open(str(path), "w", format="mp4") as container:
        streams = []
        for _ in files:
            stream = container.add_stream("aac", rate=RATE, layout="stereo")
            stream.bit_rate = BIT_RATE
            streams.append(stream)
        readers = [soundfile.blocks(file, _BLOCK, dtype="float32", always_2d=True) for file in files]
        position = 0
        for blocks in zip(*readers, strict=True):
            for stream, block in zip(streams, blocks, strict=True):
                planes = np.ascontiguousarray(np.broadcast_to(block, (len(block), 2)).T)
                frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = RATE, position, Fraction(1, RATE)
                for packet in stream.encode(frame):
                    container.mux(packet)
            position += len(blocks[0])
        for stream in streams:
            for packet in stream.encode(None):
                container.mux(packet)
    _name_stems(path)
    return path


def _name_stems(path: Path) -> None:
    """Add the box that names the stems to ``moov``; FFmpeg writes it last, so that no offset changes."""
    content = {
        "version": 1,
        "mastering_dsp": {
            "compressor": {"enabled": False, "input_gain": 0.0, "output_gain": 0.0, "ratio": 2.0, "attack": 0.003,
                           "release": 0.3, "threshold": 0.0, "hp_cutoff": 20, "dry_wet": 50},
            "limiter": {"enabled": False, "release": 0.05, "threshold": 0.0, "ceiling": -0.35},
        },
        "stems": [{"name": name.capitalize(), "color": colour} for name, colour in _COLOURS.items()],
    }  # fmt: skip
    stem = _box(b"stem", json.dumps(content).encode())
    with path.open("r+b") as file:
        begin, name, size = 0, b"", 0
        while name != b"moov":
            begin += size
            file.seek(begin)
            size, name = struct.unpack(">I4s", file.read(8))
            if size == 1:  # a 64-bit size follows the name
                size = struct.unpack(">Q", file.read(8))[0]
        file.seek(begin)
        moov = file.read(size)
        assert not file.read(1), "FFmpeg writes moov as the last box"
        file.seek(begin)
        file.write(_box(b"moov", _with_user_data(moov[8:], stem)))


def _with_user_data(moov: bytes, box: bytes) -> bytes:
    """Return the content of ``moov`` with one more box in its ``udta``, which may not exist yet."""
    others, user_data, position = b"", b"", 0
    while position < len(moov):
        size, name = struct.unpack(">I4s", moov[position : position + 8])
        if name == b"udta":
            user_data = moov[position + 8 : position + size]
        else:
            others += moov[position : position + size]
        position += size
    return others + _box(b"udta", user_data + box)


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content
