"""Multitracks decoded once into a memory-mapped file, from which excerpts are cheap.

A store is a folder with ``samples.int16`` - all recordings end to end, shape (time, sources,
channels) - and ``store.json``, which says what lies where. It is written recording by recording
and can be interrupted at any time: the next call goes on after the last whole one.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from filelock import FileLock
from torch import Tensor

from separation.atomic import atomic_write
from separation.datasets.dataset import Dataset
from separation.datasets.musdb18 import Track
from separation.datasets.stem_folders import FolderTrack

__all__ = ["StemStore", "StoredTrack", "build_store"]

AUDIBLE = 300 / 32768  # a stem whose peak stays below this (-41 dB) counts as absent

Progress = Callable[[int, int, str], None]  # recordings done, recordings in all, the name of the next


@dataclass(frozen=True, kw_only=True)
class StoredTrack:
    """One multitrack in a store.

    Attributes
    ----------
    name, collection : str
    speed : float
        How many times faster than recorded it is; pitch goes with it.
    start, frames : int
        Its place along the store's time axis, in samples.
    sources : tuple of str
        Those that can be heard in it; the others are silent or were never there.
    checksum : int
        CRC-32 of its samples.
    """

    name: str
    collection: str
    speed: float
    start: int
    frames: int
    sources: tuple[str, ...]
    checksum: int


class StemStore:
    """An opened store.

    Attributes
    ----------
    samples : Tensor, shape (time, sources, channels), int16
        Memory-mapped, or on the device that :meth:`to` moved it to.
    sources : tuple of str
    sample_rate : int
        Hz.
    recordings : tuple of Recording
    fingerprint : str
        Of names, places and checksums: equal only for equal data.
    """

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        """Open a whole store.

        Raises
        ------
        ValueError
            If it is unfinished, or damaged (with `verify`, every sample is read for that).
        """
        index = _read_index(folder)
        if index is None or not index["complete"]:
            raise ValueError(f"the store {folder.name!r} is not complete: build it again")
        self.sources = tuple(index["sources"])
        self.sample_rate = int(index["sample_rate"])
        self.recordings = tuple(_recording(entry) for entry in index["recordings"])
        self.fingerprint = hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()[:16]
        shape = (sum(r.frames for r in self.recordings), len(self.sources), int(index["channels"]))
        path = folder / "samples.int16"
        if not path.is_file() or path.stat().st_size != 2 * int(np.prod(shape)):
            raise ValueError(f"the store {folder.name!r} is damaged: its samples have another size than its index says")
        mapped = np.memmap(path, np.int16, mode="c", shape=shape)  # copy-on-write: torch wants to be able to write
        if verify:
            for recording in self.recordings:
                if _checksum(mapped[recording.start : recording.start + recording.frames]) != recording.checksum:
                    raise ValueError(
                        f"the store {folder.name!r} is damaged at {recording.name!r}: delete and rebuild it"
                    )
        self.samples = torch.from_numpy(mapped)

    @property
    def bytes(self) -> int:
        return self.samples.numel() * self.samples.element_size()

    @property
    def device(self) -> torch.device:
        return self.samples.device

    def to(self, device: torch.device) -> StemStore:
        """Move the samples to that device, if they fit there with room to train (half of what is free)."""
        if device.type == "cuda" and self.bytes < 0.5 * torch.cuda.mem_get_info(device)[0]:
            self.samples = self.samples.to(device)
        return self

    def excerpt(self, recording: StoredTrack, source: int, start: int, length: int) -> Tensor:
        """One source from `start` samples into a recording on, shape (channels, `length`), float32 in [-1, 1).

        Zeros follow where the recording ends, and precede where `start` is negative.
        """
        first, last = max(0, start), min(recording.frames, start + length)
        piece = self.samples[recording.start + first : recording.start + max(first, last), source]
        excerpt = torch.zeros(piece.shape[-1], length, device=self.device)
        excerpt[:, first - start : first - start + len(piece)] = piece.T
        return excerpt.mul_(1 / 32768)


def build_store(
    folder: Path,
    collections: Iterable[Dataset],
    *,
    sources: Sequence[str],
    sample_rate: int = 44100,
    channels: int = 2,
    speeds: Sequence[float] = (1.0,),
    progress: Progress = lambda done, total, name: None,
) -> StemStore:
    """Decode tracks into a store, or what an interrupted call left undone, and open it.

    Parameters
    ----------
    folder : path
        Of the store; one folder belongs to one set of tracks and settings.
    speeds : sequence of float
        Every recording is kept at each of these speeds, resampled.

    Raises
    ------
    ValueError
        If there are no tracks, one cannot be read, or `folder` holds a store of something else.
    """
    wanted = [(c.name, track, speed) for c in collections for track in c.train for speed in speeds]
    if not wanted:
        raise ValueError("there are no tracks to make a store of")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        index = _read_index(folder) or {
            "version": 1,
            "sources": list(sources),
            "sample_rate": sample_rate,
            "channels": channels,
            "recordings": [],
            "complete": False,
        }
        settings = (index["sources"], index["sample_rate"], index["channels"])
        names = [(name, track.name, float(speed)) for name, track, speed in wanted]
        present = [(r["collection"], r["name"], r["speed"]) for r in index["recordings"]]
        other = present != (names if index["complete"] else names[: len(present)])
        if other or settings != (list(sources), sample_rate, channels):
            raise ValueError(f"the folder {folder.name!r} holds a store of other tracks or settings")
        if not index["complete"]:
            _append(folder, index, wanted[len(present) :], progress)
    return StemStore(folder)


def _append(
    folder: Path, index: dict[str, Any], wanted: Sequence[tuple[str, Track | FolderTrack, float]], progress: Progress
) -> None:
    done = index["recordings"]
    frames = sum(entry["frames"] for entry in done)
    total = len(done) + len(wanted)
    with (folder / "samples.int16").open("ab") as file:
        file.truncate(frames * 2 * len(index["sources"]) * index["channels"])  # what was half-written goes
        for name, track, speed, samples in _decoded(wanted, index):
            progress(len(done), total, track.name)
            peaks = np.abs(samples.astype(np.int32)).max((0, 2), initial=0) / 32768
            heard = [source for source, peak in zip(index["sources"], peaks, strict=True) if peak > AUDIBLE]
            file.write(samples.tobytes())
            file.flush()
            entry = StoredTrack(
                name=track.name,
                collection=name,
                speed=float(speed),
                start=frames,
                frames=len(samples),
                sources=tuple(heard),
                checksum=_checksum(samples),
            )
            done.append(asdict(entry) | {"sources": heard})
            frames += len(samples)
            _write_index(folder, index)
    index["complete"] = True
    _write_index(folder, index)
    progress(total, total, "")


def _decoded(
    wanted: Sequence[tuple[str, Track | FolderTrack, float]], index: dict[str, Any]
) -> Iterator[tuple[str, Track | FolderTrack, float, np.ndarray]]:
    """Every track is decoded once, whatever the number of its speeds."""
    last: Track | FolderTrack | None = None
    for name, track, speed in wanted:
        if track is not last:
            stems, last = _read(track, index), track
        yield name, track, speed, _to_int16(_at_speed(stems, speed))


def _read(track: Track | FolderTrack, index: dict[str, Any]) -> np.ndarray:
    """All sources, shape (time, sources, channels), float32, silence for those that the track lacks."""
    references, rate = track.read()[1:]
    longest = max(reference.shape[1] for reference in references.values())
    stems = np.zeros((longest, len(index["sources"]), index["channels"]), np.float32)
    for row, source in enumerate(index["sources"]):
        if source in references:
            reference = references[source]
            if reference.shape[0] not in (1, index["channels"]):
                raise ValueError(f"{track.name}: {source} has {reference.shape[0]} channels, not {index['channels']}")
            stems[: reference.shape[1], row] = reference.T  # mono goes to every channel
    if rate == index["sample_rate"]:
        return stems
    flat = soxr.resample(stems.reshape(longest, -1), rate, index["sample_rate"])
    return np.asarray(flat).reshape(-1, *stems.shape[1:])


def _at_speed(stems: np.ndarray, speed: float) -> np.ndarray:
    if speed == 1:
        return stems
    flat = soxr.resample(stems.reshape(len(stems), -1), speed, 1.0)
    return np.asarray(flat).reshape(-1, *stems.shape[1:])


def _to_int16(waveform: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(waveform, -1, 32767 / 32768) * 32768).astype(np.int16)


def _checksum(samples: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(samples).data)


def _recording(entry: dict[str, Any]) -> StoredTrack:
    return StoredTrack(**entry | {"sources": tuple(entry["sources"])})


def _read_index(folder: Path) -> dict[str, Any] | None:
    path = folder / "store.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _write_index(folder: Path, index: dict[str, Any]) -> None:
    with atomic_write(folder / "store.json") as draft:
        draft.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
