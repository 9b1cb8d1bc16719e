"""Synthetic drums: shaped sines and noise."""

from __future__ import annotations

import numpy as np

from tools.samples.signals import SAMPLE_RATE, SEED, Rng, Signal, bandpass, decay, fade, highpass, saturate, times


def kick(rng: Rng, *, tight: float = 1.0) -> Signal:
    """Return a sine that drops from 150 to 50 Hz, with the click of the beater."""
    t = times(0.42 / tight)
    phase = 2 * np.pi * np.cumsum(50 + 100 * np.exp(-t / 0.028)) / SAMPLE_RATE
    body = np.sin(phase) * np.exp(-t / (0.11 / tight))
    click = bandpass(rng.standard_normal(len(t)), 1800, 6000) * np.exp(-t / 0.004)
    return fade(saturate(1.2 * body, 1.3) + 0.35 * click, attack=0.0008, release=0.05)


def tom(rng: Rng, pitch_hz: float) -> Signal:
    """Return a falling sine with the noise of the stick."""
    t = times(0.45)
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.6 * np.exp(-t / 0.03))) / SAMPLE_RATE
    skin = bandpass(rng.standard_normal(len(t)), 500, 3500) * np.exp(-t / 0.012)
    return fade(np.sin(phase) * np.exp(-t / 0.12) + 0.3 * skin, attack=0.001, release=0.05)


def snare(rng: Rng, *, wires: float = 1.0) -> Signal:
    """Return two modes of the batter head with the noise of the wires."""
    t = times(0.34)
    drop = 1 + 0.25 * np.exp(-t / 0.012)
    head = sum(
        level * np.sin(2 * np.pi * np.cumsum(pitch * drop) / SAMPLE_RATE) * np.exp(-t / length)
        for pitch, level, length in ((186.0, 0.8, 0.055), (331.0, 0.45, 0.035))
    )
    noise = rng.standard_normal(len(t))
    rattle = bandpass(noise, 1300, 9500) * np.exp(-t / 0.07) + 1.2 * highpass(noise, 3000) * np.exp(-t / 0.012)
    return fade(saturate(head + 0.45 * wires * rattle, 1.2), attack=0.0006, release=0.05)


def clap(rng: Rng) -> Signal:
    """Return several claps a few milliseconds apart with a short room."""
    t = times(0.3)
    envelope = 0.55 * np.exp(-np.maximum(t - 0.03, 0) / 0.05) * (t >= 0.03)
    for onset in (0.0, 0.011, 0.021, 0.03):
        envelope += np.exp(-np.maximum(t - onset, 0) / 0.0045) * (t >= onset)
    return fade(bandpass(rng.standard_normal(len(t)), 900, 4200) * envelope, attack=0.001, release=0.05)


def cymbal(rng: Rng, *, seconds: float, t60: float, low: float = 6500.0) -> Signal:
    """Return many inharmonic partials with high-passed noise."""
    t = times(seconds)
    # All strokes share the modes of one plate, so these do not depend on the random state of the song.
    pitches = low * 2 ** np.random.default_rng(SEED).uniform(-0.6, 1.2, 48)
    metal = np.sin(2 * np.pi * pitches[:, None] * t + rng.uniform(0, 2 * np.pi, (48, 1))).sum(axis=0) / 5
    audio = highpass(0.4 * metal + 0.5 * rng.standard_normal(len(t)), low, order=3)
    bright = highpass(audio, 9000) * decay(seconds, 0.6 * t60)  # the highest partials decay first
    return fade(audio * decay(seconds, t60) + 0.5 * bright, attack=0.0008, release=0.3 * seconds)


def brush_tap(rng: Rng) -> Signal:
    """Return a tap whose noise swells for some milliseconds, as the wires of a brush land one after the other."""
    t = times(0.3)
    noise = rng.standard_normal(len(t))
    swell = (1 - np.exp(-t / 0.004)) * np.exp(-t / 0.06)
    head = np.sin(2 * np.pi * 192 * t) * np.exp(-t / 0.05) + 0.5 * np.sin(2 * np.pi * 318 * t) * np.exp(-t / 0.03)
    return fade(0.35 * head * (1 - np.exp(-t / 0.002)) + bandpass(noise, 700, 7500) * swell, release=0.05)


def brush_sweep(rng: Rng, seconds: float) -> Signal:
    """Return band-limited noise that swells and fades, as a brush drawn over the head."""
    t = times(seconds)
    stroke = np.sin(np.pi * np.clip(t / seconds, 0, 1)) ** 1.6
    return bandpass(rng.standard_normal(len(t)), 1500, 8500) * stroke


def shaker(rng: Rng) -> Signal:
    """Return a short burst of high noise."""
    t = times(0.11)
    grains = (1 - np.exp(-t / 0.012)) * np.exp(-t / 0.022)
    return fade(bandpass(rng.standard_normal(len(t)), 4500, 12000) * grains, release=0.03)
