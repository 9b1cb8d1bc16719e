"""Scores from the magnitudes of spectra: bleedless, fullness, L1 freq and Aura STFT.

They are defined as in ZFTurbo's Music-Source-Separation-Training, which many published models are compared with.
All are 100 for a perfect estimate and fall towards 0. They are computed from sums over the frames, so that memory
does not grow with time.

References
----------
Steinmetz, Reiss, "auraloss: Audio focused loss functions in PyTorch", DMRN+15, 2020.
Arık, Jun, Diamos, "Fast spectrogram inversion using multi-head convolutional neural networks", IEEE SPL 26, 2019.
Slaney, "Auditory Toolbox", Interval Research technical report 1998-010.
"""

from __future__ import annotations

import operator

import numpy as np
import torch
from torch import Tensor

from separation.evaluation.signals import Signals
from separation.evaluation.spectra import Frames, reduce_spectra
from separation.spectral.mel import mel_edges

__all__ = ["aura_stft", "bleedless_and_fullness", "l1_freq", "mel_filters"]

_MELS = 512
_RANGE = 80.0  # dB below the loudest value of a mel spectrogram
_SILENCE = 1e-10  # magnitude


def bleedless_and_fullness(references: Signals, estimates: Signals, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how little the estimates add to their references, and how little of them is missing.

    Both signals become mel spectrograms in dB, limited to the 80 dB below their own maxima. Bleedless is
    100 / (1 + d), where d is the mean of the positive differences in dB; fullness is the same for the negative
    differences. Silence is a spectrogram of -200 dB, so that both scores are defined for silent references.

    Parameters
    ----------
    references, estimates : Signals, shape (sources, channels, time)
    rate : int
        Hz. The original assumes 44100.

    Returns
    -------
    bleedless, fullness : array, shape (sources,)
        0..100.
    """
    frames, signals = Frames(n_fft=4096, hop_length=1024), (references, estimates)
    filters = torch.from_numpy(mel_filters(rate, frames.n_fft, _MELS)).to_sparse()

    def decibels(X: Tensor) -> Tensor:
        """Return the mel spectrogram in dB, shape (sources, values)."""
        mels = torch.sparse.mm(filters, X.abs().flatten(0, -2).T.contiguous())  # (mels, sources * channels * frames)
        return 20 * mels.clamp_(min=_SILENCE).log10_().unflatten(1, (len(X), -1)).transpose(0, 1).flatten(1)

    floors = [
        reduce_spectra(lambda X: decibels(X).amax(1, keepdim=True), [one], frames, torch.maximum) - _RANGE
        for one in signals
    ]

    def differences(*spectra: Tensor) -> Tensor:
        """Return sums and counts of the positive and of the negative differences, shape (2, 2, sources)."""
        true, estimated = (torch.maximum(decibels(X), floor) for X, floor in zip(spectra, floors, strict=True))
        difference = estimated - true
        signs = difference, -difference
        return torch.stack([torch.stack([one.clamp(min=0).sum(1), (one > 0).sum(1).double()]) for one in signs])

    (added, n_added), (missing, n_missing) = reduce_spectra(differences, signals, frames, operator.add)
    bleedless, fullness = (
        100 / (1 + total / count.clamp(min=1)) for total, count in ((added, n_added), (missing, n_missing))
    )
    return bleedless.numpy(), fullness.numpy()


def l1_freq(references: Signals, estimates: Signals) -> np.ndarray:
    """Return 100 / (1 + 10 d), where d is the mean difference of the magnitudes, shape (sources,), 0..100.

    The spectra are those of 2048 samples without a window. NaN for signals of at most 1024 samples.
    """
    frames = Frames(n_fft=2048, hop_length=1024, window="rectangular", padding="reflect")
    sources, channels, time = references.shape
    if time <= frames.n_fft // 2:
        return np.full(sources, np.nan)

    def difference(S: Tensor, E: Tensor) -> Tensor:
        return (E.abs() - S.abs()).abs_().sum((1, 2, 3))

    total = reduce_spectra(difference, (references, estimates), frames, operator.add)
    values = channels * frames.count(time) * (frames.n_fft // 2 + 1)
    return (100 / (1 + 10 * total / values)).numpy()


def aura_stft(references: Signals, estimates: Signals) -> np.ndarray:
    """Return 100 / (1 + 10 d), where d is auraloss's STFT loss, shape (sources,), 0..100.

    The loss is the norm of the difference of the magnitudes, relative to the norm of the estimate's, plus the mean
    difference of their natural logarithms. Powers below 1e-8 count as 1e-8, which defines the score of silence. NaN
    for signals of at most 512 samples.
    """
    frames = Frames(n_fft=1024, hop_length=256, padding="reflect")
    sources, channels, time = references.shape
    if time <= frames.n_fft // 2:
        return np.full(sources, np.nan)

    def sums(*spectra: Tensor) -> Tensor:
        true, estimated = ((X.real.square() + X.imag.square()).clamp_(min=1e-8).sqrt_() for X in spectra)
        logarithms = (estimated / true).log_().abs_()
        return torch.stack([x.sum((1, 2, 3)) for x in ((estimated - true).square_(), estimated.square(), logarithms)])

    error, energy, logarithms = reduce_spectra(sums, (references, estimates), frames, operator.add)
    values = channels * frames.count(time) * (frames.n_fft // 2 + 1)
    return (100 / (1 + 10 * ((error / energy).sqrt() + logarithms / values))).numpy()


def mel_filters(rate: int, n_fft: int, count: int) -> np.ndarray:
    """Return triangular filters on Slaney's mel scale, each divided by its width, shape (count, n_fft // 2 + 1).

    Parameters
    ----------
    rate : int
        Hz. The filters span 0 Hz to half of it.
    n_fft : int
        FFT length in samples.
    count : int
        Number of filters.
    """
    edges = mel_edges(count, rate)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    frequencies = np.arange(n_fft // 2 + 1) * rate / n_fft
    rising, falling = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
