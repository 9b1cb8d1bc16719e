"""Tempo and key of a recording, estimated from its spectrogram."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from separation.spectral.stft import StftConfig, stft

__all__ = ["PITCH_CLASSES", "estimate_key", "estimate_tempo"]

PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

_TEMPI = (40.0, 240.0)  # range in beats per minute
_USUAL_TEMPO = 120.0
_PITCHES = (60.0, 2000.0)  # range in Hz of the partials that count for the key
_CLEAR = 0.5  # correlation with the profile of the best key below which there is no key

#: How well each pitch class, from the tonic upwards, fits a major and a minor key (Krumhansl and Kessler, 1982).
_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def estimate_tempo(waveform: Tensor, sample_rate: int) -> float | None:
    """Return the tempo in beats per minute, 40 to 240; None for less than 4 s, silence, or sound without a pulse.

    The onset strength is the increase of the logarithmic magnitude, averaged over all frequencies. The period is the
    lag at which the onset strength resembles itself most, with a preference for tempi near 120, an octave wide.

    Parameters
    ----------
    waveform : Tensor, shape (channels, time)
    sample_rate : int
        In Hz.

    References
    ----------
    Ellis, "Beat tracking by dynamic programming", Journal of New Music Research 36(1), 2007.
    """
    hop = max(1, sample_rate // 100)
    if waveform.shape[-1] < 4 * sample_rate:
        return None
    magnitude = stft(_mono(waveform), StftConfig(n_fft=4 * hop, hop_length=hop)).abs()
    level = (1 + 1000 * magnitude / magnitude.max().clamp(min=1e-12)).log()
    onsets = level.diff(dim=-1).clamp(min=0).mean(0)
    onsets = onsets - onsets.mean()
    length = 2 * len(onsets)
    correlation = torch.fft.irfft(torch.fft.rfft(onsets, length).abs().square(), length)
    if not correlation[0] > 1e-9:
        return None
    frame_rate = sample_rate / hop
    shortest, longest = (frame_rate * 60 / tempo for tempo in reversed(_TEMPI))
    lags = torch.arange(math.ceil(shortest), min(math.floor(longest), len(onsets) // 2) + 1)
    strength = correlation[lags] / correlation[0] * len(onsets) / (len(onsets) - lags)
    octaves = torch.log2(frame_rate * 60 / lags / _USUAL_TEMPO)
    weighted = strength.clamp(min=0) * torch.exp(-0.5 * octaves.square())
    best = int(weighted.argmax())
    if strength[best] < 0.1:
        return None
    return round(60 * frame_rate / (float(lags[best]) + _peak_offset(correlation, int(lags[best]))), 1)


def estimate_key(waveform: Tensor, sample_rate: int) -> str | None:
    """Return the key, such as "Eb major" or "A minor"; None for silence and for sound without a clear one.

    The magnitudes of the partials from 60 Hz to 2 kHz are summed over each pitch class, and correlated with the
    profiles of all major and minor keys.

    Parameters
    ----------
    waveform : Tensor, shape (channels, time), at least 0.2 s
    sample_rate : int
        In Hz.

    References
    ----------
    Krumhansl, "Cognitive foundations of musical pitch", Oxford University Press, 1990.
    """
    n_fft = 2 ** round(math.log2(0.2 * sample_rate))
    if waveform.shape[-1] < n_fft:
        return None
    magnitude = stft(_mono(waveform), StftConfig(n_fft=n_fft, hop_length=n_fft // 2)).abs()
    frequencies = torch.arange(len(magnitude)) * sample_rate / n_fft
    audible = (frequencies >= _PITCHES[0]) & (frequencies <= _PITCHES[1])
    pitch = 12 * torch.log2(frequencies[audible] / 440) + 9  # in semitones from C
    # The square root lets loud notes not outweigh the others; only local peaks over frequency are partials.
    peaks = magnitude.sqrt() * (magnitude >= torch.nn.functional.max_pool1d(magnitude.mT, 5, 1, 2).mT)
    chroma = torch.zeros(12).index_add_(0, pitch.round().long() % 12, peaks[audible].sum(1))
    if not chroma.sum() > 1e-6:
        return None
    scores = {
        f"{PITCH_CLASSES[tonic]} {mode}": float(torch.corrcoef(torch.stack([chroma.roll(-tonic), profile]))[0, 1])
        for mode, profile in ((mode, torch.tensor(values)) for mode, values in _PROFILES.items())
        for tonic in range(12)
    }
    best = max(scores, key=lambda key: scores[key])
    return best if scores[best] > _CLEAR else None


def _mono(waveform: Tensor) -> Tensor:
    return waveform.float().mean(0)


def _peak_offset(values: Tensor, index: int) -> float:
    """Return how far the peak of a parabola through three values lies from the middle one, -0.5 to 0.5."""
    before, at, after = (float(value) for value in values[index - 1 : index + 2])
    bend = before - 2 * at + after
    return 0.0 if bend >= 0 else max(-0.5, min(0.5, 0.5 * (before - after) / bend))
