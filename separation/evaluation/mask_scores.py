"""Precision and recall of time-frequency masks against the ideal binary mask, at every threshold.

The soft mask of an estimate is its share of the sum of all estimates' magnitudes in each bin; its binary mask holds
the bins above a threshold. The ideal mask holds the bins where the source is the loudest of all. The best threshold
differs between songs and sources, so that a single pair of precision and recall says little. The curve over all
thresholds shows the best possible choice, and its average precision needs no threshold at all.

References
----------
Wang, "On ideal binary mask as the computational goal of auditory scene analysis", 2005.
Davis, Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from separation.evaluation.bss_eval import Signals
from separation.spectral.masks import binary_mask, ratio_mask
from separation.spectral.stft import StftConfig

__all__ = ["MaskCurve", "mask_scores"]

STEPS = 1000  # thresholds between 0 and 1; average precision is exact to about 1e-3
_ROUNDING = 1e-9  # tolerance, so that a share of 1/5 reaches the threshold 0.2 despite rounding
_FRAMES = 256  # frames transformed at a time


@dataclass(frozen=True, kw_only=True)
class MaskCurve:
    """Precision and recall of one source's mask at every threshold.

    Attributes
    ----------
    thresholds : array, shape (points,)
        Rising from 0 to 1; a bin is chosen if the source's share is at least the threshold.
    precision : array, shape (points,)
        Fraction of the chosen bins that is in the ideal mask, 0..1; 1 where nothing is chosen.
    recall : array, shape (points,)
        Fraction of the ideal mask that is chosen, 0..1; NaN if the ideal mask is empty.
    average_precision : float
        Sum over the thresholds of precision times the step in recall; NaN if the ideal mask is empty.
    prevalence : float
        Fraction of all counted bins that is in the ideal mask, which is the precision of choosing everything.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    average_precision: float
    prevalence: float

    def at(self, threshold: float) -> tuple[float, float]:
        """Return precision and recall at a threshold in 0..1, to the nearest thousandth.

        Raises
        ------
        ValueError
            If the threshold is outside 0..1.
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f"a threshold is in 0..1, got {threshold}")
        index = round(threshold * STEPS)
        return float(self.precision[index]), float(self.recall[index])


def mask_scores(
    references: Signals,
    estimates: Signals,
    *,
    stft: StftConfig = StftConfig(),
    dynamic_range: float = 60.0,
) -> list[MaskCurve]:
    """Compute the curve of every source.

    Parameters
    ----------
    references, estimates : Signals, shape (sources, channels, time)
        Read in blocks, so that memory does not grow with time. Zeros are assumed before and after.
    stft : StftConfig
        Transform that defines the bins; each channel's bins count separately.
    dynamic_range : float
        Bins more than this many dB below the loudest bin of the sum of the references are not counted, since
        their assignment is inaudible.

    Raises
    ------
    ValueError
        If the shapes differ, the signals are empty, a value is not finite or `dynamic_range` is not positive.
    """
    if references.shape != estimates.shape or 0 in references.shape:
        raise ValueError(f"references and estimates must have one shape, got {references.shape} and {estimates.shape}")
    if not dynamic_range > 0:
        raise ValueError(f"dynamic_range must be above 0 dB, got {dynamic_range}")
    loudest = max(float(_together(S).max()) for S in _spectra(references, stft))
    floor = loudest * 10 ** (-dynamic_range / 20)
    sources = references.shape[0]
    hits, misses = (np.zeros((sources, STEPS + 1), dtype=np.int64) for _ in range(2))
    for S, E in zip(_spectra(references, stft), _spectra(estimates, stft), strict=True):
        counted = _together(S) > floor if loudest else torch.zeros_like(_together(S), dtype=torch.bool)
        ideal, share = binary_mask(S.abs()) > 0, ratio_mask(E.abs(), eps=1e-20)
        for row in range(sources):
            level = (share[row][counted] * STEPS + STEPS * _ROUNDING).floor().long().clamp_(0, STEPS)
            mine = ideal[row][counted]
            hits[row] += torch.bincount(level[mine], minlength=STEPS + 1).numpy()
            misses[row] += torch.bincount(level[~mine], minlength=STEPS + 1).numpy()
    return [_curve(hit, miss) for hit, miss in zip(hits, misses, strict=True)]


def _together(S: Tensor) -> Tensor:
    """Return the magnitude of the references' sum: (sources, channels, bins, frames) -> (channels, bins, frames)."""
    return S.sum(0).abs()


def _spectra(signals: Signals, config: StftConfig) -> Iterator[Tensor]:
    """Yield groups of frames (sources, channels, bins, frames), centred on multiples of the hop, zero-padded."""
    _, _, time = signals.shape
    half = config.n_fft // 2
    n_frames = time // config.hop_length + 1
    for first in range(0, n_frames, _FRAMES):
        count = min(_FRAMES, n_frames - first)
        start = first * config.hop_length - half
        stop = start + (count - 1) * config.hop_length + config.n_fft
        inside = signals.read(max(0, start), min(time, stop))
        if not bool(torch.isfinite(inside).all()):
            raise ValueError("a mask cannot be scored where a sample is NaN or infinite")
        padded = torch.nn.functional.pad(inside, (max(0, -start), max(0, stop - time)))
        window = torch.hann_window(config.n_fft, dtype=padded.dtype)
        cut = padded.unfold(-1, config.n_fft, config.hop_length)
        yield torch.fft.rfft(cut * window).transpose(-1, -2)


def _curve(hits: np.ndarray, misses: np.ndarray) -> MaskCurve:
    """Return the curve from histograms of the share in bins inside and outside the ideal mask."""
    true = hits[::-1].cumsum()[::-1]  # bins with a share of at least each threshold
    chosen = true + misses[::-1].cumsum()[::-1]
    everything, positives = int(chosen[0]), int(true[0])
    precision = np.where(chosen > 0, true / np.maximum(chosen, 1), 1.0)
    recall = true / positives if positives else np.full(len(true), math.nan)
    steps = recall - np.append(recall[1:], 0.0)
    return MaskCurve(
        thresholds=np.arange(STEPS + 1) / STEPS,
        precision=precision,
        recall=recall,
        average_precision=float((steps * precision).sum()) if positives else math.nan,
        prevalence=positives / everything if everything else math.nan,
    )
