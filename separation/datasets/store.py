"""A store of multitracks, decoded once into a memory-mapped file for fast excerpts.

A store is a folder with ``samples.int16``, which holds all recordings end to end, shape (time, sources,
channels), and its index ``store.json``. It is written recording by recording and can be interrupted at
any time: the next call resumes after the last complete recording.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from filelock import FileLock
from torch import Tensor

from separation.atomic import atomic_write
from separation.datasets.dataset import Dataset
from separation.datasets.excerpts import read_excerpts
from separation.datasets.musdb18 import Track
from separation.datasets.stem_folders import FolderTrack
from separation.datasets.stem_map import MAP_FILE
from separation.sources import SOURCES

__all__ = ["SkippedTrack", "StemStore", "StoredTrack", "build_store", "read_sources"]

AUDIBLE = 300 / 32768  # a stem whose peak is at most this (-41 dB) counts as absent

_Job = tuple[str, Track | FolderTrack, float]  # name of the data set, track, speed
Progress = Callable[[int, int, str], None]  # recordings done, number of recordings, name of the next


@dataclass(frozen=True, kw_only=True)
class StoredTrack:
    """One multitrack in a store.

    Attributes
    ----------
    name, collection : str
        Names of the track and of its data set.
    speed : float
        Playback speed relative to the original; pitch changes with it.
    start, frames : int
        Position and length along the store's time axis, in samples.
    sources : tuple of str
        Sources that are audible in it; the others are silent or missing.
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


@dataclass(frozen=True, kw_only=True)
class SkippedTrack:
    """A track that could not be read: its name, its data set (`collection`), and the reason in one sentence."""

    name: str
    collection: str
    reason: str


class StemStore:
    """A store, opened for reading.

    Attributes
    ----------
    samples : Tensor, shape (time, sources, channels), int16
        Memory-mapped, or on the device chosen by :meth:`to`.
    sources : tuple of str
        Names of the sources, in the order of `samples`.
    sample_rate : int
        Hz.
    recordings : tuple of StoredTrack
    skipped : tuple of SkippedTrack
        Tracks that could not be read.
    fingerprint : str
        Hash of the index with its names, positions and checksums; different data have different hashes.
    """

    def __init__(self, folder: Path) -> None:
        """Open a complete store.

        Raises
        ------
        ValueError
            If the store is incomplete or damaged; every sample is checked.
        """
        index = _read_index(folder)
        if index is None or not index["complete"]:
            raise ValueError(f"the store {folder.name!r} is not complete: build it again")
        self.sources = tuple(index["sources"])
        self.sample_rate = int(index["sample_rate"])
        self.recordings = tuple(_recording(entry) for entry in index["recordings"])
        self.skipped = tuple(SkippedTrack(**entry) for entry in index.get("skipped", []))
        self.fingerprint = hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()[:16]
        shape = (sum(r.frames for r in self.recordings), len(self.sources), int(index["channels"]))
        path = folder / "samples.int16"
        if not path.is_file() or path.stat().st_size != 2 * int(np.prod(shape)):
            raise ValueError(
                f"the store {folder.name!r} is damaged: its size differs from its index. Delete and rebuild it"
            )
        mapped = np.memmap(path, np.int16, mode="c", shape=shape)  # copy-on-write, since torch requires writable memory
        for recording in self.recordings:
            if _checksum(mapped[recording.start : recording.start + recording.frames]) != recording.checksum:
                raise ValueError(f"the store {folder.name!r} is damaged at {recording.name!r}: delete and rebuild it")
        self.samples = torch.from_numpy(mapped)

    @property
    def bytes(self) -> int:
        """Size of the samples in bytes."""
        return self.samples.numel() * self.samples.element_size()

    @property
    def device(self) -> torch.device:
        """Device of the samples."""
        return self.samples.device

    def to(self, device: torch.device) -> StemStore:
        """Move the samples to a GPU if they fit into half of its free memory; return the store."""
        if device.type == "cuda" and self.bytes < 0.5 * torch.cuda.mem_get_info(device)[0]:
            self.samples = self.samples.to(device)
        return self

    def excerpts(self, recordings: Tensor, sources: Tensor, starts: Tensor, length: int) -> Tensor:
        """Return excerpts of single sources, shape (excerpts, channels, `length`), float32 in [-1, 1).

        `recordings`, `sources` and `starts` are int64 tensors on the CPU, one number per excerpt. Starts count samples
        from the start of the recording. Zeros pad an excerpt before the start of its recording, where its start is
        negative, and after the recording's end.
        """
        bounds = torch.tensor([[r.start, r.start + r.frames] for r in self.recordings])[recordings]
        return read_excerpts(self.samples, sources, bounds[:, 0] + starts, bounds, length) * (1 / 32768)


def build_store(
    folder: Path,
    datasets: Iterable[Dataset],
    *,
    sources: Sequence[str],
    sample_rate: int = 44100,
    channels: int = 2,
    speeds: Sequence[float] = (1.0,),
    progress: Progress = lambda done, total, name: None,
) -> StemStore:
    """Decode the training tracks of data sets into a store and open it; an interrupted call can be resumed.

    Tracks that cannot be read are skipped and listed in :attr:`StemStore.skipped`.

    Parameters
    ----------
    folder : path
        Folder of the store. A folder can hold the store of one set of tracks and settings only.
    datasets : iterable of Dataset
    sources : sequence of str
        Sources to store; sources missing from a track are stored as silence.
    sample_rate : int
        Sample rate of the store in Hz.
    channels : int
        Number of channels of the store; mono sources are copied to all.
    speeds : sequence of float
        Speeds at which every recording is stored, by resampling.
    progress : callable
        Receives the number of recordings done, their total, and the name of the next.

    Raises
    ------
    ValueError
        If the data sets have no tracks, if none can be read, or if `folder` holds a store of other tracks or settings.
    """
    jobs = [(dataset.name, track, speed) for dataset in datasets for track in dataset.train for speed in speeds]
    if not jobs:
        raise ValueError("there are no tracks to store: the data sets have no training tracks")
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
        skipped = {(entry["collection"], entry["name"]) for entry in index.get("skipped", [])}
        jobs = [(name, track, speed) for name, track, speed in jobs if (name, track.name) not in skipped]
        names = [(name, track.name, float(speed)) for name, track, speed in jobs]
        present = [(r["collection"], r["name"], r["speed"]) for r in index["recordings"]]
        expected = names if index["complete"] else names[: len(present)]
        if present != expected or settings != (list(sources), sample_rate, channels):
            raise ValueError(f"the folder {folder.name!r} holds a store of other tracks or settings: delete it")
        if not index["complete"]:
            _append(folder, index, jobs[len(present) :], progress)
    return StemStore(folder)


def _append(folder: Path, index: dict[str, Any], jobs: Sequence[_Job], progress: Progress) -> None:
    """Decode the remaining recordings, updating the index after each."""
    done = index["recordings"]
    frames = sum(entry["frames"] for entry in done)
    total = len(done) + len(jobs)
    with (folder / "samples.int16").open("ab") as file:
        file.truncate(frames * 2 * len(index["sources"]) * index["channels"])  # drop a partly written recording
        for name, track, speed, samples in _decode(jobs, index, folder):
            progress(len(done), total, track.name)
            peaks = np.abs(samples.astype(np.int32)).max((0, 2), initial=0) / 32768
            audible = [source for source, peak in zip(index["sources"], peaks, strict=True) if peak > AUDIBLE]
            file.write(samples.tobytes())
            file.flush()
            entry = StoredTrack(
                name=track.name,
                collection=name,
                speed=float(speed),
                start=frames,
                frames=len(samples),
                sources=tuple(audible),
                checksum=_checksum(samples),
            )
            done.append(asdict(entry) | {"sources": audible})
            frames += len(samples)
            _write_index(folder, index)
    if not done:
        first = index["skipped"][0]
        raise ValueError(f"no training track can be read; the first is {first['name']!r}: {first['reason']}")
    index["complete"] = True
    _write_index(folder, index)
    progress(total, total, "")


def _decode(
    jobs: Sequence[_Job], index: dict[str, Any], folder: Path
) -> Iterator[tuple[str, Track | FolderTrack, float, np.ndarray]]:
    """Yield every job with its samples, decoding each track only once for all its speeds.

    Tracks that cannot be read are added to the index instead.
    """
    for (name, _), group in groupby(jobs, key=lambda job: (job[0], job[1].name)):
        same = list(group)
        track = same[0][1]
        try:
            stems = _read(track, index)
        except ValueError as error:
            index.setdefault("skipped", []).append({"name": track.name, "collection": name, "reason": str(error)})
            _write_index(folder, index)
            continue
        for _, _, speed in same:
            yield name, track, speed, _to_int16(_resample(stems, speed, 1.0))


def read_sources(track: Track | FolderTrack) -> tuple[dict[str, np.ndarray], int]:
    """Decode the sources of a track to train on, each of shape (channels, time), float32; return their rate in Hz too.

    Raises
    ------
    ValueError
        If one cannot be read, or ``stems.toml`` names targets that cannot be trained.
    """
    _, references, sample_rate = track.read()
    if unknown := [target for target in references if target not in SOURCES]:
        raise ValueError(f"{MAP_FILE} has the target {unknown[0]!r}; training knows {', '.join(SOURCES)}")
    return references, sample_rate


def _read(track: Track | FolderTrack, index: dict[str, Any]) -> np.ndarray:
    """Decode all sources, shape (time, sources, channels), float32, with silence for missing ones."""
    references, sample_rate = read_sources(track)
    num_samples = max(reference.shape[1] for reference in references.values())
    stems = np.zeros((num_samples, len(index["sources"]), index["channels"]), np.float32)
    for row, source in enumerate(index["sources"]):
        if source in references:
            reference = references[source]
            if reference.shape[0] not in (1, index["channels"]):
                raise ValueError(f"{source} has {reference.shape[0]} channels, not {index['channels']}")
            stems[: reference.shape[1], row] = reference.T  # mono is copied to every channel
    return _resample(stems, sample_rate, index["sample_rate"])


def _resample(stems: np.ndarray, in_rate: float, out_rate: float) -> np.ndarray:
    if in_rate == out_rate:
        return stems
    flat = soxr.resample(stems.reshape(len(stems), -1), in_rate, out_rate)
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
