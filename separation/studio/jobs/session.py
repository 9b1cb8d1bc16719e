"""Separation of one song by several methods, with scores: the work behind the page and the API."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from separation.separators import METHODS, Method
from separation.studio.errors import at_field, visitor_message
from separation.studio.inputs.checks import check_methods
from separation.studio.inputs.request import SeparationRequest
from separation.studio.inputs.songs import Song
from separation.studio.jobs.session_update import SessionUpdate
from separation.studio.jobs.zero_gpu import with_gpu
from separation.studio.results.downloads import write_archive
from separation.studio.results.scoring import score_group
from separation.studio.results.storage import new_folder, read_player, remove_expired

if TYPE_CHECKING:
    from torch import Tensor

    from separation.audio.signal import Signal
    from separation.pipeline.result import Result, SeparationProgress
    from separation.separators.base import Separator
    from separation.studio.results.player_data import Group, Player
from separation.studio.jobs.model_cache import separator_for

__all__ = ["USER_STEMS", "SessionUpdate", "gpu_seconds", "separate_song"]

USER_STEMS = "yours"  # group of the visitor's own stems


def separate_song(
    song: Song, request: SeparationRequest, folder: Path | None = None, finished: Collection[str] = ()
) -> Generator[SessionUpdate]:
    """Separate a song by several methods in turn, and score them if its sources are known.

    Closing the generator stops it within one segment; finished methods stay. A method that fails is named and the
    others continue. :func:`separation.studio.results.storage.remove_expired` removes the result folder after an hour.

    Parameters
    ----------
    folder : path, optional
        Folder of the results; a new one by default.
    finished : collection of str
        Methods whose results are in the folder already, from an earlier run that was interrupted.

    Raises
    ------
    StudioError
        If neither a method nor another tool's stems are chosen, or a method is unknown.
    """
    try:
        check_methods(request.methods, estimates=bool(song.estimates))
        remove_expired()
        yield from _separate_song(song, request, folder or new_folder(), finished)
    finally:
        song.close()


def gpu_seconds(
    song: Song, request: SeparationRequest, folder: Path | None = None, finished: Collection[str] = ()
) -> float:
    """Return the longest time for which a GPU is needed; most of it is encoding, drawing and scoring.

    Each method gets 5 s, and 0.2 s per second of audio (the CPU needs 0.12 s of that), with 0.05 s more per shift of
    Demucs, and 0.4 s if it is scored against true sources (measured: 0.26 s), 0.6 s with further metrics (0.39 s).
    """
    methods = [name for name in request.methods if name not in finished]
    shifts = [cast("int", request.options.get(name, {}).get("shifts", 0)) for name in methods]
    scoring = (0.6 if request.metrics else 0.4) if song.references else 0.0
    per_second = sum(0.2 + 0.05 * count + scoring for count in shifts)
    return 10 + 5 * len(methods) + per_second * song.audio.duration


@with_gpu(gpu_seconds)
def _separate_song(
    song: Song, request: SeparationRequest, folder: Path, finished: Collection[str]
) -> Iterator[SessionUpdate]:
    yield from _Session(song, request, folder, finished).steps()


class _Session:
    """One run: its folder, its player and the finished methods."""

    def __init__(self, song: Song, request: SeparationRequest, folder: Path, finished: Collection[str]) -> None:
        from separation.studio.results.player_data import Player

        self.song, self.request, self.folder, self.finished = song, request, folder, finished
        audio = song.audio
        self.player: Player = Player(
            self.folder, song.name, rate=audio.sample_rate, frames=audio.frames, speakers=audio.speakers
        )
        self.results: list[Result] = []
        self.failed: dict[str, str] = {}
        self.doing = 0

    def steps(self) -> Iterator[SessionUpdate]:
        try:
            yield self._update("reading")
            self._tidy()
            self._open()
            yield self._update("reading")
            for number, name in enumerate(self.request.methods):
                self.doing = number
                if name in self.finished:
                    continue
                try:
                    yield from self._separate(METHODS[name])
                except Exception as error:  # the other methods continue
                    self.failed[name] = f"{METHODS[name].title}: {visitor_message(error)}"
                    self._drop_unfinished()
            if self.song.estimates:
                self._take_estimates()
            yield from self._score()
            yield self._update("done", share=1.0)
        finally:
            self._close()

    def _update(self, stage: str, **more: Any) -> SessionUpdate:
        share = more.pop("share", 0.0)
        total = len(self.request.methods) or 1
        return SessionUpdate(
            folder=self.folder,
            stage=stage,
            share=share if stage in ("done", "scoring") else 0.95 * (self.doing + share) / total,
            results=tuple(self.results),
            failed=dict(self.failed),
            **more,
        )

    def _close(self) -> None:
        """Remove unfinished methods and mark the document as final, however the work ended."""
        self._drop_unfinished()
        self.player.working = False
        if self.results or self.finished or USER_STEMS in self.player.groups:
            try:
                self.player.publish()
                return
            except OSError:  # without a document the result cannot be found
                pass
        self._remove_everything()

    def _remove_everything(self) -> None:
        """Remove what was written, and the folder unless it holds other files."""
        (self.folder / "player.json").unlink(missing_ok=True)
        for name in ("song", "references", USER_STEMS, *self.request.methods):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for place in self.folder.glob("listen*"):
            shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _tidy(self) -> None:
        """Take over an earlier run's results, and remove what it did not finish."""
        if self.finished:
            self.player.keep(read_player(self.folder), {"song", "references", *self.finished})
        for name in {"song", "references", USER_STEMS, *self.request.methods} - set(self.finished):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _drop_unfinished(self) -> None:
        for group in [group for group in self.player.groups.values() if group.working]:
            self.player.drop(group)
            shutil.rmtree(self.folder / group.id, ignore_errors=True)

    # -- the song and its sources

    def _open(self) -> None:
        """Add the song, and its true sources if they are known."""
        with at_field("song"):  # what is wrong in the middle of a file is found only now
            self._known("song", "Song", {"mixture": self.song.audio})
        if self.song.references:
            self._known("references", "True sources", _in_memory(_at_16_bits(self.song.references)))

    def _take_estimates(self) -> None:
        title = self.request.yours.strip()[:40] or "Your separator"
        stems = self.song.estimates
        song = self.song.audio.read(0, self.song.audio.frames)
        residual = song - sum(stems.values())
        group = self._known(USER_STEMS, title, _in_memory({**stems, "residual": residual}))
        energy = float(song.double().square().sum())
        group.details = {"residual_db": _decibels(float(residual.double().square().sum()), energy)}
        self.player.describe(self.song.audio)
        self.player.publish()

    def _known(self, name: str, title: str, sounds: Mapping[str, Signal]) -> Group:
        import torch

        from separation.audio.blocks import iter_blocks
        from separation.audio.encoding import StemWriter

        group = self.player.group(name, title)
        place = self.folder / name
        place.mkdir()
        names = tuple(_file_name(stem, number) for number, stem in enumerate(sounds))
        song = self.song.audio
        writer = StemWriter(place, names, channels=song.channels, sample_rate=song.sample_rate, float32=True)
        try:
            for parts in zip(*(iter_blocks(sound, 20 * song.sample_rate) for sound in sounds.values()), strict=True):
                self.player.write(group, dict(zip(sounds, parts, strict=True)))
                writer.write(torch.stack(parts))
            writer.finish()
        finally:
            writer.close()
        group.wav = dict(zip(sounds, writer.paths.values(), strict=True))
        self.player.finish(group)
        self.player.publish()
        return group

    # -- methods

    def _separate(self, method: Method) -> Iterator[SessionUpdate]:
        from separation.pipeline.to_folder import separate_to_folder
        from separation.separators.two_stems import TwoStems

        began = time.monotonic()
        yield self._update("loading", method=method.title)
        separator = separator_for(method, self.song, self.request)
        if self.request.karaoke:
            separator = TwoStems(separator, "vocals")
        group = self.player.group(method.name, method.title)

        def listen(mixture: Tensor, stems: Tensor) -> None:
            sounds = dict(zip(separator.sources, stems, strict=True))
            self.player.write(group, {**sounds, "residual": mixture - stems.sum(0)})
            self.player.publish()

        work = separate_to_folder(
            self.song.audio,
            separator,
            self.folder / method.name,
            name=self.song.name,
            sum_to_mixture=self.request.sum_to_mixture,
            origin=self._origin(method),
            on_block=listen,
        )
        result = None
        for progress in work:
            yield self._progress(progress, method, separator, began)
            result = progress.result
        assert result is not None, "the last step of a separation holds its result"
        self._finish(method, group, result)
        yield self._update("writing", method=method.title, share=1.0)

    def _progress(
        self, progress: SeparationProgress, method: Method, separator: Separator, began: float
    ) -> SessionUpdate:
        done = progress.segment / max(progress.segments, 1)
        seconds = time.monotonic() - began
        return self._update(
            progress.stage if progress.stage != "done" else "writing",
            method=method.title,
            device=str(separator.device),
            real_time_factor=seconds / (done * self.song.audio.duration) if done else None,
            share=0.95 * done,
        )

    def _finish(self, method: Method, group: Group, result: Result) -> None:
        group.wav = dict(result.stems)
        group.wav_gain = 10 ** (-result.gain_db / 20)
        shown = ("model", "residual_db", "gain_db", "seconds", "real_time_factor", "device", "warnings")
        archive = write_archive(result, self.folder / method.name, self.song.name).relative_to(self.folder)
        group.details = {**{name: getattr(result, name) for name in shown}, "archive": archive.as_posix()}
        self.player.finish(group)
        self.results.append(result)
        self.player.describe(self.song.audio)
        self.player.publish()

    def _origin(self, method: Method) -> dict[str, Any]:
        """Return the excerpt and the command that repeats the result."""
        origin: dict[str, Any] = {"start": self.song.start}
        if self.song.file is not None:
            excerpt = ["--start", f"{self.song.start:g}", "--duration", f"{self.song.audio.duration:.6f}"]
            file = f"./{self.song.file}" if self.song.file.startswith("-") else self.song.file  # else it is an option
            words = ["python", "-m", "separation", "separate", file, "--method", method.name, *excerpt]
            if model := self.request.models.get(method.name):
                words += ["--model", model]
            for name, value in self.request.options.get(method.name, {}).items():
                words += ["--option", f"{name}={value}"]
            if self.request.karaoke:
                words += ["--two-stems", "vocals"]
            if self.request.sum_to_mixture:
                words.append("--sum-to-mixture")
            origin["command"] = shlex.join(words)
        return origin

    # -- scores

    def _score(self) -> Iterator[SessionUpdate]:
        truth = self.player.groups.get("references")
        if truth is None:
            return
        for group in list(self.player.groups.values()):
            if group.id in ("song", "references") or group.scores is not None:
                continue
            yield self._update("scoring", method=group.title, share=0.96)
            try:
                audio = self.song.audio
                group.scores = score_group(truth, group, audio.sample_rate, audio.frames, self.request.metrics)
            except Exception as error:  # the stems remain usable
                self.failed[group.id] = f"{group.title}: no scores: {visitor_message(error)}"
            self.player.publish()


def _in_memory(sounds: Mapping[str, Tensor]) -> dict[str, Signal]:
    from separation.audio.signal import TensorSignal

    return {name: TensorSignal(waveform) for name, waveform in sounds.items()}


def _at_16_bits(sounds: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round to 16 bits as musdb does; BSSEval's filters would be undefined above a lossy file's cut-off."""
    return {name: (waveform * 32768).round() / 32768 for name, waveform in sounds.items()}


def _decibels(energy: float, reference: float) -> float | None:
    import math

    return round(10 * math.log10(energy / reference), 3) if energy > 0 and reference > 0 else None


def _file_name(stem: str, number: int) -> str:
    """Return a stem's name if every file system accepts it, else a numbered one."""
    plain = all(char.isascii() and (char.isalnum() or char in " -_") for char in stem)
    return stem if plain and 0 < len(stem) <= 60 else f"stem {number + 1}"
