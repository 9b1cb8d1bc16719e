"""Stereo placement, reverberation, delay, compression and levels."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from tools.samples.signals import HOP, Rng, Signal, fade, gain, highpass, lowpass, num_samples, smooth, times


def silence(seconds: float) -> Signal:
    """Return a stereo signal of zeros."""
    return np.zeros((num_samples(seconds), 2))


def mix_into(bus: Signal, audio: Signal, at: float, *, level: float = 1.0, pan: float = 0.0) -> None:
    """Add a signal to the stereo `bus` at `at` seconds; mono is panned with constant power."""
    if audio.ndim == 1:
        angle = (pan + 1) * np.pi / 4
        audio = audio[:, None] * (np.array([np.cos(angle), np.sin(angle)]) * np.sqrt(2))
    start = num_samples(at)
    if start < 0:  # a note that starts before the file
        audio, start = audio[-start:], 0
    n = min(len(audio), len(bus) - start)
    if n > 0:
        bus[start : start + n] += level * audio[:n]


def reverb(
    audio: Signal, rng: Rng, *, seconds: float, wet_db: float, predelay: float = 0.015, dark: float = 4000.0
) -> Signal:
    """Add reverberation: convolution with decaying noise, different per channel, with highs decaying faster.

    `wet_db` is the level of the reverberation relative to the dry signal.
    """
    t = times(seconds)[:, None]
    noise = rng.standard_normal((len(t), 2))
    low = lowpass(noise, dark)
    impulse = low * np.exp(-6.91 * t / seconds) + (noise - low) * np.exp(-6.91 * t / (0.45 * seconds))
    impulse = highpass(fade(impulse, attack=0.004, release=0.05), 180.0)  # low reverberation only muddies the mix
    impulse = np.pad(impulse, ((num_samples(predelay), 0), (0, 0)))
    wet = fftconvolve(audio, impulse, axes=0)[: len(audio)]
    scale = gain(wet_db) * np.sqrt(np.mean(audio**2) / (np.mean(wet**2) + 1e-20))
    return audio + scale * wet


def echo(audio: Signal, *, seconds: float, feedback: float, repeats: int = 4) -> Signal:
    """Apply a ping-pong delay: each repeat is darker and on the other side."""
    out, tap = audio.copy(), audio
    for _ in range(repeats):
        tap = lowpass(np.pad(tap, ((num_samples(seconds), 0), (0, 0)))[: len(audio), ::-1], 3500.0) * feedback
        out += tap
    return out


def compress(audio: Signal, *, ratio: float, window: float = 0.06) -> Signal:
    """Reduce the level of loud notes with a feed-forward compressor."""
    power = smooth(np.mean(np.atleast_2d(audio.T) ** 2, axis=0)[::HOP], window)
    threshold = 0.5 * np.sqrt(np.mean(power))
    envelope = np.sqrt(np.maximum(power, 0.0)) + 1e-9
    reduction = np.minimum(1.0, (threshold / envelope) ** (1 - 1 / ratio))
    curve = np.interp(np.arange(len(audio)), np.arange(len(reduction)) * HOP, reduction)
    return audio * curve.reshape((-1,) + (1,) * (audio.ndim - 1))


def rms_db(audio: Signal) -> float:
    return float(10 * np.log10(np.mean(audio**2) + 1e-20))


def at_level(audio: Signal, db: float) -> Signal:
    """Scale a signal to an RMS level in dBFS."""
    return audio * gain(db - rms_db(audio))
