"""From one sound to a folder of stems: rate and channels fitted, files written, the result described.

Everything that separates goes through here, the command line and the studio alike.
"""

from __future__ import annotations

import errno
import glob
import json
import math
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from scipy.signal import lfilter
from torch import Tensor

from separation.audio import Remixed, Resampled, Resampler, Signal, Sound, down_mix
from separation.segments import pieces
from separation.separators.base import Separator
from separation.writing import BLOCK, StemWriter, check_format, read_blocks

__all__ = ["Progress", "ResidualShare", "Result", "run", "separate_to_folder", "separated_mixture"]

_ENERGY_SECONDS = 0.05  # time constant of the energies by which a residual is shared
_LOCK = ".lock"  # in a draft: whoever holds it is at work there
_NOTHING = 1e-20  # where all stems are silent, each gets as much


# -- sound in, stems out ---------------------------------------------------------------------------


def separated_mixture(audio: Sound, separator: Separator) -> Signal:
    """The mixture as the stems will add up to it, at the sound's own rate.

    Itself for methods that take any number of channels, and for mono and stereo. More channels
    are mixed down to stereo for the neural methods (:func:`separation.audio.down_mix`), and to mono
    for the few models that know only that.
    """
    if separator.channels is None or audio.channels <= separator.channels:
        return audio
    if separator.channels == 1:
        return Remixed(audio, 1, lambda waveform: down_mix(waveform).mean(0, keepdim=True))
    return Remixed(audio, 2, down_mix)


def run(separator: Separator, audio: Sound) -> Iterator[Tensor]:
    """Take a sound apart, whatever its rate, channels and length.

    The mixture is brought to the separator's rate and channels, and the stems back: mono is
    doubled for a stereo method and comes back as the mean of its two channels. What is not in
    memory (:class:`separation.audio.Recording`) is read as the work goes on.

    Yields
    ------
    Tensor, shape (sources, channels, some time)
        Consecutive blocks at the sound's own rate, as many frames in all as it has.

    Raises
    ------
    ValueError
        If the sound is too short for the method.
    """
    yield from _run(separator.at(sample_rate=audio.sample_rate, channels=audio.channels), audio)


def _run(separator: Separator, audio: Sound) -> Iterator[Tensor]:
    """:func:`run` with a separator that is made for the sound's rate and channels; it keeps the notes."""
    mixture = separated_mixture(audio, separator)
    channels = mixture.channels
    if separator.channels == 2 and channels == 1:
        mixture = Remixed(mixture, 2, lambda waveform: waveform.expand(2, -1))
    if audio.sample_rate != separator.sample_rate:
        mixture = Resampled(mixture, audio.sample_rate, separator.sample_rate)
    n_sources = len(separator.sources)
    back = Resampler(n_sources * channels, separator.sample_rate, audio.sample_rate, frames=audio.frames)
    done, total = 0, mixture.frames
    for block in separator.stream(mixture):
        done += block.shape[-1]
        if block.shape[1] != channels:
            block = block.mean(1, keepdim=True)
        yield back(block.reshape(n_sources * channels, -1), last=done == total).unflatten(0, (n_sources, channels))


# -- stems on disk ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one separation is.

    Attributes
    ----------
    stage : str
        "separating", "writing" or "done".
    segment, segments : int
        Finished, and in all.
    seconds_left : float or None
        Known once a segment is finished.
    result : Result or None
        With the stage "done".
    """

    stage: str
    segment: int
    segments: int
    seconds_left: float | None = None
    result: Result | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a separation left behind; ``result.json`` holds the same and more.

    Attributes
    ----------
    stems : dict of str to Path
    residual_db : float or None
        Energy of (mixture - sum of the stems as written) over the mixture's, 10 log10; None if
        either is silent.
    gain_db : float
        Of all stems alike, below 0 if one would have clipped.
    seconds, real_time_factor : float
        Time it took, and per second of sound.
    card : Path
        ``result.json``.
    """

    input: str
    method: str
    model: str | None
    stems: dict[str, Path]
    sample_rate: int
    channels: int
    frames: int
    residual_db: float | None
    gain_db: float
    seconds: float
    real_time_factor: float
    device: str
    card: Path
    warnings: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON knows it: paths as strings."""
        stems = {source: str(path) for source, path in self.stems.items()}
        return {**asdict(self), "stems": stems, "card": str(self.card)}


def separate_to_folder(
    audio: Sound,
    separator: Separator,
    folder: Path,
    *,
    name: str,
    stems: Sequence[str] | None = None,
    format: str = "wav",
    float32: bool = False,
    sum_to_mixture: bool = False,
    origin: Mapping[str, Any] | None = None,
    on_block: Callable[[Tensor, Tensor], None] | None = None,
) -> Generator[Progress, None, None]:
    """Separate a sound into ``folder/<source>.<format>`` and ``folder/result.json``.

    A generator: it works while it is asked for progress, and stops when it is closed. The folder
    appears, or replaces its predecessor, only when everything in it is whole; until then, and
    after an error, there is nothing.

    Memory does not grow with the length of what is not in memory itself
    (:class:`separation.audio.Recording`); reading, computing and writing go on side by side.

    Parameters
    ----------
    audio : Sound
    separator : Separator
    folder : path
        Of this method's stems.
    name : str
        Of the sound, for the card.
    stems : sequence of str, optional
        Only these; all by default.
    format, float32
        See :class:`separation.writing.StemWriter`.
    sum_to_mixture : bool
        Share out among the stems what they leave of the mixture: see :class:`ResidualShare`.
    origin : mapping, optional
        More for the card: the command line, the excerpt.
    on_block : callable, optional
        Is given each block as it is finished, for who wants to listen meanwhile: the mixture's
        (channels, time) and the stems' (sources, channels, time), before any common gain.

    Yields
    ------
    Progress
        The last one holds the result.

    Raises
    ------
    ValueError
        If the sound is too short, a stem is unknown, the format cannot hold the stems or only some
        of the stems shall sum to the mixture.
    OSError
        If the disk is full or the folder cannot be written.
    """
    began = time.perf_counter()
    separator = separator.at(sample_rate=audio.sample_rate, channels=audio.channels)
    chosen = choose_stems(separator.sources, stems)
    if sum_to_mixture and len(chosen) < len(separator.sources):
        raise ValueError("only all stems together can sum to the mixture: leave the choice of stems out")
    mixture = separated_mixture(audio, separator)
    check_format(format, float32=float32, channels=mixture.channels, sample_rate=audio.sample_rate)
    with _Draft(folder) as draft:
        writer = StemWriter(
            draft.path,
            chosen,
            channels=mixture.channels,
            sample_rate=audio.sample_rate,
            format=format,
            float32=float32,
        )
        try:
            with _Behind(writer.write) as write:
                for progress, block in _blocks(audio, separator, chosen, began, share=sum_to_mixture):
                    if block is not None:
                        write(block[1])
                        if on_block:
                            on_block(*block)
                    yield progress
            gain = writer.finish()
        finally:
            writer.close()
        seconds = time.perf_counter() - began
        result = Result(
            input=name,
            method=separator.name,
            model=separator.model,
            stems={source: folder / path.name for source, path in writer.paths.items()},
            sample_rate=audio.sample_rate,
            channels=mixture.channels,
            frames=audio.frames,
            residual_db=residual_db(mixture, list(writer.paths.values())),
            gain_db=round(20 * math.log10(gain), 4),
            seconds=round(seconds, 3),
            real_time_factor=round(seconds / audio.duration, 4),
            device=str(separator.device),
            card=folder / "result.json",
            warnings=list(separator.notes),
        )
        _write_card(draft.path, _card(result, audio, separator, {"sum_to_mixture": sum_to_mixture, **(origin or {})}))
        draft.keep()
    segments = _segments(audio, separator)
    yield Progress(stage="done", segment=segments, segments=segments, seconds_left=0.0, result=result)


def choose_stems(sources: tuple[str, ...], stems: Sequence[str] | None) -> tuple[str, ...]:
    """The wanted ones of a method's sources, in its order; ValueError names one it does not give."""
    if stems is None:
        return sources
    for stem in stems:
        if stem not in sources:
            raise ValueError(f"there is no stem {stem!r}; this method gives {', '.join(sources)}")
    if not stems:
        raise ValueError(f"no stems chosen; this method gives {', '.join(sources)}")
    return tuple(source for source in sources if source in stems)


def _blocks(
    audio: Sound, separator: Separator, chosen: tuple[str, ...], began: float, *, share: bool
) -> Iterator[tuple[Progress, tuple[Tensor, Tensor] | None]]:
    """Progress, and with it the finished block, if there is one: the mixture's part and the chosen stems'."""
    rows = [separator.sources.index(source) for source in chosen]
    segments = _segments(audio, separator)
    mixture, position = separated_mixture(audio, separator), 0
    shared = ResidualShare(len(separator.sources), audio.sample_rate)
    yield Progress(stage="separating", segment=0, segments=segments), None
    for number, block in enumerate(_run(separator, audio), start=1):
        part = mixture.read(position, position + block.shape[-1])
        position += block.shape[-1]
        left = (time.perf_counter() - began) / number * max(0, segments - number)
        progress = Progress(stage="separating", segment=number, segments=segments, seconds_left=left)
        yield progress, (part, shared(part, block) if share else block[rows])
    yield Progress(stage="writing", segment=segments, segments=segments, seconds_left=0.0), None


class ResidualShare:
    """Makes stems sum to the mixture: what they leave of it is shared out by their energies.

    A stem's share at any moment is its share of all stems' energy lately, which follows the music
    with a time constant of 50 ms: what a quiet moment leaves goes to whoever sounds just then, and a
    silent stem gets nothing. The state goes on from block to block, so that cutting changes nothing.
    """

    def __init__(self, sources: int, sample_rate: int) -> None:
        self._keep = math.exp(-1 / (_ENERGY_SECONDS * sample_rate))
        self._state = np.zeros((sources, 1))

    def __call__(self, mixture: Tensor, stems: Tensor) -> Tensor:
        """(channels, time) and (sources, channels, time) -> (sources, channels, time)."""
        power = stems.double().square().sum(1).numpy()
        energy, self._state = lfilter([1 - self._keep], [1, -self._keep], power, zi=self._state)
        weights = torch.from_numpy(energy) + _NOTHING
        weights = (weights / weights.sum(0)).to(stems.dtype)[:, None]
        return stems + weights * (mixture - stems.sum(0))


def _segments(audio: Sound, separator: Separator) -> int:
    return separator.segments(-(-audio.frames * separator.sample_rate // audio.sample_rate))


def residual_db(mixture: Signal, stems: Sequence[Path]) -> float | None:
    """What the written stems leave of the mixture, in dB of its energy; None if either is silent."""
    left = energy = 0.0
    written = zip(*(read_blocks(path) for path in stems), strict=False)
    for part, blocks in zip_longest(pieces(mixture, BLOCK), written, fillvalue=()):
        true = part.double() if isinstance(part, Tensor) else torch.zeros(mixture.channels, 0).double()
        total = torch.zeros_like(true)
        for block in blocks:  # a lossy file may end a few samples early, or late
            total[:, : block.shape[1]] += block[:, : true.shape[1]]
        left += float((true - total).square().sum())
        energy += float(true.square().sum())
    return round(10 * math.log10(left / energy), 3) if left > 0 and energy > 0 else None


class _Behind:
    """Calls a function in a thread of its own, one call behind; an error comes with the next call or at the end."""

    def __init__(self, function: Callable[[Tensor], None]) -> None:
        self._function = function
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._last: Future[None] | None = None

    def __call__(self, block: Tensor) -> None:
        self._wait()
        self._last = self._thread.submit(self._function, block)

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()

    def __enter__(self) -> _Behind:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self._wait()


def _card(result: Result, audio: Sound, separator: Separator, origin: Mapping[str, Any]) -> dict[str, Any]:
    document = result.document()
    document["stems"] = {source: path.name for source, path in result.stems.items()}
    del document["card"]
    return {
        **document,
        "input_sha256": audio.digest(),
        "duration": round(audio.duration, 6),
        "model_sha256": separator.model_hash,
        "options": asdict(separator.options),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "numpy", "soundfile", "soxr", "scikit-learn", "librosa")},
        **origin,
    }


def _write_card(folder: Path, card: Mapping[str, Any]) -> None:
    text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # What of a file's name is not Unicode becomes an escape, as JSON has it.
    (folder / "result.json").write_bytes(text.encode("utf-8", "backslashreplace"))


class _Draft:
    """A folder beside its final place that takes it in one step if :meth:`keep` is called, or goes without trace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> _Draft:
        self._keep = False
        self._made: list[Path] = []
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(errno.EEXIST, "a file is in the way of the folder for the stems", str(self.folder))
        try:
            for parent in _missing(self.folder.parent):
                parent.mkdir(exist_ok=True)
                self._made.append(parent)
            _remove_abandoned(self.folder)
            self.path = self.folder.with_name(f".{self.folder.name}-{secrets.token_hex(4)}")
            self.path.mkdir()
            self._lock = FileLock(self.path / _LOCK)
            self._lock.acquire()
        except BaseException:
            self._remove_parents()
            raise
        return self

    def keep(self) -> None:
        self._keep = True

    def __exit__(self, kind: object, *rest: object) -> None:
        published = False
        try:
            self._lock.release()
            if kind is None and self._keep:
                (self.path / _LOCK).unlink(missing_ok=True)
                self._publish()
                published = True
        finally:
            if not published:
                shutil.rmtree(self.path, ignore_errors=True)
                self._remove_parents()

    def _publish(self) -> None:
        old = self.path.with_name(f"{self.path.name}.old")
        try:
            if self.folder.exists():
                self.folder.replace(old)
            self.path.replace(self.folder)
        except BaseException:
            if old.exists() and not self.folder.exists():
                old.replace(self.folder)
            raise
        finally:
            shutil.rmtree(old, ignore_errors=True)

    def _remove_parents(self) -> None:
        for parent in reversed(self._made):  # one that others use by now stays
            try:
                parent.rmdir()
            except OSError:
                break


def _remove_abandoned(folder: Path) -> None:
    """Drafts of processes that were killed: nobody holds their locks any more."""
    for draft in folder.parent.glob(f".{glob.escape(folder.name)}-" + "[0-9a-f]" * 8):
        lock = FileLock(draft / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        lock.release()
        shutil.rmtree(draft, ignore_errors=True)


def _missing(folder: Path) -> list[Path]:
    """The folders that are to be made for this one to be there, the outermost first."""
    missing: list[Path] = []
    while not folder.exists():
        missing.insert(0, folder)
        folder = folder.parent
    return missing
