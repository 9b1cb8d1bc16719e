"""Scores of a folder of stems against a folder of the true sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from separation.datasets.stem_audio import check_formats, measure_stem
from separation.datasets.stem_files import StemFiles, find_stems, stem_map_of
from separation.datasets.stem_map import read_stem_map
from separation.evaluation.file_signals import FileSignals
from separation.evaluation.track_scores import score_signals
from separation.sources import PARTS_OF_OTHER, is_rest, missing_source
from separation.workers.threads import map_threads

__all__ = ["OpenFolders", "match_sources", "open_folders", "score_folders"]

Files = TypeVar("Files")


def match_sources(
    references: Mapping[str, Files], estimates: Mapping[str, Files]
) -> dict[str, tuple[list[Files], list[Files]]]:
    """Return for each target the files whose sum is the reference, and the files whose sum is the estimate.

    Files of the same name belong together. An estimate "no_<source>" without such a reference is compared with the sum
    of all references but that source, and "accompaniment" or "instrumental" with the sum of the references that have no
    estimate of their own, which are never the vocals, as in museval. Estimates that MUSDB18 counts as "other"
    (:data:`separation.sources.PARTS_OF_OTHER`) are added to "other" where the references do not name them.
    """
    pairs = {name: ([path], [estimates[name]]) for name, path in references.items() if name in estimates}
    if "other" in pairs:
        pairs["other"][1].extend(
            estimates[name] for name in PARTS_OF_OTHER if name in estimates and name not in references
        )
    for name in estimates:
        if is_rest(name) and name not in references and (rest := _rest(name, references, estimates)):
            pairs[name] = rest, [estimates[name]]
    return pairs


def _rest(name: str, references: Mapping[str, Files], estimates: Mapping[str, Files]) -> list[Files]:
    """Return the references whose sum an estimate of the rest of the mixture is compared with."""
    missing = missing_source(name)
    means_all_others = name == f"no_{missing}" and missing in references
    return [
        path
        for source, path in references.items()
        if source != missing and (means_all_others or source not in estimates)
    ]


@dataclass(frozen=True, kw_only=True)
class OpenFolders:
    """Two folders, opened to be scored.

    Attributes
    ----------
    targets : list of str
        Targets with a usable estimate, in the order of `estimates`, then the other targets of `references`.
    references, estimates : FileSignals
    rate : int
        Hz.
    failed : dict of str to str
        Target -> why its estimate cannot be used.
    notes : list of str
        Sentences on files that are left out, cut or padded.
    """

    targets: list[str]
    references: FileSignals
    estimates: FileSignals
    rate: int
    failed: dict[str, str]
    notes: list[str]


@contextmanager
def open_folders(references: Path, estimates: Path) -> Iterator[OpenFolders]:
    """Open every file of two folders and match them by name; see :func:`match_sources`.

    Estimates of another length are cut or zero-padded to that of the references. The reference of an estimate that
    cannot be used stays among the references, so that it counts as interference of the others.

    Raises
    ------
    ValueError
        If no target is in both, a reference cannot be used, or no estimate can.
    """
    reference_stems = find_stems(references, names=None, stem_map=stem_map_of(references)).checked()
    estimate_stems = find_stems(estimates, names=None, stem_map=read_stem_map([estimates]))
    pairs = match_sources(*({name: name for name in stems.targets} for stems in (reference_stems, estimate_stems)))
    if not pairs:
        raise ValueError(
            f"{references.name!r} and {estimates.name!r} have no target in common: expected files such as vocals.wav"
        )
    expected = _measure_references(reference_stems)
    failed, notes = _check_estimates(estimate_stems, {target: names for target, (_, names) in pairs.items()}, expected)
    good = [target for target in pairs if target not in failed]
    if not good:
        raise ValueError("; ".join(failed.values()))
    targets = [*good, *failed]
    reference_files = [_files(reference_stems, pairs[target][0]) for target in targets]
    estimate_files = [_files(estimate_stems, pairs[target][1]) for target in good]
    rate, channels, time = expected
    with (
        FileSignals(reference_files, time=time, channels=channels) as reference,
        FileSignals(estimate_files, time=time, channels=channels) as estimate,
    ):
        yield OpenFolders(
            targets=targets,
            references=reference,
            estimates=estimate,
            rate=rate,
            failed=failed,
            notes=[*_left_out(reference_stems, estimate_stems, pairs), *notes],
        )


def _files(stems: StemFiles, names: Sequence[str]) -> list[Path]:
    return [path for name in names for path in stems.targets[name]]


def _measure_references(stems: StemFiles) -> tuple[int, int, int]:
    """Decode all references once; return their sample rate in Hz, number of channels and length in samples."""
    paths = list(stems.files)
    formats = dict(zip(paths, map_threads(lambda path: measure_stem(stems, path), paths), strict=True))
    check_formats(stems, formats)
    each = list(formats.values())
    return each[0].sample_rate, max(one.channels for one in each), max(one.frames or 0 for one in each)


def _check_estimates(
    stems: StemFiles, pairs: Mapping[str, Sequence[str]], expected: tuple[int, int, int]
) -> tuple[dict[str, str], list[str]]:
    """Decode all estimates once; return why some targets cannot be scored, and notes on the others."""
    failed: dict[str, str] = {}
    notes = []
    measured = map_threads(lambda names: _fitting_lengths(stems, names, expected), list(pairs.values()))
    for target, lengths in zip(pairs, measured, strict=True):
        if isinstance(lengths, ValueError):
            failed[target] = str(lengths)
            continue
        for path, frames in lengths.items():
            if frames != expected[2] and not (stems.mapped and frames < expected[2]):
                change = "cut" if frames > expected[2] else "padded with silence"
                notes.append(
                    f"{stems.label(path)!r} has {frames} samples where the references have {expected[2]}: "
                    f"it is {change}"
                )
    return failed, notes


def _fitting_lengths(
    stems: StemFiles, names: Sequence[str], expected: tuple[int, int, int]
) -> dict[Path, int] | ValueError:
    """Return the lengths of a target's files in samples, or the error that says why one cannot be used."""
    problems = [stems.problems[name] for name in names if name in stems.problems]
    if problems:
        return ValueError(problems[0])
    try:
        return {path: _fitting_length(stems, path, expected) for path in _files(stems, names)}
    except ValueError as error:
        return error


def _fitting_length(stems: StemFiles, path: Path, expected: tuple[int, int, int]) -> int:
    """Return the length of an estimate in samples; raise ValueError if it cannot be used."""
    measured = measure_stem(stems, path)
    rate, channels, _ = expected
    label = repr(stems.label(path))
    if measured.sample_rate != rate:
        raise ValueError(f"{label} has {measured.sample_rate} Hz where the references have {rate}")
    if measured.channels != channels and not (stems.mapped and measured.channels == 1):
        count = "1 channel" if measured.channels == 1 else f"{measured.channels} channels"
        raise ValueError(f"{label} has {count} where the references have {channels}")
    return measured.frames or 0


def _left_out(
    true: StemFiles, estimated: StemFiles, pairs: Mapping[str, tuple[Sequence[str], Sequence[str]]]
) -> list[str]:
    """Return notes on the references without an estimate and the estimates without a reference."""
    notes = []
    for stems, side, other in ((true, 0, "estimate"), (estimated, 1, "reference")):
        used = {name for pair in pairs.values() for name in pair[side]}
        kind = "reference" if side == 0 else "estimate"
        notes += [f"the {kind} {name} has no {other} and is left out" for name in stems.targets if name not in used]
    return notes


@contextmanager
def _open_mixture(references: Path, opened: OpenFolders) -> Iterator[tuple[FileSignals | None, list[str]]]:
    """Open the mixture among the references; yield None if there is none, or none that fits, and a note that says why.

    A mixture of another length is not used, since it is that of another excerpt.
    """
    stems = find_stems(references, names=("mixture",))
    if not stems.targets:
        yield None, []
        return
    _, channels, time = opened.references.shape
    lengths = _fitting_lengths(stems, ["mixture"], (opened.rate, channels, time))
    if isinstance(lengths, ValueError):
        yield None, [f"the mixture is not used: {lengths}"]
    elif set(lengths.values()) != {time}:
        (path, frames), *_ = lengths.items()
        found = f"{stems.label(path)!r} has {frames} samples where the references have {time}"
        yield None, [f"the mixture is not used: {found}"]
    else:
        with FileSignals(list(lengths), time=time, channels=channels) as mixture:
            yield mixture, []


def score_folders(
    references: Path, estimates: Path, *, metrics: Sequence[str] = (), verify: bool = False
) -> dict[str, Any]:
    """Score two folders of stems with :func:`separation.evaluation.track_scores.score_signals`.

    ``score --json`` prints the result. "failed" holds the targets whose estimate cannot be used, and why. log_wmse is
    relative to the file "mixture" in the references' folder, if there is one that fits.

    Raises
    ------
    ValueError
        If nothing can be scored; see :func:`open_folders`.
    """
    with ExitStack() as stack:
        opened = stack.enter_context(open_folders(references, estimates))
        mixture, notes = None, list(opened.notes)
        if "log_wmse" in metrics:
            mixture, unfit = stack.enter_context(_open_mixture(references, opened))
            notes += unfit
        document = score_signals(
            opened.targets,
            opened.references,
            opened.estimates,
            opened.rate,
            metrics=metrics,
            mixture=mixture,
            verify=verify,
        )
    failed = [{"target": target, "error": error} for target, error in opened.failed.items()]
    return document | {"notes": [*notes, *document["notes"]], "failed": failed}
