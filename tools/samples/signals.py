"""Signals and filters: notes, envelopes, oscillators and time-varying filters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, fftconvolve, sosfilt

SAMPLE_RATE = 44100
HOP = 32  # control period in samples: 0.7 ms, short enough for stop consonants
SEED = 1987
LEAD_IN = 0.08  # seconds of silence first, so that the opening kick is not cut by the file's edge

Signal = npt.NDArray[np.float64]  # (samples,) mono or (samples, 2) stereo
Rng = np.random.Generator


def num_samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def times(seconds: float) -> Signal:
    """Return the time of every sample in seconds."""
    return np.arange(num_samples(seconds)) / SAMPLE_RATE


def midi(name: str) -> int:
    """Return the MIDI number of a note name such as ``F#4``."""
    pitch_class, octave = name[:-1], int(name[-1])
    semitones = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    return 12 * (octave + 1) + semitones[pitch_class[0]] + pitch_class.count("#") - pitch_class.count("b")


def hertz(note: float | str) -> float:
    """Return the frequency of a MIDI number or a note name."""
    number = midi(note) if isinstance(note, str) else note
    return float(440.0 * 2 ** ((number - 69) / 12))


def gain(db: float) -> float:
    """Convert decibels to a linear gain."""
    return float(10 ** (db / 20))


def decay(seconds: float, t60: float) -> Signal:
    """Return an exponential envelope that falls by 60 dB in `t60` seconds."""
    return np.exp(-6.91 * times(seconds) / t60)


def fade(audio: Signal, *, attack: float = 0.002, release: float = 0.01) -> Signal:
    """Apply raised-cosine edges, so that nothing starts or stops with a click."""
    out = audio.copy()
    shape = (-1,) + (1,) * (audio.ndim - 1)
    for seconds, edge in ((attack, slice(None)), (release, slice(None, None, -1))):
        n = min(num_samples(seconds), len(out))
        out[edge][:n] *= (0.5 - 0.5 * np.cos(np.pi * np.arange(n) / max(n, 1))).reshape(shape)
    return out


def bandpass(audio: Signal, low: float, high: float, *, order: int = 2) -> Signal:
    return np.asarray(sosfilt(butter(order, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"), audio, axis=0))


def lowpass(audio: Signal, cutoff: float, *, order: int = 2) -> Signal:
    return np.asarray(sosfilt(butter(order, cutoff, "lowpass", fs=SAMPLE_RATE, output="sos"), audio, axis=0))


def highpass(audio: Signal, cutoff: float, *, order: int = 2) -> Signal:
    return np.asarray(sosfilt(butter(order, cutoff, "highpass", fs=SAMPLE_RATE, output="sos"), audio, axis=0))


def saturate(audio: Signal, drive: float) -> Signal:
    """Clip softly, leaving quiet passages at their level."""
    return np.tanh(audio * drive) / drive


def smooth(track: Signal, seconds: float, *, rate: float = SAMPLE_RATE / HOP) -> Signal:
    """Return a Hann-weighted moving average along the first axis, with the edge values repeated."""
    half = max(1, round(seconds * rate / 2))
    window = np.hanning(2 * half + 3)[1:-1]
    padded = np.pad(track, [(half, half)] + [(0, 0)] * (track.ndim - 1), mode="edge")
    kernel = (window / window.sum()).reshape((-1,) + (1,) * (track.ndim - 1))
    return np.asarray(fftconvolve(padded, kernel, mode="valid", axes=0))


def wander(rng: Rng, n: int, seconds: float) -> Signal:
    """Return smooth unit-variance noise at the control rate that varies on the scale of `seconds`."""
    noise = smooth(rng.standard_normal(n), seconds)
    return noise / (noise.std() + 1e-12)


def moving_biquad(audio: Signal, b: Sequence[Signal], a: Sequence[Signal]) -> Signal:
    """Apply a second-order filter whose coefficients (without a0 = 1) are given per sample.

    This is a plain loop because changing the coefficients once per block rings at the block rate.
    """
    out = []
    s1 = s2 = 0.0
    for x, b0, b1, b2, a1, a2 in zip(*(track.tolist() for track in (audio, *b, *a)), strict=True):
        y = b0 * x + s1
        s1 = b1 * x - a1 * y + s2
        s2 = b2 * x - a2 * y
        out.append(y)
    return np.array(out)


def sweep_lowpass(audio: Signal, cutoff: Signal, *, q: float = 0.9) -> Signal:
    """Apply a resonant 12 dB/octave low-pass filter with a cutoff in Hz per sample."""
    w = 2 * np.pi * np.clip(cutoff, 20.0, 0.45 * SAMPLE_RATE) / SAMPLE_RATE
    alpha, cos = np.sin(w) / (2 * q), np.cos(w)
    a0, edge = 1 + alpha, (1 - cos) / 2
    return moving_biquad(audio, (edge / a0, 2 * edge / a0, edge / a0), (-2 * cos / a0, (1 - alpha) / a0))


def saw(pitch_hz: float | Signal, seconds: float, *, phase: float = 0.0) -> Signal:
    """Return a sawtooth whose jump is rounded over two samples (polyBLEP), which removes most aliasing."""
    step = np.broadcast_to(np.asarray(pitch_hz) / SAMPLE_RATE, (num_samples(seconds),))
    ramp = (phase + np.cumsum(step)) % 1.0
    out = 2 * ramp - 1
    early, late = ramp < step, ramp > 1 - step
    x = ramp[early] / step[early]
    out[early] -= 2 * x - x * x - 1
    x = (ramp[late] - 1) / step[late]
    out[late] -= x * x + 2 * x + 1
    return out
