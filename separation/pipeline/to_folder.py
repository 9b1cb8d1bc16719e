"""Separate audio into a folder of stems."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from separation.audio.encoding import StemWriter, check_format
from separation.audio.signal import AudioSource, Signal
from separation.audio.speakers import WAVE_ORDER
from separation.pipeline.atomic_folder import AtomicFolder, refuse_foreign
from separation.pipeline.consistency import MixtureConsistency, residual_db
from separation.pipeline.ownership import RESULT_FILE, earlier_results, is_same_separation, listed_files
from separation.pipeline.result import Result, SeparationProgress, manifest, write_manifest
from separation.pipeline.run import run_configured, target_mixture
from separation.separators.base import Separator

__all__ = ["choose_stems", "separate_to_folder"]

_Blocks = Iterator[tuple[SeparationProgress, tuple[Tensor, Tensor] | None]]
"""Progress, and the mixture and chosen stems of the block just finished, or None."""


def separate_to_folder(
    audio: AudioSource,
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
) -> Generator[SeparationProgress, None, None]:
    """Separate audio into ``folder/<source>.<format>`` and ``folder/result.json``.

    The audio is separated while the generator is iterated; closing it cancels. The result appears in one step, and
    no partial result remains after an error. Of an existing folder, only files that its ``result.json`` lists are
    replaced or removed. If only some stems are written, others in the folder are kept: ``earlier_results`` in
    ``result.json`` describes them, and a warning names those from other audio, weights or options.

    Memory does not grow with the length of audio that is not itself in memory
    (:class:`separation.audio.files.Recording`); reading, computing and writing overlap.

    Parameters
    ----------
    audio : AudioSource
    separator : Separator
    folder : path
        Output folder.
    name : str
        Name of the input, for ``result.json``.
    stems : sequence of str, optional
        Write only these stems, and keep others that are in the folder; all by default.
    format, float32
        See :class:`separation.audio.encoding.StemWriter`.
    sum_to_mixture : bool
        Distribute the residual among the stems; see :class:`separation.pipeline.consistency.MixtureConsistency`.
    origin : mapping, optional
        More entries for ``result.json``, such as the command line and the excerpt.
    on_block : callable, optional
        Called with each finished block, e.g. for live playback, before the anti-clipping gain is applied. Its
        arguments are the mixture (channels, time) and the stems (sources, channels, time).

    Yields
    ------
    SeparationProgress
        The last one holds the result.

    Raises
    ------
    ValueError
        If the audio is too short, a stem is unknown, the format cannot hold the stems, or
        `sum_to_mixture` is combined with a choice of stems.
    OSError
        If the disk is full, the folder cannot be written, or a file to be written exists in it and is not
        listed in its ``result.json`` (FileExistsError).

    Examples
    --------
    >>> from separation import create, read
    >>> song, separator = read("song.mp3"), create("hpss")
    >>> for progress in separate_to_folder(song, separator, Path("stems"), name="song.mp3"):
    ...     pass
    >>> sorted(path.name for path in Path("stems").iterdir())
    ['bass.wav', 'drums.wav', 'other.wav', 'result.json', 'vocals.wav']
    """
    start_time = time.perf_counter()
    method = separator.name
    separator = separator.at(sample_rate=audio.sample_rate, channels=audio.channels)
    separator.name = method  # type: ignore[misc]  # a preset's, which a newly configured method does not know
    chosen = choose_stems(separator.sources, stems)
    if sum_to_mixture and len(chosen) < len(separator.sources):
        raise ValueError("the stems can sum to the mixture only if all are written: omit --stems")
    mixture = target_mixture(audio, separator)
    check_format(format, float32=float32, channels=mixture.channels, sample_rate=audio.sample_rate)
    refuse_foreign(folder, [*(f"{source}.{format}" for source in chosen), RESULT_FILE], listed_files)
    with AtomicFolder(folder, listed_files) as draft:
        writer = StemWriter(
            draft.path,
            chosen,
            channels=mixture.channels,
            sample_rate=audio.sample_rate,
            format=format,
            float32=float32,
        )
        blocks = _blocks(audio, separator, chosen, start_time, share=sum_to_mixture)
        gain = yield from _write_stems(writer, blocks, on_block)
        result = _result(audio, separator, folder, writer, name=name, gain=gain, start_time=start_time)
        document = manifest(result, audio, separator, {"sum_to_mixture": sum_to_mixture, **(origin or {})})
        keep = stems is not None
        draft.publish(lambda: _write_with_earlier(draft.path, folder, document, result, keep_others=keep))
    segments = _segments(audio, separator)
    yield SeparationProgress(stage="done", segment=segments, segments=segments, seconds_left=0.0, result=result)


def _write_stems(
    writer: StemWriter, blocks: _Blocks, on_block: Callable[[Tensor, Tensor], None] | None
) -> Generator[SeparationProgress, None, float]:
    """Write all blocks while the next ones are computed; return the gain of all stems."""
    last: Future[None] | None = None
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="writer") as thread:
            for progress, block in blocks:
                if block is not None:
                    if last is not None:
                        last.result()
                    last = thread.submit(writer.write, block[1])
                    if on_block:
                        on_block(*block)
                yield progress
        if last is not None:
            last.result()
        return writer.finish()
    finally:
        writer.close()


def _result(
    audio: AudioSource,
    separator: Separator,
    folder: Path,
    writer: StemWriter,
    *,
    name: str,
    gain: float,
    start_time: float,
) -> Result:
    mixture = target_mixture(audio, separator)
    seconds = time.perf_counter() - start_time
    return Result(
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
        card=folder / RESULT_FILE,
        warnings=_warnings(audio, mixture, separator, Path(name).name),
    )


def _warnings(audio: AudioSource, mixture: Signal, separator: Separator, name: str) -> list[str]:
    """Return the notes on the file and the separation; issue those on the file as warnings."""
    about_file = list(audio.warnings)
    if audio.speakers is None and mixture.channels < audio.channels and audio.channels in WAVE_ORDER:
        names = ", ".join(WAVE_ORDER[audio.channels])
        about_file.append(f"the file does not name the speakers of its {audio.channels} channels: assuming {names}")
    for warning in about_file:
        warnings.warn(f"{name}: {warning}", stacklevel=2)
    return about_file + separator.notes


def _write_with_earlier(
    draft: Path, folder: Path, document: dict[str, Any], result: Result, *, keep_others: bool
) -> None:
    """Write ``result.json``, with the earlier results whose stems stay in the folder."""
    earlier = earlier_results(folder, document["stems"]) if keep_others else []
    stale = [name for other in earlier if not is_same_separation(other, document) for name in other["stems"].values()]
    if stale:
        result.warnings.append(
            f"{', '.join(stale)} in the same folder come from an earlier separation of other audio or with other "
            f"settings: see earlier_results in {RESULT_FILE}"
        )
        warnings.warn(result.warnings[-1], stacklevel=2)
    more = {"earlier_results": earlier} if earlier else {}
    write_manifest(draft, {**document, "warnings": list(result.warnings), **more})


def choose_stems(sources: tuple[str, ...], stems: Sequence[str] | None) -> tuple[str, ...]:
    """Return the requested sources in the method's order; raise ValueError for an unknown one."""
    if stems is None:
        return sources
    for stem in stems:
        if stem not in sources:
            raise ValueError(f"unknown stem {stem!r}; this method gives {', '.join(sources)}")
    if not stems:
        raise ValueError(f"no stems chosen; this method gives {', '.join(sources)}")
    return tuple(source for source in sources if source in stems)


def _blocks(
    audio: AudioSource, separator: Separator, chosen: tuple[str, ...], start_time: float, *, share: bool
) -> _Blocks:
    """Yield progress, with the mixture and chosen stems of the block just finished, or None."""
    rows = [separator.sources.index(source) for source in chosen]
    segments = _segments(audio, separator)
    mixture, position = target_mixture(audio, separator), 0
    shared = MixtureConsistency(len(separator.sources), audio.sample_rate)
    yield SeparationProgress(stage="separating", segment=0, segments=segments), None
    for number, block in enumerate(run_configured(separator, audio), start=1):
        part = mixture.read(position, position + block.shape[-1])
        position += block.shape[-1]
        left = (time.perf_counter() - start_time) / number * max(0, segments - number)
        progress = SeparationProgress(stage="separating", segment=number, segments=segments, seconds_left=left)
        yield progress, (part, shared(part, block) if share else block[rows])
    yield SeparationProgress(stage="writing", segment=segments, segments=segments, seconds_left=0.0), None


def _segments(audio: AudioSource, separator: Separator) -> int:
    return separator.segments(-(-audio.frames * separator.sample_rate // audio.sample_rate))
