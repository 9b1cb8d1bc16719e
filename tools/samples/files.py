"""Writes a song's stems, mixture and description, reproducibly to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from tools.samples.mixing import rms_db
from tools.samples.signals import SAMPLE_RATE, SEED, Rng, Signal, fade, gain, highpass

PEAK_DB = -1.0
MAX_BYTES = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Song:
    """A song and the function that synthesises its stems."""

    slug: str
    title: str
    tempo: float
    key: str
    description: str
    quality: float  # of Vorbis, 0 to 1
    stems: Callable[[Sequence[Rng]], dict[str, Signal]]


def ogg_crc_table() -> list[int]:
    """Return the lookup table of Ogg's CRC-32."""
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


def restamp_ogg(path: Path, serial: int) -> None:
    """Replace the random stream number that libsndfile draws, so that equal audio gives equal files.

    The number is at byte 14 of every page, and the CRC of the page at byte 22 (RFC 3533).
    """
    data, table, page = bytearray(path.read_bytes()), ogg_crc_table(), 0
    while page < len(data):
        segments = data[page + 26]
        end = page + 27 + segments + sum(data[page + 27 : page + 27 + segments])
        data[page + 14 : page + 18] = serial.to_bytes(4, "little")
        data[page + 22 : page + 26] = bytes(4)
        crc = 0
        for byte in data[page:end]:
            crc = ((crc << 8) & 0xFFFFFFFF) ^ table[(crc >> 24) ^ byte]
        data[page + 22 : page + 26] = crc.to_bytes(4, "little")
        page = end
    path.write_bytes(data)


def write_vorbis(path: Path, audio: Signal, *, quality: float) -> None:
    with sf.SoundFile(
        path, "w", SAMPLE_RATE, 2, format="OGG", subtype="VORBIS", compression_level=1.0 - quality
    ) as file:
        for start in range(0, len(audio), 4096):  # one long write overflows the stack of libsndfile's Vorbis encoder
            file.write(audio[start : start + 4096])


def encode(folder: Path, stems: dict[str, Signal], *, quality: float) -> dict[str, Signal]:
    """Write the stems and return them as decoded from the files."""
    decoded = {}
    for serial, (name, audio) in enumerate(stems.items(), start=1):
        path = folder / f"{name}.ogg"
        write_vorbis(path, audio, quality=quality)
        restamp_ogg(path, serial)
        decoded[name], _ = sf.read(path, dtype="float64", always_2d=True)
        if decoded[name].shape != audio.shape:
            raise RuntimeError(f"{path}: {decoded[name].shape} decoded, {audio.shape} written")
    return decoded


def write_song(song: Song, root: Path) -> None:
    """Write a song's stems, mixture and description to ``root / song.slug``."""
    folder = root / song.slug
    folder.mkdir(parents=True, exist_ok=True)
    rngs = np.random.default_rng([SEED, *song.slug.encode()]).spawn(4)
    # Nothing below 20 Hz is audible, and an offset would only cost headroom.
    stems = {name: fade(highpass(audio, 20.0), attack=0.02, release=0.5) for name, audio in song.stems(rngs).items()}
    decoded = encode_at_peak(folder, stems, quality=song.quality)
    mixture = np.asarray(sum(decoded.values()))
    peak = max(np.abs(audio).max() for audio in (mixture, *decoded.values()))
    if not np.isfinite(mixture).all() or peak >= 1.0:
        raise RuntimeError(f"{song.slug}: peak {peak}")
    sf.write(folder / "mixture.flac", np.round(mixture * 32768).astype(np.int16), SAMPLE_RATE, subtype="PCM_16")
    description = {
        "title": song.title,
        "artist": "Stemscope",
        "licence": "CC0-1.0",
        "tempo": song.tempo,
        "key": song.key,
        "seconds": round(len(mixture) / SAMPLE_RATE, 3),
        "description": song.description,
    }
    (folder / "track.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir())
    levels = ", ".join(f"{name} {rms_db(audio):.1f}" for name, audio in {**decoded, "mixture": mixture}.items())
    print(f"{song.slug}: {size:,} bytes; RMS in dBFS: {levels}")
    if size >= MAX_BYTES:
        raise RuntimeError(f"{song.slug}: {size} bytes, {MAX_BYTES} allowed")


def encode_at_peak(folder: Path, stems: dict[str, Signal], *, quality: float) -> dict[str, Signal]:
    """Encode the stems so that their decoded sum peaks at ``PEAK_DB``, and return them as decoded.

    Encoding changes the peak by some tenths of a decibel, so the gain is corrected from the decoded sum.
    """
    decoded = stems
    for _ in range(8):
        scale = gain(PEAK_DB) / np.abs(sum(decoded.values())).max()
        if decoded is not stems and abs(np.log10(scale)) < 0.005:  # 0.1 dB
            break
        stems = {name: scale * audio for name, audio in stems.items()}
        decoded = encode(folder, stems, quality=quality)
    return decoded
