"""Files for download: the current mix, one stem or all stems, in the visitor's format."""

from __future__ import annotations

import secrets
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
import soundfile
import torch

from separation.audio.channels import downmix
from separation.audio.encoding import BLOCK, check_format, container, disk_errors
from separation.audio.stem_mp4 import write_stem_mp4
from separation.studio.results.storage import read_player

if TYPE_CHECKING:
    from separation.pipeline.result import Result

__all__ = ["FORMATS", "export", "write_archive"]

#: Name -> file format (a key of :data:`separation.audio.encoding.FORMATS`) and libsndfile's subtype.
FORMATS = {
    "wav16": ("wav", "PCM_16"),
    "wav24": ("wav", "PCM_24"),
    "wav32": ("wav", "FLOAT"),
    "flac": ("flac", "PCM_24"),
    "mp3": ("mp3", "MPEG_LAYER_III"),
}
LOUDEST = 4.0  # largest gain: 12 dB
MOST_KEPT = 16  # files kept per result; each is downloaded as soon as it is written


def export(folder: Path, *, what: str, method: str, format: str, gains: Mapping[str, float] | None = None) -> Path:
    """Write a file for download into the result's folder.

    Parameters
    ----------
    folder : path
        Folder of the result.
    what : str
        "mix" (the stems times their `gains`), "all" (a ZIP with ``result.json``) or "stem:<name>".
    method : str
        The method whose stems are written.
    format : str
        A key of :data:`FORMATS`; or "stem", Native Instruments' .stem.mp4, for all stems at once.
    gains : mapping of str to float
        Stem -> 0..4, for "mix"; missing stems are silent. "mixture" is the song itself.

    Raises
    ------
    ValueError
        If the result, method, stem or format does not exist, or the format cannot hold the audio.
    """
    document = read_player(folder)
    group = next((group for group in document["groups"] if group["id"] == method), None)
    if group is None or group["working"]:
        raise ValueError("this method has no finished stems in this result")
    stems = {track["name"]: folder / unquote(track["wav"]) for track in group["tracks"] if track["wav"]}
    mixture = folder / unquote(next(g for g in document["groups"] if g["id"] == "song")["tracks"][0]["wav"])
    name = f"{_short(Path(document['name']).stem, 120) or 'song'} - {method}"
    with _place(folder) as place, disk_errors():
        if format == "stem":
            return write_stem_mp4(place / f"{name}.stem.mp4", mixture, stems)
        if format not in FORMATS:
            raise ValueError(f"no format {format!r}; there are {', '.join(FORMATS)}, stem")
        if what == "all":
            return _zip_all(place / f"{name}.zip", stems, format, folder / method / "result.json")
        stem = what.removeprefix("stem:")
        if what == "mix":
            parts = _mix(mixture, stems, gains or {}, float(group["wavGain"]))
        elif not what.startswith("stem:"):
            raise ValueError("the content must be mix, all or stem:<name>")
        elif stem in stems:
            parts = {stems[stem]: 1.0}
        elif stem == "residual":
            parts = _mix(mixture, stems, {"residual": 1.0}, float(group["wavGain"]))
        else:
            raise ValueError("this method has no such stem")
        path = place / f"{name} - {_plain(stem)}.{FORMATS[format][0]}"
        return _write(path, _Sum(parts, document.get("speakers")), format)


@contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """Provide a folder for one file, removed on error; only the last few of a result are kept."""
    kept = folder / "kept"
    earlier = sorted(kept.glob("*"), key=_time_of)
    for old in earlier[: max(0, len(earlier) - MOST_KEPT + 1)]:
        shutil.rmtree(old, ignore_errors=True)
    place = kept / secrets.token_urlsafe(8)
    place.mkdir(parents=True)
    try:
        yield place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _time_of(path: Path) -> float:
    """Return when a file was last changed; 0 for one that another download has just removed."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _mix(mixture: Path, stems: Mapping[str, Path], gains: Mapping[str, float], stem_level: float) -> dict[Path, float]:
    """Return the files and their gains. The residual is the song minus all stems and needs no file."""
    for name, gain in gains.items():
        if not 0 <= gain <= LOUDEST:
            raise ValueError(f"a gain is in 0..{LOUDEST:g}, got {gain} for {name!r}")
    residual = gains.get("residual", 0.0) if "residual" not in stems else 0.0
    parts = {path: stem_level * (gains.get(name, 0.0) - residual) for name, path in stems.items()}
    parts[mixture] = gains.get("mixture", 0.0) + residual
    parts = {path: gain for path, gain in parts.items() if gain}
    if not parts:
        raise ValueError("the mix is silent: there is nothing to download")
    return parts


class _Sum:
    """A sum of files times gains: the song and its stems.

    A song of more than two channels is mixed down, by the names of its `speakers`, if a stem has fewer.
    """

    def __init__(self, parts: Mapping[Path, float], speakers: Sequence[str] | None = None) -> None:
        self._parts, self._speakers = parts, speakers
        formats = [soundfile.info(path) for path in parts]
        self.frames, self.sample_rate = formats[0].frames, formats[0].samplerate
        widest = max(format.channels for format in formats)
        self.channels = widest if all(format.channels == widest for format in formats) else min(2, widest)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield blocks of float32, shape (time, channels)."""
        readers = [soundfile.blocks(path, BLOCK, dtype="float32", always_2d=True) for path in self._parts]
        for blocks in zip(*readers, strict=True):
            total = np.zeros((len(blocks[0]), self.channels), dtype=np.float32)
            for block, gain in zip(blocks, self._parts.values(), strict=True):
                if block.shape[1] > self.channels:
                    block = downmix(torch.from_numpy(block.T), self._speakers).numpy().T
                total += np.float32(gain) * block  # mono is added to every channel
            yield total


def _gain(files: Iterable[_Sum], format: str) -> float:
    """Return the common gain that keeps all sums of files from clipping; 1 for float formats."""
    if FORMATS[format][1] == "FLOAT":
        return 1.0
    peak = max((float(np.abs(block).max()) for file in files for block in file.blocks()), default=0.0)
    return 1.0 if peak <= 1 - 2**-15 else (1 - 2**-15) / peak


def _write(path: Path, file: _Sum, format: str, gain: float | None = None) -> Path:
    """Write a sum of files times `gain`; by default it is lowered if a fixed-point file would clip."""
    kind, subtype = FORMATS[format]
    check_format(kind, float32=subtype == "FLOAT", channels=file.channels, sample_rate=file.sample_rate)
    gain = _gain([file], format) if gain is None else gain
    with soundfile.SoundFile(
        path,
        "w",
        samplerate=file.sample_rate,
        channels=file.channels,
        format=container(kind, samples=file.frames * file.channels),
        subtype=subtype,
    ) as out:
        for block in file.blocks():
            out.write(block * np.float32(gain))
    return path


def _zip_all(path: Path, stems: Mapping[str, Path], format: str, manifest: Path) -> Path:
    """Zip all stems in the format with ``result.json``; all are lowered by the same gain if one would clip."""
    sums = {name: _Sum({stem: 1.0}) for name, stem in stems.items()}
    gain = _gain(sums.values(), format)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, stem in sums.items():
            file = _write(path.with_name(f"part.{FORMATS[format][0]}"), stem, format, gain)
            archive.write(file, f"{_plain(name)}.{FORMATS[format][0]}")
            file.unlink()
        if manifest.is_file():
            archive.write(manifest, manifest.name)
    return path


def _plain(name: str) -> str:
    """Return a stem's name as part of a file name; visitors may choose any name."""
    return _short("".join(char if char.isalnum() or char in " -_" else "_" for char in name), 80) or "stem"


def _short(name: str, most: int) -> str:
    """Return the beginning of a name that takes at most so many bytes: file systems allow 255 for a whole name."""
    return name.encode("utf-8", "ignore")[:most].decode("utf-8", "ignore")


def write_archive(result: Result, folder: Path, name: str) -> Path:
    """Zip all stems and ``result.json``, uncompressed, since WAV hardly shrinks."""
    path = folder / f"{_short(Path(name).stem, 120)} - {result.method}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in (*result.stems.values(), result.card):
            archive.write(file, file.name)
    return path
