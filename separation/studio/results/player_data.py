"""Data for the player in the page: audio to stream, spectrograms, and one document that lists them.

Stems are stored twice. The files for download are WAV; for playback they are Ogg Opus in chunks of four seconds
that can be decoded separately, so that a page fetches only what it plays. All chunks come from one encoder and
overlap at both ends. After trimming, they join without a seam, and all stems stay aligned to the sample.
``player.json`` lists the chunks; it is rewritten as the work progresses, and the page polls it until it is finished.
"""

from __future__ import annotations

import io
import math
import os
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import av
import numpy as np
import torch
from torch import Tensor

from separation.audio.channels import downmix
from separation.audio.resampling import Resampler
from separation.audio.signal import Signal
from separation.plots import (
    F_MIN,
    Spectrogram,
    StreamingSpectrogram,
    palette,
    reference_power,
    save_difference,
    save_spectrogram,
)
from separation.spectral.tempo_key import estimate_key, estimate_tempo
from separation.studio.results.storage import write_player

__all__ = ["RATE", "Group", "Player", "TrackWriter"]

RATE = 48000  # Hz; Opus always works at this rate
CHUNK = 4 * RATE  # samples per chunk
MARGIN = RATE // 10  # samples of overlap at both ends; an Opus decoder needs 80 ms to settle
BIT_RATE = 128_000  # bit/s for stereo; half for mono
DESCRIBED = 60  # seconds of a song from which tempo and key are estimated
COLUMNS = 1000  # columns of a spectrogram
CLOSEST = 512  # minimum hop of a spectrogram in samples; a smaller one adds no detail

# -- one track -------------------------------------------------------------------------------------


class TrackWriter:
    """Writes one audio track of the player as it is computed: Opus chunks, peaks, a spectrogram, its level.

    Parameters
    ----------
    folder, name : path, str
        ``<folder>/<name>.opus``, ``.peaks`` and ``.png`` are written.
    rate : int
        Sample rate in Hz.
    frames : int
        Length of the whole track in samples.
    speakers : tuple of str, optional
        Names of the channels, for playback in stereo; see :mod:`separation.audio.speakers`.
    """

    def __init__(
        self, folder: Path, name: str, *, rate: int, frames: int, speakers: tuple[str, ...] | None = None
    ) -> None:
        self._speakers = speakers
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.opus"
        self.rate, self.frames = rate, frames
        self.total = -(-frames * RATE // rate)
        self.offsets = [0]  # byte offsets of the chunks in the file
        self.picture: Spectrogram | None = None
        self.power = 0.0
        self._maker = StreamingSpectrogram(
            self.total,
            RATE,
            columns=COLUMNS,
            frames_per_column=min(4, max(1, self.total // (COLUMNS * CLOSEST))),
            highest=min(rate, RATE) / 2,
        )
        self._resampler: Resampler | None = None
        self._kept: Tensor | None = None  # samples from one margin before the next chunk
        self._came = 0  # samples at the track's own rate
        self._have = 0  # samples at 48 kHz
        self.path.write_bytes(b"")

    @property
    def ready(self) -> int:
        """Number of samples at 48 kHz that can be played."""
        return min(self.total, (len(self.offsets) - 1) * CHUNK)

    def write(self, block: Tensor) -> None:
        """Append (channels, time) at the track's own sample rate."""
        if not block.shape[1]:
            return
        block = downmix(block, self._speakers)
        if self._resampler is None:
            self._resampler = Resampler(block.shape[0], self.rate, RATE, frames=self.total)
            self._kept = torch.zeros(block.shape[0], MARGIN)
        self._came += block.shape[1]
        self._take(self._resampler(block, last=self._came >= self.frames))

    def _take(self, block: Tensor) -> None:
        assert self._kept is not None
        self.power += float(block.double().square().mean(0).sum()) / self.total
        self._maker.add(block)
        self._have += block.shape[1]
        self._kept = torch.cat([self._kept, block], dim=1)
        ended = self._have >= self.total
        if ended:
            missing = MARGIN + -(-self.total // CHUNK) * CHUNK - self.total
            self._kept = torch.nn.functional.pad(self._kept, (0, missing))
        while self._kept.shape[1] >= CHUNK + 2 * MARGIN:
            piece = _opus(self._kept[:, : CHUNK + 2 * MARGIN])
            with self.path.open("ab") as file:
                file.write(piece)
            self.offsets.append(self.offsets[-1] + len(piece))
            self._kept = self._kept[:, CHUNK:].clone()
        self._draw_peaks()
        if ended:
            self.picture = self._maker.picture()

    def _draw_peaks(self) -> None:
        """Write each column's minimum and maximum as signed bytes, square-rooted so that quiet parts stay visible."""
        peaks = self._maker.picture().peaks
        bent = np.sign(peaks) * np.sqrt(np.minimum(np.abs(peaks), 4.0) / 4.0)
        draft = self.path.with_suffix(".draft")  # pages may read while this writes
        draft.write_bytes(np.round(bent * 127).astype(np.int8).tobytes())
        draft.replace(self.path.with_suffix(".peaks"))

    def draw(self, loudest: float) -> None:
        """Draw the spectrogram; `loudest` is the power at 0 dB, common to all tracks that are compared."""
        if self.picture is not None:
            save_spectrogram(self.picture, self.path.with_suffix(".png"), loudest=loudest)


@lru_cache(maxsize=1)
def _cores(process: int) -> ThreadPoolExecutor:
    """Return this process's thread pool; a process forked by ZeroGPU has none of its parent's threads."""
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="listen")


def _opus(samples: Tensor) -> bytes:
    """Encode one chunk, (channels, time) at 48 kHz, as an Ogg Opus file."""
    channels = samples.shape[0]
    layout = "mono" if channels == 1 else "stereo"
    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout=layout, options={"compression_level": "5"})
        stream.bit_rate = BIT_RATE * channels // 2
        data = np.ascontiguousarray(samples.numpy().T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(data, format="flt", layout=layout)
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return out.getvalue()


# -- one result -------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Group:
    """A group of tracks in the player: a method's stems, the true sources, or the song.

    Attributes
    ----------
    details : dict
        Details for the page: residual, time, device, notes, address of the archive.
    scores : dict or None
        The document of :func:`separation.evaluation.track_scores.score_signals`.
    """

    id: str
    title: str
    tracks: dict[str, TrackWriter] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] | None = None
    wav: dict[str, Path] = field(default_factory=dict)
    differences: dict[str, Path] = field(default_factory=dict)
    wav_gain: float = 1.0  # gain that restores the song's level
    working: bool = True
    published: Mapping[str, Any] | None = None  # its part of the document, if an earlier run has finished it


class Player:
    """The document of a result and its audio for listening.

    Parameters
    ----------
    folder : path
        Folder of the result.
    name : str
        Name of the song.
    rate : int
        Sample rate of the song in Hz.
    frames : int
        Length of the song in samples.
    speakers : tuple of str, optional
        Names of the song's channels; see :mod:`separation.audio.speakers`.
    """

    def __init__(
        self, folder: Path, name: str, *, rate: int, frames: int, speakers: tuple[str, ...] | None = None
    ) -> None:
        self.folder, self.name, self.rate, self.frames = folder, name, rate, frames
        self.speakers = speakers
        self._track = partial(TrackWriter, rate=rate, frames=frames, speakers=speakers)
        self.groups: dict[str, Group] = {}
        self.working = True
        self.loudest = 0.0
        self.tempo: float | None = None  # beats per minute
        self.key: str | None = None
        self._listen = folder / "listen"

    def keep(self, document: Mapping[str, Any], names: Collection[str]) -> None:
        """Take over groups that an earlier run has finished; the others get new files beside the old ones."""
        for part in document["groups"]:
            if part["id"] in names and not part["working"]:
                wav = {track["name"]: self.folder / unquote(track["wav"]) for track in part["tracks"] if track["wav"]}
                known = {name: part[name] for name in ("id", "title", "details", "scores")}
                group = Group(**known, wav=wav, wav_gain=part["wavGain"], working=False, published=part)
                self.groups[group.id] = group
        self.loudest, self.tempo, self.key = document["loudest"], document["tempo"], document["key"]
        # Pages may still play the old ones.
        runs = len(list(self.folder.glob("listen*")))
        self._listen = self.folder / f"listen-{runs + 1}"

    def describe(self, song: Signal) -> None:
        """Estimate tempo and key, unless they are known; called once some audio can be heard, which is more urgent."""
        if self.tempo is None and self.key is None:
            beginning = song.read(0, min(song.frames, DESCRIBED * self.rate))
            self.tempo, self.key = estimate_tempo(beginning, self.rate), estimate_key(beginning, self.rate)

    def group(self, name: str, title: str) -> Group:
        """Add a group."""
        self.groups[name] = Group(id=name, title=title)
        return self.groups[name]

    def write(self, group: Group, sounds: Mapping[str, Tensor]) -> None:
        """Append the next (channels, time) of each of a group's tracks."""
        for name in sounds:
            if name not in group.tracks:
                place = self._listen / group.id
                # Numbered, since stems may have any name.
                group.tracks[name] = self._track(place, str(len(group.tracks)))
        # Encoding and transforms release the GIL, so that tracks run one per core.
        list(_cores(os.getpid()).map(lambda name: group.tracks[name].write(sounds[name]), sounds))

    def finish(self, group: Group) -> None:
        """Draw the group's spectrograms, with 0 dB at the loudest bin of the song."""
        group.working = False
        if "mixture" in group.tracks:
            picture = group.tracks["mixture"].picture
            self.loudest = picture.loudest if picture else 0.0
        for name, track in group.tracks.items():
            track.draw(self.loudest)
            truth = self.groups["references"].tracks.get(name) if "references" in self.groups else None
            if truth is not None and truth is not track and truth.picture and track.picture:
                path = track.path.with_name(f"{track.path.stem}-difference.png")
                group.differences[name] = save_difference(track.picture, truth.picture, path, loudest=self.loudest)

    def drop(self, group: Group) -> None:
        """Remove an unfinished group."""
        self.groups.pop(group.id, None)
        shutil.rmtree(self._listen / group.id, ignore_errors=True)

    def publish(self) -> None:
        """Write the document atomically."""
        write_player(self.folder, self.document())

    def document(self) -> dict[str, Any]:
        """Return the document; addresses are relative to its own."""
        return {
            "name": self.name,
            "working": self.working,
            "rate": RATE,
            "chunk": CHUNK,
            "margin": MARGIN,
            "frames": -(-self.frames * RATE // self.rate),
            "lowest": F_MIN,
            "highest": min(self.rate, RATE) / 2,
            "loudest": reference_power(self.loudest),
            "palette": palette(),
            "speakers": self.speakers,
            "tempo": self.tempo,
            "key": self.key,
            "groups": [self._group(group) for group in self.groups.values()],
        }

    def _group(self, group: Group) -> dict[str, Any]:
        if group.published is not None:
            return {**group.published, "scores": group.scores}
        tracks = []
        for name, track in group.tracks.items():
            picture, wav = track.path.with_suffix(".png"), group.wav.get(name)
            tracks.append(
                {
                    "name": name,
                    "ready": track.ready,
                    "level": _decibels(track.power),
                    "opus": self._address(track.path),
                    "offsets": track.offsets,
                    "peaks": self._address(track.path.with_suffix(".peaks")),
                    "picture": self._address(picture) if picture.exists() else None,
                    "difference": self._address(group.differences[name]) if name in group.differences else None,
                    "wav": self._address(wav) if wav else None,
                }
            )
        return {
            "id": group.id,
            "title": group.title,
            "working": group.working,
            "wavGain": group.wav_gain,
            "details": group.details,
            "scores": group.scores,
            "tracks": tracks,
        }

    def _address(self, path: Path) -> str:
        return quote(path.relative_to(self.folder).as_posix())


def _decibels(power: float) -> float | None:
    """Convert power to dB of full scale; None for silence."""
    return round(10 * math.log10(power), 2) if power > 0 else None
