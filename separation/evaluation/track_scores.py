"""All scores of one track, from two folders of stems or from signals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from separation.evaluation.bss_eval import Scores, Signals, bss_eval
from separation.evaluation.mask_scores import MaskCurve, mask_scores
from separation.sources import PARTS_OF_OTHER, is_rest

__all__ = [
    "METRICS",
    "FileSignals",
    "WholeTrackScores",
    "finite",
    "match_sources",
    "median",
    "open_folders",
    "score_folders",
    "score_signals",
    "whole_track_scores",
]

METRICS = ("SDR", "ISR", "SIR", "SAR")
BLOCK = 1 << 18  # frames read at a time for whole-track sums
_LOSSY = {"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"}
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")


class FileSignals:
    """One audio file per source, or the sum of several, read in blocks and cut or zero-padded to `time` samples.

    Lossy files are rounded to 16 bits, as musdb reads its own. Above a codec's cut-off there is no energy at all,
    where the projection filters, and with them ISR, SIR and SAR, would be undefined.
    """

    def __init__(self, paths: Sequence[Path | Sequence[Path]], *, time: int) -> None:
        sources = [[source] if isinstance(source, Path) else source for source in paths]
        self._files = [[soundfile.SoundFile(path) for path in source] for source in sources]
        channels = {file.channels for source in self._files for file in source}
        if len(channels) != 1:
            raise ValueError(f"the files in {sources[0][0].parent.name!r} differ in channels: {sorted(channels)}")
        self.shape = (len(paths), channels.pop(), time)

    def read(self, start: int, stop: int) -> Tensor:
        _, channels, _ = self.shape
        found = np.zeros((len(self._files), channels, stop - start))
        for row, files in zip(found, self._files, strict=True):
            for file in files:
                if start < file.frames:
                    file.seek(start)
                    block = file.read(min(stop, file.frames) - start, dtype="float64", always_2d=True)
                    row[:, : len(block)] += (np.round(block * 32768) / 32768 if file.subtype in _LOSSY else block).T
        return torch.from_numpy(found)


def match_sources(
    references: Mapping[str, Path], estimates: Mapping[str, Path]
) -> dict[str, tuple[list[Path], list[Path]]]:
    """Return target -> the files whose sum is the reference, and those whose sum is the estimate.

    Files of the same name belong together. An estimate "accompaniment", "instrumental" or "no_<source>" without such a
    reference is compared with the sum of the references that have no estimate of their own, as in museval. Estimates
    that MUSDB18 counts as "other" (:data:`separation.sources.PARTS_OF_OTHER`) are added to "other" where the
    references do not name them.
    """
    pairs = {name: ([path], [estimates[name]]) for name, path in references.items() if name in estimates}
    if "other" in pairs:
        pairs["other"][1].extend(
            estimates[name] for name in PARTS_OF_OTHER if name in estimates and name not in references
        )
    rest = [path for name, path in references.items() if name not in estimates]
    for name in estimates:
        if is_rest(name) and name not in references and rest:
            pairs[name] = rest, [estimates[name]]
    return pairs


def open_folders(references: Path, estimates: Path) -> tuple[list[str], FileSignals, FileSignals, int]:
    """Return the targets of two folders, the signals of each, and their sample rate in Hz; see :func:`match_sources`.

    Estimates of another length are cut or zero-padded to that of the references.

    Raises
    ------
    ValueError
        If no target is in both, or sample rates, channels or the references' lengths differ.
    """
    pairs = match_sources(*(_sound_files(folder) for folder in (references, estimates)))
    if not pairs:
        raise ValueError(
            f"{references.name!r} and {estimates.name!r} have no target in common: expected files such as vocals.wav"
        )
    paths = [[pair[side] for pair in pairs.values()] for side in (0, 1)]
    headers = [[soundfile.info(path) for source in side for path in source] for side in paths]
    rates = {header.samplerate for side in headers for header in side}
    if len(rates) != 1:
        raise ValueError(f"the files have different sample rates: {sorted(rates)} Hz")
    lengths = {header.frames for header in headers[0]}
    if len(lengths) != 1:
        raise ValueError(f"the references differ in length: {sorted(lengths)} samples")
    time = lengths.pop()
    if time == 0:
        raise ValueError("the references hold no sound")
    return list(pairs), FileSignals(paths[0], time=time), FileSignals(paths[1], time=time), rates.pop()


def _sound_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"no folder {folder.name!r}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.stem != "mixture")
    return {path.stem: path for path in files}


@dataclass(frozen=True)
class WholeTrackScores:
    """Scores of whole tracks, in dB, one per source.

    Attributes
    ----------
    usdr : array
        10 log10((|s|^2 + 1e-7) / (|s - estimate|^2 + 1e-7)) over all channels: the score of the
        Music Demixing Challenges (Mitsufuji et al., Frontiers in Signal Processing 1, 2022).
    si_sdr : array
        10 log10(|a s|^2 / |a s - estimate|^2) with a = <estimate, s> / |s|^2, all channels as one
        vector, means not removed (Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019);
        NaN where the reference is silent.
    """

    usdr: np.ndarray
    si_sdr: np.ndarray


def whole_track_scores(references: Signals, estimates: Signals) -> WholeTrackScores:
    """Compute scores of whole tracks from sums over blocks; see :class:`WholeTrackScores`."""
    sources, _, time = references.shape
    energy, error, inner, estimated = (np.zeros(sources) for _ in range(4))
    for start in range(0, time, BLOCK):
        stop = min(start + BLOCK, time)
        s, e = references.read(start, stop), estimates.read(start, stop)
        for total, value in ((energy, s * s), (error, (s - e) ** 2), (inner, s * e), (estimated, e * e)):
            total += value.sum((1, 2)).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        target = inner**2 / energy  # |a s|^2
        scale_invariant = 10 * np.log10(target / np.maximum(estimated - target, 0))
    return WholeTrackScores(10 * np.log10((energy + 1e-7) / (error + 1e-7)), scale_invariant)


def score_folders(references: Path, estimates: Path) -> dict[str, Any]:
    """Score two folders of stems with :func:`score_signals`; ``score --json`` prints the result.

    Raises
    ------
    ValueError
        If the folders do not match; see :func:`open_folders`.
    """
    targets, reference, estimate, rate = open_folders(references, estimates)
    if reference.shape != estimate.shape:
        raise ValueError(f"references have {reference.shape[1]} channels, estimates {estimate.shape[1]}")
    return score_signals(targets, reference, estimate, rate)


def score_signals(
    targets: Sequence[str],
    references: Signals,
    estimates: Signals,
    rate: int,
    *,
    permute: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """Return all scores of one track as a document for JSON.

    Each target has the medians over 1 s frames of SDR, ISR, SIR and SAR (BSSEval v4), uSDR and SI-SDR of the
    whole track, and every frame; None where a score is undefined. If there is an estimate for each of several
    targets, "masks" holds the average precision of its mask, and precision and recall at thresholds from 0 to 1
    (:mod:`separation.evaluation.mask_scores`).

    Parameters
    ----------
    targets : sequence of str
        Names of the references.
    references, estimates : Signals, shape (targets, channels, time)
    rate : int
        Sample rate in Hz, which is also the frame length in samples.
    permute : bool
        The estimates, as many or fewer, are unnamed; see :func:`separation.evaluation.bss_eval.bss_eval`.
        Targets without an estimate are omitted.
    """
    scores = bss_eval(references, estimates, window=rate, hop=rate, permute=permute, device=device)
    taken = [(row, its) for row, its in enumerate(scores.permutation) if its is not None]
    pairs = _Rows(references, [row for row, _ in taken]), _Rows(estimates, [its for _, its in taken])
    whole = whole_track_scores(*pairs)
    scored = 1 < len(targets) == len(taken)
    masks = [{"masks": _masks(curve)} for curve in mask_scores(*pairs)] if scored else [{} for _ in taken]
    silent = _never(references)
    notes = [f"{target} is silent throughout" for target, never in zip(targets, silent, strict=True) if never]
    notes += [f"no estimate is left for {targets[row]}" for row, its in enumerate(scores.permutation) if its is None]
    if permute:
        notes += [f"estimate {its + 1} is taken for {targets[row]}" for row, its in taken]
    return {
        "aggregation": "median over 1 s frames; uSDR and SI-SDR over the whole track",
        "targets": {
            targets[row]: _target(scores, row, whole, place, rate, references.shape[2])
            | (masks[place] if masks else {})
            for place, (row, _) in enumerate(taken)
        },
        "notes": notes,
    }


@dataclass(frozen=True)
class _Rows:
    """Some of the signals, in another order."""

    signals: Signals
    rows: list[int]

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.rows), *self.signals.shape[1:])

    def read(self, start: int, stop: int) -> Tensor:
        return self.signals.read(start, stop)[self.rows]


def _never(signals: Signals) -> list[bool]:
    """Return which sources are silent throughout."""
    sources, _, time = signals.shape
    peak = torch.zeros(sources)
    for start in range(0, time, BLOCK):
        block = signals.read(start, min(start + BLOCK, time)).abs().amax((1, 2))
        peak = torch.maximum(peak, block.float())
    return (peak == 0).tolist()


def _target(scores: Scores, row: int, whole: WholeTrackScores, place: int, rate: int, time: int) -> dict[str, Any]:
    values = {name: getattr(scores, name)[row].numpy() for name in METRICS}
    frames = [
        {
            "time": float(number),
            "duration": min(1.0, time / rate),
            **{name: finite(values[name][number]) for name in METRICS},
        }
        for number in range(len(values["SDR"]))
    ]
    medians = {name: _score(median(values[name])) for name in METRICS}
    return {**medians, "uSDR": _score(whole.usdr[place]), "SI-SDR": _score(whole.si_sdr[place]), "frames": frames}


def _masks(curve: MaskCurve) -> dict[str, Any]:
    points = [(threshold / 20, *curve.at(threshold / 20)) for threshold in range(21)]
    return {
        "average_precision": finite(curve.average_precision),
        "prevalence": finite(curve.prevalence),
        "curve": [{"threshold": t, "precision": finite(p), "recall": finite(r)} for t, p, r in points],
    }


def _score(value: float) -> float | None:
    """Return None for an undefined score; a perfect estimate keeps its infinite one."""
    return math.inf if value == math.inf else finite(value)


def median(values: np.ndarray) -> float:
    """Return the median of the defined values as museval does; NaN if there are none."""
    defined = values[~np.isnan(values)]
    return float(np.median(defined)) if len(defined) else math.nan


def finite(value: float) -> float | None:
    """Return None for NaN and infinity, which JSON does not have."""
    return float(value) if math.isfinite(value) else None
