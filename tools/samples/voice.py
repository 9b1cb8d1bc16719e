"""The singing voice: a Liljencrants-Fant glottal pulse through a cascade of moving formant resonators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.signal import lfilter

from tools.samples.mixing import at_level, compress, mix_into, reverb, silence
from tools.samples.signals import (
    HOP,
    LEAD_IN,
    SAMPLE_RATE,
    Rng,
    Signal,
    bandpass,
    fade,
    gain,
    highpass,
    lowpass,
    midi,
    moving_biquad,
    num_samples,
    smooth,
    times,
    wander,
)
from tools.samples.singers import Singer, Syllable


@dataclass
class Gesture:
    """The movements of a singer, one row per control period of ``HOP`` samples."""

    pitch: Signal  # MIDI numbers
    voicing: Signal  # 0 .. 1
    formants: Signal  # (periods, 4), Hz
    nasal: Signal  # 0 .. 1


def glottal_spectrum(rd: float, harmonics: int) -> npt.NDArray[np.complex128]:
    """Return the Fourier coefficients of one period of the Liljencrants-Fant glottal flow derivative.

    `rd` is Fant's shape parameter, about 0.5 for a pressed voice and 2.5 for a breathy one.
    """
    ra, rk = (-1 + 4.8 * rd) / 100, (22.4 + 11.8 * rd) / 100
    rg = rk / (4 * (0.11 * rd / (0.5 + 1.2 * rk) - ra))
    peak, closing = 1 / (2 * rg), (1 + rk) / (2 * rg)  # fractions of the period: flow maximum, sharpest closure
    size = 8192
    t = np.arange(size) / size
    closed = 1 - closing
    epsilon = float(brentq(lambda e: e * ra - 1 + np.exp(-e * closed), 1e-3 + 0.5 / ra, 2 / ra))
    tail = -(np.exp(-epsilon * (t - closing)) - np.exp(-epsilon * closed)) / (epsilon * ra)

    def period(alpha: float) -> Signal:
        opening = -np.exp(alpha * (t - closing)) * np.sin(np.pi * t / peak) / np.sin(np.pi * closing / peak)
        return np.asarray(np.where(t < closing, opening, tail))

    # The net flow of a period is zero, which determines the growth rate of the opening branch.
    alpha = float(brentq(lambda a: float(period(a).sum()), -20.0, 60.0))
    return np.asarray(2 * np.fft.rfft(period(alpha))[1 : harmonics + 1] / size)


def glottal_source(pitch_hz: Signal, effort: Signal) -> tuple[Signal, Signal]:
    """Return a band-limited pulse train and its phase. `effort` morphs from a soft to a pressed pulse."""
    ceiling = 16000.0
    harmonics = int(ceiling / pitch_hz.min())
    soft, pressed = glottal_spectrum(2.0, harmonics), glottal_spectrum(0.5, harmonics)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE
    out = np.zeros(len(pitch_hz))
    for start in range(0, len(out), 8192):  # short blocks stay in the CPU's cache
        block = slice(start, start + 8192)
        turn = np.exp(1j * phase[block])
        power = np.ones_like(turn)
        for k in range(1, min(harmonics, int(ceiling / pitch_hz[block].min())) + 1):
            power *= turn
            weight = np.clip((ceiling - k * pitch_hz[block]) / 1500, 0, 1)  # fade out below the ceiling
            shape = soft[k - 1] + effort[block] * (pressed[k - 1] - soft[k - 1])
            out[block] += weight * (shape * power).real
    return out, phase


def articulate(
    singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng
) -> tuple[Gesture, Signal]:
    """Convert notes and syllables to stepwise targets; also return the vibrato depth from 0 to 1."""
    n = -(-num_samples(seconds) // HOP)
    t = np.arange(n) * HOP / SAMPLE_RATE
    pitch = np.full(n, float(midi(score[0].note)))
    voicing, nasal, vibrato = np.zeros(n), np.zeros(n), np.zeros(n)
    formants = np.tile(np.array(singer.vowels["e"], dtype=float), (n, 1))
    previous_end = -1.0
    for i, syllable in enumerate(score):
        start = LEAD_IN + syllable.beat * beat + rng.normal(0, 0.006)
        end = start + syllable.beats * beat
        following = score[i + 1] if i + 1 < len(score) else None
        legato = following is not None and following.beat - syllable.beat - syllable.beats < 0.05
        consonant, vowel = syllable.consonant, singer.vowels[syllable.vowel]
        onset = start - (consonant.seconds if consonant else 0.0)

        first = previous_end < onset - 0.1
        if first:  # glide up into the first note of a phrase
            pitch[t > previous_end + 0.05] = midi(syllable.note) - 1.2
        pitch[t > start + (0.03 if first else -0.025)] = midi(syllable.note)

        active = (t >= start) & (t < end)
        age = np.clip((t[active] - start) / (end - start), 0, 1)
        # A note swells a little, then relaxes, more so at the end of a phrase.
        voicing[active] = syllable.level * (0.86 + 0.14 * np.sin(np.pi * age**0.7) - (0.0 if legato else 0.25) * age**3)
        formants[(t >= start) & (t < end + 0.6)] = vowel
        # Pop singers start a note without vibrato.
        vibrato[active] = np.clip((t[active] - start - 0.22) / 0.35, 0, 1)

        if consonant:
            during = (t >= onset) & (t < start)
            voicing[during] = consonant.voicing * syllable.level
            nasal[during] = float(consonant.nasal)
            formants[during, :3] = np.array(consonant.locus) * singer.tract
            if first:  # the mouth moves into position before the sound starts
                formants[(t >= onset - 0.1) & (t < onset)] = formants[during][0]
        previous_end = end
    return Gesture(pitch, voicing, formants, nasal), vibrato


def gestures(singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng) -> Gesture:
    """Convert notes and syllables to smooth movements with vibrato, drift, jitter and shimmer."""
    targets, vibrato = articulate(singer, score, beat, seconds, rng)
    n = len(vibrato)
    rate = singer.vibrato_hz * (1 + 0.03 * wander(rng, n, 0.6))
    depth = smooth(vibrato, 0.15) * singer.vibrato_cents * (1 + 0.15 * wander(rng, n, 0.5))
    swing = np.sin(2 * np.pi * np.cumsum(rate) * HOP / SAMPLE_RATE)
    unsteady = 5.0 * wander(rng, n, 0.4) + 3.5 * wander(rng, n, 0.02)  # slow drift, and jitter
    pitch = smooth(targets.pitch, 0.11) + (depth * swing + unsteady) / 100
    shimmer = 1 + 0.03 * wander(rng, n, 0.015) + 0.04 * wander(rng, n, 0.3)
    voicing = smooth(targets.voicing, 0.035) * shimmer
    formants = smooth(targets.formants, 0.075) * (1 + 0.01 * wander(rng, n, 0.25)[:, None])
    nasal = smooth(targets.nasal, 0.03)
    # Singers open the jaw to keep the first formant above the pitch.
    f0 = 440 * 2 ** ((pitch - 69) / 12)
    formants[:, 0] = np.maximum(formants[:, 0], 1.08 * f0 * (1 - nasal))
    return Gesture(pitch, np.clip(voicing, 0, None), formants, nasal)


def vocal_tract(source: Signal, singer: Singer, gesture: Gesture) -> Signal:
    """Apply a cascade of two-pole resonators with unit gain at DC, as in a lossless tube.

    The fixed upper resonators come first. They raise the highs by some 80 dB, which the moving ones remove again
    together with the faint noise of their movement.
    """
    clock, now = np.arange(len(gesture.pitch)) * HOP, np.arange(len(source))
    nasal = np.interp(now, clock, gesture.nasal)
    moving = [np.interp(now, clock, track) for track in gesture.formants.T]
    out = source
    for i, pitch_hz in reversed(list(enumerate([*moving, *np.atleast_2d(singer.upper).T]))):
        width = 60 + 0.03 * pitch_hz + 2e-6 * pitch_hz**2  # losses grow with frequency
        if 0 < i < len(moving):
            width *= 1 + 2.5 * nasal  # the nasal cavity damps the upper formants
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        a1, a2 = -2 * radius * np.cos(2 * np.pi * pitch_hz / SAMPLE_RATE), radius**2
        if i < len(moving):
            zero = np.zeros_like(a1)
            out = moving_biquad(out, (1 + a1 + a2, zero, zero), (a1, a2))
        else:
            out = np.asarray(lfilter(1 + a1 + a2, [1.0, a1[0], a2[0]], out))
    return out


def consonant_noise(singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng) -> Signal:
    """Return hisses and bursts, which arise at the lips and teeth and bypass the vocal tract."""
    bus = np.zeros((num_samples(seconds), 2))
    for syllable in score:
        consonant = syllable.consonant
        if consonant is None or consonant.noise is None:
            continue
        length = consonant.noise_seconds + 0.012
        low, high = (f * singer.tract for f in consonant.noise)
        hiss = bandpass(rng.standard_normal(num_samples(length + 0.05)), low, high)[-num_samples(length) :]
        if consonant.noise_seconds < 0.06:  # a plosive: abrupt release, then weaker breath
            shape = 0.25 + np.exp(-times(length) / 0.008)
            hiss = fade(hiss * shape, attack=0.001, release=0.02)
        else:
            hiss = fade(hiss, attack=0.045, release=0.03)
        at = LEAD_IN + syllable.beat * beat - consonant.noise_seconds
        mix_into(bus, hiss, at, level=consonant.noise_level * syllable.level)
    return bus[:, 0]


def breaths(singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng) -> Signal:
    """Return a quick breath before each phrase, filtered by the open mouth."""
    bus = np.zeros((num_samples(seconds), 2))
    ends = [0.0] + [s.beat + s.beats for s in score]
    for syllable, end in zip(score, ends, strict=False):
        pause = (syllable.beat - end) * beat
        if pause < 0.3:
            continue
        length = min(0.32, pause - 0.12)
        t = times(length) / length
        air = rng.standard_normal(len(t)) * np.sin(np.pi * t**0.8) ** 2
        mouth = sum(
            level * bandpass(air, f * singer.tract * 0.8, f * singer.tract * 1.25)
            for f, level in ((650.0, 0.3), (1500.0, 1.0), (2600.0, 0.8), (4200.0, 0.6), (6500.0, 0.45))
        )
        consonant = syllable.consonant
        at = LEAD_IN + syllable.beat * beat - (consonant.seconds if consonant else 0.0) - length - 0.03
        mix_into(bus, np.asarray(mouth), at, level=0.02)
    return bus[:, 0]


def sing(singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng) -> Signal:
    """Return one mono take of the whole melody."""
    gesture = gestures(singer, score, beat, seconds, rng)
    n = num_samples(seconds)
    clock = np.arange(len(gesture.pitch)) * HOP
    pitch_hz = np.interp(np.arange(n), clock, 440 * 2 ** ((gesture.pitch - 69) / 12))
    voicing = np.interp(np.arange(n), clock, gesture.voicing)
    effort = np.clip(singer.effort * (0.35 + 0.75 * voicing), 0, 1)  # louder is also brighter
    pulses, phase = glottal_source(pitch_hz, effort)
    # Air passes through the glottis mostly while it is open.
    open_phase = 0.35 + 0.65 * (0.5 - 0.5 * np.cos(phase)) ** 2
    air = highpass(rng.standard_normal(n), 4000, order=1) * singer.breath * open_phase * np.sqrt(np.clip(voicing, 0, 1))
    voiced = vocal_tract(pulses * voicing + air, singer, gesture)
    # A presence boost, as on pop records, but not on the hisses, which would turn sharp.
    voiced = lowpass(voiced + 0.3 * highpass(voiced, 3000, order=1), 14000)
    voiced = at_level(voiced, -20)
    return voiced + consonant_noise(singer, score, beat, seconds, rng) + breaths(singer, score, beat, seconds, rng)


def vocal_stem(
    singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng, *, room: float, room_db: float
) -> Signal:
    """Return the lead in the centre with a quiet double on each side, compressed and reverberated."""
    bus = silence(seconds)
    for level, pan, late in ((0.0, 0.0, 0.0), (-16.0, -0.75, 0.013), (-16.0, 0.75, 0.019)):
        take = highpass(sing(singer, score, beat, seconds, rng), 100)
        mix_into(bus, compress(take, ratio=4.0), late, level=gain(level), pan=pan)
    return reverb(bus, rng, seconds=room, wet_db=room_db, predelay=0.03)
