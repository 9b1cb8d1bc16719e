"""Synthetic basses, guitar, organ, strings and pads."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.signal import iirpeak, lfilter

from tools.samples.mixing import mix_into, silence
from tools.samples.signals import (
    SAMPLE_RATE,
    Rng,
    Signal,
    fade,
    gain,
    highpass,
    lowpass,
    num_samples,
    saw,
    sweep_lowpass,
    times,
)


def synth_bass(pitch_hz: float, seconds: float, *, release: float = 0.025) -> Signal:
    """Return a sawtooth and a sub-sine through a low-pass filter that closes after the attack."""
    t = times(seconds)
    osc = 0.7 * saw(pitch_hz, seconds) + 0.5 * saw(pitch_hz * 1.004, seconds, phase=0.37)
    cutoff = 170 + 2.2 * pitch_hz + 2300 * np.exp(-t / 0.075)
    sub = np.sin(2 * np.pi * pitch_hz * t)
    envelope = 0.65 + 0.35 * np.exp(-t / 0.12)
    return fade((sweep_lowpass(osc, cutoff, q=1.6) + 0.8 * sub) * envelope, attack=0.003, release=release)


def electric_bass(pitch_hz: float, seconds: float, rng: Rng) -> Signal:
    """Return the decaying partials of a string plucked at a fifth of its length, with soft highs."""
    t = times(seconds)
    out = np.zeros(len(t))
    for k in range(1, 25):
        partial = k * pitch_hz * np.sqrt(1 + 1.2e-4 * k * k)  # stiffness stretches the upper partials
        if partial > 4000:
            break
        level = np.sin(np.pi * k * 0.2) / k**1.15 / (1 + (partial / 900) ** 2)
        out += level * np.sin(2 * np.pi * partial * t + 0.8 * k * k) * np.exp(-t * (0.55 + 0.42 * k))
    finger = lowpass(rng.standard_normal(len(t)), 1400) * np.exp(-t / 0.006)
    return fade(out + 0.12 * finger, attack=0.004, release=0.07)


def plucked_string(pitch_hz: float, seconds: float, rng: Rng, *, t60: float = 4.0, bright: float = 0.6) -> Signal:
    """Return a Karplus-Strong string, tuned with a third-order Lagrange fractional delay."""
    damping = 0.5 * (1 - 0.4 * bright)
    delay = SAMPLE_RATE / pitch_hz - damping  # the two-point damping filter adds this delay
    integer = int(delay) - 1
    d = delay - integer  # in [1, 2): the middle of the interpolator, where its gain never exceeds 1
    lagrange = [
        -(d - 1) * (d - 2) * (d - 3) / 6,
        d * (d - 2) * (d - 3) / 2,
        -d * (d - 1) * (d - 3) / 2,
        d * (d - 1) * (d - 2) / 6,
    ]
    loop = np.convolve(lagrange, [1 - damping, damping]) * gain(-60 / (t60 * pitch_hz))
    feedback = np.zeros(integer + len(loop))
    feedback[0] = 1.0
    feedback[integer:] -= loop

    period = round(SAMPLE_RATE / pitch_hz)
    burst = lowpass(rng.uniform(-1, 1, period), 800 + 3000 * bright)  # a soft fingertip
    excitation = np.zeros(num_samples(seconds))
    excitation[:period] = burst - burst.mean()
    pick = max(1, round(0.17 * period))  # plucking off centre cancels every sixth partial
    excitation[pick:] -= 0.9 * excitation[:-pick]
    return fade(np.asarray(lfilter([1.0], feedback, excitation)), attack=0.0008, release=0.12)


def guitar_body(audio: Signal) -> Signal:
    """Add the air and top-plate resonances of an acoustic guitar."""
    out = audio.copy()
    for pitch, q, level in ((108.0, 9.0, 0.7), (205.0, 10.0, 0.8), (390.0, 8.0, 0.45), (1150.0, 4.0, 0.3)):
        out += level * lfilter(*iirpeak(pitch, q, fs=SAMPLE_RATE), audio, axis=0)
    return highpass(out, 80)


def ensemble(
    pitches_hz: Iterable[float], seconds: float, rng: Rng, *, voices: int, cents: float, cutoff: float, attack: float
) -> Signal:
    """Return detuned sawtooths spread over the stereo field, for pads and string sections."""
    out = silence(seconds)
    for pitch in pitches_hz:
        for i in range(voices):
            detuned = pitch * 2 ** (rng.normal(0, cents) / 1200)
            drift = 1 + 0.0012 * np.sin(2 * np.pi * (rng.uniform(3.5, 5.5) * times(seconds) + rng.uniform()))
            audio = saw(detuned * drift, seconds, phase=rng.uniform())
            mix_into(out, audio, 0.0, pan=0.9 * (2 * i / max(voices - 1, 1) - 1))
    return fade(lowpass(out, cutoff), attack=attack, release=0.35)


def organ(pitches_hz: Iterable[float], seconds: float, rng: Rng) -> Signal:
    """Return a soft drawbar organ through a slow rotary loudspeaker."""
    t = times(seconds)
    out = silence(seconds)
    turn = 2 * np.pi * 0.9 * t + rng.uniform(0, 2 * np.pi)
    for pitch in pitches_hz:
        for side, sign in ((0, 1.0), (1, -1.0)):
            phase = 2 * np.pi * pitch * t + sign * 0.35 * np.sin(turn)
            drawbars = sum(a * np.sin(k * phase) for k, a in ((1, 1.0), (2, 0.5), (3, 0.28), (4, 0.16), (6, 0.05)))
            out[:, side] += drawbars * (1 + 0.15 * sign * np.cos(turn))
    return fade(out, attack=0.09, release=0.25)


def synth_pluck(pitch_hz: float, seconds: float, *, bright: float = 1.0) -> Signal:
    """Return two sawtooths an octave apart through a low-pass filter that closes quickly."""
    t = times(seconds)
    osc = saw(pitch_hz, seconds) + 0.7 * saw(pitch_hz * 2.003, seconds, phase=0.5)
    cutoff = 500 + 5200 * bright * np.exp(-t / 0.06)
    return fade(sweep_lowpass(osc, cutoff, q=1.4) * np.exp(-t / 0.16), attack=0.002, release=0.03)
