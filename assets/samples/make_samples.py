"""Synthesises Stemscope's two demo multitracks from nothing but this program.

    python assets/samples/make_samples.py

rewrites, next to this file,

- ``night-drive``: synth-pop at 112 bpm in A minor. A female voice over four-on-the-floor
  drums, a driving synth bass, pads and an arpeggio.
- ``paper-boats``: a slow 6/8 ballad in D major. A male voice over brushed drums, a round
  electric bass, a picked steel-string guitar (two takes) and a soft organ with strings.

Each folder gets ``vocals``, ``drums``, ``bass`` and ``other`` as Ogg Vorbis, ``mixture.flac``
and ``track.json``. The mixture is the sum of the stems *as decoded from the written files*,
rounded to 16 bit, so the stems are exact references for it.

No recording or sample library is involved: drums are shaped sines and noise, strings are
Karplus-Strong loops, and the voices are a Liljencrants-Fant glottal pulse sent through a
cascade of moving formant resonators. Every random number comes from ``SEED``; the same
library versions write the same bytes.

Music, sound and this program are dedicated to the public domain (CC0 1.0).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf
from scipy.optimize import brentq
from scipy.signal import butter, fftconvolve, iirpeak, lfilter, sosfilt

RATE = 44100
HOP = 32  # control period in samples: 0.7 ms, short enough for stop consonants
SEED = 1987
LEAD_IN = 0.08  # seconds of silence first, so that the opening kick is not cut by the file's edge
PEAK_DB = -1.0
MAX_BYTES = 2_000_000

Signal = npt.NDArray[np.float64]  # (frames,) mono or (frames, 2) stereo
Rng = np.random.Generator


# --- Basics ------------------------------------------------------------------------------------


def frames(seconds: float) -> int:
    return round(seconds * RATE)


def times(seconds: float) -> Signal:
    return np.arange(frames(seconds)) / RATE


def midi(name: str) -> int:
    """MIDI number of a note name such as ``F#4``."""
    letter, octave = name[:-1], int(name[-1])
    steps = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    return 12 * (octave + 1) + steps[letter[0]] + letter.count("#") - letter.count("b")


def hertz(note: float | str) -> float:
    number = midi(note) if isinstance(note, str) else note
    return float(440.0 * 2 ** ((number - 69) / 12))


def gain(db: float) -> float:
    return float(10 ** (db / 20))


def decay(seconds: float, t60: float) -> Signal:
    """Exponential envelope that has lost 60 dB after `t60` seconds."""
    return np.exp(-6.91 * times(seconds) / t60)


def fade(sound: Signal, *, attack: float = 0.002, release: float = 0.01) -> Signal:
    """Raised-cosine edges: no sound may start or stop with a click."""
    out = sound.copy()
    shape = (-1,) + (1,) * (sound.ndim - 1)
    for seconds, edge in ((attack, slice(None)), (release, slice(None, None, -1))):
        n = min(frames(seconds), len(out))
        out[edge][:n] *= (0.5 - 0.5 * np.cos(np.pi * np.arange(n) / max(n, 1))).reshape(shape)
    return out


def bandpass(sound: Signal, low: float, high: float, *, order: int = 2) -> Signal:
    return np.asarray(sosfilt(butter(order, (low, high), "bandpass", fs=RATE, output="sos"), sound, axis=0))


def lowpass(sound: Signal, cutoff: float, *, order: int = 2) -> Signal:
    return np.asarray(sosfilt(butter(order, cutoff, "lowpass", fs=RATE, output="sos"), sound, axis=0))


def highpass(sound: Signal, cutoff: float, *, order: int = 2) -> Signal:
    return np.asarray(sosfilt(butter(order, cutoff, "highpass", fs=RATE, output="sos"), sound, axis=0))


def saturate(sound: Signal, drive: float) -> Signal:
    """Soft clipping that leaves quiet passages at their level."""
    return np.tanh(sound * drive) / drive


def smooth(track: Signal, seconds: float, *, rate: float = RATE / HOP) -> Signal:
    """Hann-weighted moving average along the first axis; the edges are held."""
    half = max(1, round(seconds * rate / 2))
    window = np.hanning(2 * half + 3)[1:-1]
    padded = np.pad(track, [(half, half)] + [(0, 0)] * (track.ndim - 1), mode="edge")
    kernel = (window / window.sum()).reshape((-1,) + (1,) * (track.ndim - 1))
    return np.asarray(fftconvolve(padded, kernel, mode="valid", axes=0))


def wander(rng: Rng, n: int, seconds: float) -> Signal:
    """Smooth unit-variance noise at control rate that changes on the scale of `seconds`."""
    noise = smooth(rng.standard_normal(n), seconds)
    return noise / (noise.std() + 1e-12)


def moving_biquad(sound: Signal, b: Sequence[Signal], a: Sequence[Signal]) -> Signal:
    """Second-order filter whose coefficients (a0 = 1 left out) are given per sample.

    A plain loop, because switching the coefficients block by block rings at the block rate.
    """
    out = []
    s1 = s2 = 0.0
    for x, b0, b1, b2, a1, a2 in zip(*(track.tolist() for track in (sound, *b, *a)), strict=True):
        y = b0 * x + s1
        s1 = b1 * x - a1 * y + s2
        s2 = b2 * x - a2 * y
        out.append(y)
    return np.array(out)


def sweep_lowpass(sound: Signal, cutoff: Signal, *, q: float = 0.9) -> Signal:
    """Resonant 12 dB/octave low-pass with a cutoff given per sample."""
    w = 2 * np.pi * np.clip(cutoff, 20.0, 0.45 * RATE) / RATE
    alpha, cos = np.sin(w) / (2 * q), np.cos(w)
    a0, edge = 1 + alpha, (1 - cos) / 2
    return moving_biquad(sound, (edge / a0, 2 * edge / a0, edge / a0), (-2 * cos / a0, (1 - alpha) / a0))


def saw(pitch_hz: float | Signal, seconds: float, *, phase: float = 0.0) -> Signal:
    """Sawtooth whose jump is rounded over two samples (polyBLEP), which removes most aliasing."""
    step = np.broadcast_to(np.asarray(pitch_hz) / RATE, (frames(seconds),))
    ramp = (phase + np.cumsum(step)) % 1.0
    out = 2 * ramp - 1
    early, late = ramp < step, ramp > 1 - step
    x = ramp[early] / step[early]
    out[early] -= 2 * x - x * x - 1
    x = (ramp[late] - 1) / step[late]
    out[late] -= x * x + 2 * x + 1
    return out


# --- Space and level ---------------------------------------------------------------------------


def stereo(seconds: float) -> Signal:
    return np.zeros((frames(seconds), 2))


def place(bus: Signal, sound: Signal, at: float, *, level: float = 1.0, pan: float = 0.0) -> None:
    """Adds `sound` to the stereo `bus` at `at` seconds; mono is panned with constant power."""
    if sound.ndim == 1:
        angle = (pan + 1) * np.pi / 4
        sound = sound[:, None] * (np.array([np.cos(angle), np.sin(angle)]) * np.sqrt(2))
    start = frames(at)
    if start < 0:  # an early player ahead of the first frame
        sound, start = sound[-start:], 0
    n = min(len(sound), len(bus) - start)
    if n > 0:
        bus[start : start + n] += level * sound[:n]


def reverb(
    sound: Signal, rng: Rng, *, seconds: float, wet_db: float, predelay: float = 0.015, dark: float = 4000.0
) -> Signal:
    """Adds a room: convolution with decaying noise, different per ear, highs dying sooner.

    `wet_db` is the level of the room relative to the dry sound.
    """
    t = times(seconds)[:, None]
    noise = rng.standard_normal((len(t), 2))
    low = lowpass(noise, dark)
    impulse = low * np.exp(-6.91 * t / seconds) + (noise - low) * np.exp(-6.91 * t / (0.45 * seconds))
    impulse = highpass(fade(impulse, attack=0.004, release=0.05), 180.0)  # a low room only muddies the mix
    impulse = np.pad(impulse, ((frames(predelay), 0), (0, 0)))
    wet = fftconvolve(sound, impulse, axes=0)[: len(sound)]
    scale = gain(wet_db) * np.sqrt(np.mean(sound**2) / (np.mean(wet**2) + 1e-20))
    return sound + scale * wet


def echo(sound: Signal, *, seconds: float, feedback: float, repeats: int = 4) -> Signal:
    """Ping-pong delay: each repeat is darker and on the other side."""
    out, tap = sound.copy(), sound
    for _ in range(repeats):
        tap = lowpass(np.pad(tap, ((frames(seconds), 0), (0, 0)))[: len(sound), ::-1], 3500.0) * feedback
        out += tap
    return out


def compress(sound: Signal, *, ratio: float, window: float = 0.06) -> Signal:
    """Evens out the loud notes, as a mixing engineer would."""
    power = smooth(np.mean(np.atleast_2d(sound.T) ** 2, axis=0)[::HOP], window)
    threshold = 0.5 * np.sqrt(np.mean(power))
    envelope = np.sqrt(np.maximum(power, 0.0)) + 1e-9
    reduction = np.minimum(1.0, (threshold / envelope) ** (1 - 1 / ratio))
    curve = np.interp(np.arange(len(sound)), np.arange(len(reduction)) * HOP, reduction)
    return sound * curve.reshape((-1,) + (1,) * (sound.ndim - 1))


def rms_db(sound: Signal) -> float:
    return float(10 * np.log10(np.mean(sound**2) + 1e-20))


def at_level(sound: Signal, db: float) -> Signal:
    return sound * gain(db - rms_db(sound))


# --- Drums -------------------------------------------------------------------------------------


def kick(rng: Rng, *, tight: float = 1.0) -> Signal:
    """Sine that drops from 150 to 50 Hz as the skin relaxes, with a beater click on top."""
    t = times(0.42 / tight)
    phase = 2 * np.pi * np.cumsum(50 + 100 * np.exp(-t / 0.028)) / RATE
    body = np.sin(phase) * np.exp(-t / (0.11 / tight))
    click = bandpass(rng.standard_normal(len(t)), 1800, 6000) * np.exp(-t / 0.004)
    return fade(saturate(1.2 * body, 1.3) + 0.35 * click, attack=0.0008, release=0.05)


def tom(rng: Rng, pitch_hz: float) -> Signal:
    t = times(0.45)
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.6 * np.exp(-t / 0.03))) / RATE
    skin = bandpass(rng.standard_normal(len(t)), 500, 3500) * np.exp(-t / 0.012)
    return fade(np.sin(phase) * np.exp(-t / 0.12) + 0.3 * skin, attack=0.001, release=0.05)


def snare(rng: Rng, *, wires: float = 1.0) -> Signal:
    """Two modes of the batter head, and the wires rattling below them."""
    t = times(0.34)
    drop = 1 + 0.25 * np.exp(-t / 0.012)
    head = sum(
        level * np.sin(2 * np.pi * np.cumsum(pitch * drop) / RATE) * np.exp(-t / length)
        for pitch, level, length in ((186.0, 0.8, 0.055), (331.0, 0.45, 0.035))
    )
    noise = rng.standard_normal(len(t))
    rattle = bandpass(noise, 1300, 9500) * np.exp(-t / 0.07) + 1.2 * highpass(noise, 3000) * np.exp(-t / 0.012)
    return fade(saturate(head + 0.45 * wires * rattle, 1.2), attack=0.0006, release=0.05)


def clap(rng: Rng) -> Signal:
    """Several hands a few milliseconds apart, then the room's answer."""
    t = times(0.3)
    envelope = 0.55 * np.exp(-np.maximum(t - 0.03, 0) / 0.05) * (t >= 0.03)
    for onset in (0.0, 0.011, 0.021, 0.03):
        envelope += np.exp(-np.maximum(t - onset, 0) / 0.0045) * (t >= onset)
    return fade(bandpass(rng.standard_normal(len(t)), 900, 4200) * envelope, attack=0.001, release=0.05)


def cymbal(rng: Rng, *, seconds: float, t60: float, low: float = 6500.0) -> Signal:
    """Many unrelated partials make the metal, high-passed noise the sizzle."""
    t = times(seconds)
    # The same plate at every stroke: its modes do not come from the song's stream of numbers.
    pitches = low * 2 ** np.random.default_rng(SEED).uniform(-0.6, 1.2, 48)
    metal = np.sin(2 * np.pi * pitches[:, None] * t + rng.uniform(0, 2 * np.pi, (48, 1))).sum(axis=0) / 5
    sound = highpass(0.4 * metal + 0.5 * rng.standard_normal(len(t)), low, order=3)
    bright = highpass(sound, 9000) * decay(seconds, 0.6 * t60)  # the top of a cymbal goes first
    return fade(sound * decay(seconds, t60) + 0.5 * bright, attack=0.0008, release=0.3 * seconds)


def brush_tap(rng: Rng) -> Signal:
    """Wires of a brush land one after the other, so the noise swells for some milliseconds."""
    t = times(0.3)
    noise = rng.standard_normal(len(t))
    swell = (1 - np.exp(-t / 0.004)) * np.exp(-t / 0.06)
    head = np.sin(2 * np.pi * 192 * t) * np.exp(-t / 0.05) + 0.5 * np.sin(2 * np.pi * 318 * t) * np.exp(-t / 0.03)
    return fade(0.35 * head * (1 - np.exp(-t / 0.002)) + bandpass(noise, 700, 7500) * swell, release=0.05)


def brush_sweep(rng: Rng, seconds: float) -> Signal:
    t = times(seconds)
    stroke = np.sin(np.pi * np.clip(t / seconds, 0, 1)) ** 1.6
    return bandpass(rng.standard_normal(len(t)), 1500, 8500) * stroke


def shaker(rng: Rng) -> Signal:
    t = times(0.11)
    grains = (1 - np.exp(-t / 0.012)) * np.exp(-t / 0.022)
    return fade(bandpass(rng.standard_normal(len(t)), 4500, 12000) * grains, release=0.03)


# --- Bass, keys, strings -----------------------------------------------------------------------


def synth_bass(pitch_hz: float, seconds: float, *, release: float = 0.025) -> Signal:
    """Sawtooth and sub-sine through a low-pass that snaps shut after the attack."""
    t = times(seconds)
    osc = 0.7 * saw(pitch_hz, seconds) + 0.5 * saw(pitch_hz * 1.004, seconds, phase=0.37)
    cutoff = 170 + 2.2 * pitch_hz + 2300 * np.exp(-t / 0.075)
    sub = np.sin(2 * np.pi * pitch_hz * t)
    envelope = 0.65 + 0.35 * np.exp(-t / 0.12)
    return fade((sweep_lowpass(osc, cutoff, q=1.6) + 0.8 * sub) * envelope, attack=0.003, release=release)


def electric_bass(pitch_hz: float, seconds: float, rng: Rng) -> Signal:
    """Sum of decaying partials of a string plucked at a fifth of its length, round at the top."""
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
    """Karplus-Strong string with a third-order Lagrange delay, so that it is in tune."""
    damping = 0.5 * (1 - 0.4 * bright)
    delay = RATE / pitch_hz - damping  # the two-point damping filter delays by itself
    whole = int(delay) - 1
    d = delay - whole  # in [1, 2): the middle of the interpolator, where it never amplifies
    lagrange = [
        -(d - 1) * (d - 2) * (d - 3) / 6,
        d * (d - 2) * (d - 3) / 2,
        -d * (d - 1) * (d - 3) / 2,
        d * (d - 1) * (d - 2) / 6,
    ]
    loop = np.convolve(lagrange, [1 - damping, damping]) * gain(-60 / (t60 * pitch_hz))
    feedback = np.zeros(whole + len(loop))
    feedback[0] = 1.0
    feedback[whole:] -= loop

    period = round(RATE / pitch_hz)
    burst = lowpass(rng.uniform(-1, 1, period), 800 + 3000 * bright)  # a soft fingertip
    excitation = np.zeros(frames(seconds))
    excitation[:period] = burst - burst.mean()
    pick = max(1, round(0.17 * period))  # plucking off centre cancels every sixth partial
    excitation[pick:] -= 0.9 * excitation[:-pick]
    return fade(np.asarray(lfilter([1.0], feedback, excitation)), attack=0.0008, release=0.12)


def guitar_body(sound: Signal) -> Signal:
    """Air and top-plate resonances of a wooden box."""
    out = sound.copy()
    for pitch, q, level in ((108.0, 9.0, 0.7), (205.0, 10.0, 0.8), (390.0, 8.0, 0.45), (1150.0, 4.0, 0.3)):
        out += level * lfilter(*iirpeak(pitch, q, fs=RATE), sound, axis=0)
    return highpass(out, 80)


def ensemble(
    pitches_hz: Iterable[float], seconds: float, rng: Rng, *, voices: int, cents: float, cutoff: float, attack: float
) -> Signal:
    """Detuned sawtooths spread over the stereo field: a pad, or a small string section."""
    out = stereo(seconds)
    for pitch in pitches_hz:
        for i in range(voices):
            detuned = pitch * 2 ** (rng.normal(0, cents) / 1200)
            drift = 1 + 0.0012 * np.sin(2 * np.pi * (rng.uniform(3.5, 5.5) * times(seconds) + rng.uniform()))
            sound = saw(detuned * drift, seconds, phase=rng.uniform())
            place(out, sound, 0.0, pan=0.9 * (2 * i / max(voices - 1, 1) - 1))
    return fade(lowpass(out, cutoff), attack=attack, release=0.35)


def organ(pitches_hz: Iterable[float], seconds: float, rng: Rng) -> Signal:
    """Four soft drawbars under a slowly turning loudspeaker."""
    t = times(seconds)
    out = stereo(seconds)
    turn = 2 * np.pi * 0.9 * t + rng.uniform(0, 2 * np.pi)
    for pitch in pitches_hz:
        for side, sign in ((0, 1.0), (1, -1.0)):
            phase = 2 * np.pi * pitch * t + sign * 0.35 * np.sin(turn)
            drawbars = sum(a * np.sin(k * phase) for k, a in ((1, 1.0), (2, 0.5), (3, 0.28), (4, 0.16), (6, 0.05)))
            out[:, side] += drawbars * (1 + 0.15 * sign * np.cos(turn))
    return fade(out, attack=0.09, release=0.25)


def synth_pluck(pitch_hz: float, seconds: float, *, bright: float = 1.0) -> Signal:
    t = times(seconds)
    osc = saw(pitch_hz, seconds) + 0.7 * saw(pitch_hz * 2.003, seconds, phase=0.5)
    cutoff = 500 + 5200 * bright * np.exp(-t / 0.06)
    return fade(sweep_lowpass(osc, cutoff, q=1.4) * np.exp(-t / 0.16), attack=0.002, release=0.03)


# --- Singing voice -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Singer:
    """A vocal tract: four measured formants per vowel and a rule for those above."""

    vowels: dict[str, tuple[float, float, float, float]]
    fifth: float  # fifth formant, the same in every vowel
    spacing: float  # of the formants above it
    tract: float  # scale of consonant formants relative to a male tract
    effort: float  # 0 breathy .. 1 pressed
    breath: float
    vibrato_hz: float
    vibrato_cents: float

    @property
    def upper(self) -> list[float]:
        """Formants five and up. They reach to half the sampling rate: each resonator falls off above
        its peak, and only the full series keeps the level, as the endless series of a real tube does."""
        return [float(f) for f in np.arange(self.fifth, 0.49 * RATE, self.spacing)]


# Formant means over many speakers: Hillenbrand, Getty, Clark & Wheeler, "Acoustic characteristics of
# American English vowels", JASA 97 (1995).
WOMAN = Singer(
    vowels={
        "a": (936, 1551, 2815, 4299),
        "e": (536, 2530, 3047, 4319),
        "i": (437, 2761, 3372, 4352),
        "o": (555, 1035, 2828, 3927),
        "u": (459, 1105, 2735, 4052),
    },
    fifth=5200,
    spacing=1150,
    tract=1.16,
    effort=0.75,
    breath=0.025,
    vibrato_hz=5.7,
    vibrato_cents=38,
)
MAN = Singer(
    vowels={
        "a": (768, 1333, 2522, 3687),
        "e": (476, 2089, 2691, 3649),
        "i": (342, 2322, 3000, 3657),
        "o": (497, 910, 2459, 3384),
        "u": (378, 997, 2343, 3357),
    },
    fifth=4400,
    spacing=1000,
    tract=1.0,
    effort=0.7,
    breath=0.02,
    vibrato_hz=5.2,
    vibrato_cents=32,
)


@dataclass(frozen=True, kw_only=True)
class Consonant:
    """A closure or narrowing just before a vowel."""

    seconds: float
    voicing: float  # level of the voice meanwhile
    locus: tuple[float, float, float]  # formants (male) towards which the vowel's transition points
    noise: tuple[float, float] | None = None  # band of the hiss or burst (male)
    noise_level: float = 0.0
    noise_seconds: float = 0.0  # the noise ends where the vowel starts
    nasal: bool = False


CONSONANTS = {
    "s": Consonant(
        seconds=0.12, voicing=0.0, locus=(320, 1700, 2600), noise=(4800, 10500), noise_level=0.085, noise_seconds=0.12
    ),
    "t": Consonant(
        seconds=0.075, voicing=0.0, locus=(330, 1750, 2650), noise=(2800, 9000), noise_level=0.14, noise_seconds=0.035
    ),
    "k": Consonant(
        seconds=0.08, voicing=0.0, locus=(320, 1950, 2350), noise=(1300, 4200), noise_level=0.15, noise_seconds=0.04
    ),
    "d": Consonant(
        seconds=0.055, voicing=0.1, locus=(280, 1700, 2600), noise=(2500, 7000), noise_level=0.06, noise_seconds=0.012
    ),
    "m": Consonant(seconds=0.09, voicing=0.5, locus=(250, 950, 2150), nasal=True),
    "n": Consonant(seconds=0.08, voicing=0.5, locus=(250, 1550, 2450), nasal=True),
    "l": Consonant(seconds=0.07, voicing=0.6, locus=(360, 1150, 2750)),
}


@dataclass(frozen=True)
class Syllable:
    """One sung note: when (in beats), for how long, how high, and what, e.g. ``"sa"``."""

    beat: float
    beats: float
    note: str
    text: str
    level: float = 1.0

    @property
    def vowel(self) -> str:
        return self.text[-1]

    @property
    def consonant(self) -> Consonant | None:
        return CONSONANTS[self.text[0]] if len(self.text) > 1 else None


@dataclass
class Gesture:
    """What a singer's body does, one row per control frame."""

    pitch: Signal  # MIDI numbers
    voicing: Signal  # 0 .. 1
    formants: Signal  # (frames, 4) Hz
    nasal: Signal  # 0 .. 1


def glottal_spectrum(rd: float, harmonics: int) -> npt.NDArray[np.complex128]:
    """Fourier coefficients of one period of the Liljencrants-Fant derivative of glottal flow.

    `rd` is Fant's single shape parameter: about 0.5 is a pressed voice, 2.5 a breathy one.
    """
    ra, rk = (-1 + 4.8 * rd) / 100, (22.4 + 11.8 * rd) / 100
    rg = rk / (4 * (0.11 * rd / (0.5 + 1.2 * rk) - ra))
    peak, closing = 1 / (2 * rg), (1 + rk) / (2 * rg)  # of the period: flow maximum, sharpest closure
    size = 8192
    t = np.arange(size) / size
    rest = 1 - closing
    epsilon = float(brentq(lambda e: e * ra - 1 + np.exp(-e * rest), 1e-3 + 0.5 / ra, 2 / ra))
    tail = -(np.exp(-epsilon * (t - closing)) - np.exp(-epsilon * rest)) / (epsilon * ra)

    def period(alpha: float) -> Signal:
        opening = -np.exp(alpha * (t - closing)) * np.sin(np.pi * t / peak) / np.sin(np.pi * closing / peak)
        return np.asarray(np.where(t < closing, opening, tail))

    # No net flow per period: that fixes how fast the opening branch grows.
    alpha = float(brentq(lambda a: float(period(a).sum()), -20.0, 60.0))
    return np.asarray(2 * np.fft.rfft(period(alpha))[1 : harmonics + 1] / size)


def glottal_source(pitch_hz: Signal, effort: Signal) -> tuple[Signal, Signal]:
    """Band-limited pulse train, and its phase. `effort` morphs from a soft to a pressed pulse."""
    ceiling = 16000.0
    harmonics = int(ceiling / pitch_hz.min())
    soft, pressed = glottal_spectrum(2.0, harmonics), glottal_spectrum(0.5, harmonics)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    out = np.zeros(len(pitch_hz))
    for start in range(0, len(out), 8192):  # short blocks stay in the processor's cache
        block = slice(start, start + 8192)
        turn = np.exp(1j * phase[block])
        power = np.ones_like(turn)
        for k in range(1, min(harmonics, int(ceiling / pitch_hz[block].min())) + 1):
            power *= turn
            room = np.clip((ceiling - k * pitch_hz[block]) / 1500, 0, 1)  # ease out below the ceiling
            shape = soft[k - 1] + effort[block] * (pressed[k - 1] - soft[k - 1])
            out[block] += room * (shape * power).real
    return out, phase


def gestures(singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng) -> Gesture:
    """Turns notes and syllables into smooth movements."""
    n = -(-frames(seconds) // HOP)
    t = np.arange(n) * HOP / RATE
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
        if first:  # reach up into the first note of a phrase
            pitch[t > previous_end + 0.05] = midi(syllable.note) - 1.2
        pitch[t > start + (0.03 if first else -0.025)] = midi(syllable.note)

        here = (t >= start) & (t < end)
        age = np.clip((t[here] - start) / (end - start), 0, 1)
        # A note swells a little, then relaxes, more so when the phrase ends with it.
        voicing[here] = syllable.level * (0.86 + 0.14 * np.sin(np.pi * age**0.7) - (0.0 if legato else 0.25) * age**3)
        formants[(t >= start) & (t < end + 0.6)] = vowel
        # Pop singers hold straight first and let the vibrato in late.
        vibrato[here] = np.clip((t[here] - start - 0.22) / 0.35, 0, 1)

        if consonant:
            during = (t >= onset) & (t < start)
            voicing[during] = consonant.voicing * syllable.level
            nasal[during] = float(consonant.nasal)
            formants[during, :3] = np.array(consonant.locus) * singer.tract
            if first:  # the mouth takes its place before the sound starts
                formants[(t >= onset - 0.1) & (t < onset)] = formants[during][0]
        previous_end = end

    rate = singer.vibrato_hz * (1 + 0.03 * wander(rng, n, 0.6))
    depth = smooth(vibrato, 0.15) * singer.vibrato_cents * (1 + 0.15 * wander(rng, n, 0.5))
    swing = np.sin(2 * np.pi * np.cumsum(rate) * HOP / RATE)
    unsteady = 5.0 * wander(rng, n, 0.4) + 3.5 * wander(rng, n, 0.02)  # slow drift, and jitter
    pitch = smooth(pitch, 0.11) + (depth * swing + unsteady) / 100
    voicing = smooth(voicing, 0.035) * (1 + 0.03 * wander(rng, n, 0.015) + 0.04 * wander(rng, n, 0.3))  # shimmer
    formants = smooth(formants, 0.075) * (1 + 0.01 * wander(rng, n, 0.25)[:, None])
    # Singers open the jaw rather than let the pitch climb past the first formant.
    f0 = 440 * 2 ** ((pitch - 69) / 12)
    formants[:, 0] = np.maximum(formants[:, 0], 1.08 * f0 * (1 - smooth(nasal, 0.03)))
    return Gesture(pitch, np.clip(voicing, 0, None), formants, smooth(nasal, 0.03))


def vocal_tract(source: Signal, singer: Singer, gesture: Gesture) -> Signal:
    """Cascade of two-pole resonators with unit gain at DC, as in a lossless tube.

    The fixed upper ones come first: they lift the highs by some 80 dB, which the moving ones
    take away again together with the faint noise of their own movement.
    """
    clock, now = np.arange(len(gesture.pitch)) * HOP, np.arange(len(source))
    nasal = np.interp(now, clock, gesture.nasal)
    moving = [np.interp(now, clock, track) for track in gesture.formants.T]
    out = source
    for i, pitch_hz in reversed(list(enumerate([*moving, *np.atleast_2d(singer.upper).T]))):
        width = 60 + 0.03 * pitch_hz + 2e-6 * pitch_hz**2  # losses grow with frequency
        if 0 < i < len(moving):
            width *= 1 + 2.5 * nasal  # the nose swallows the upper formants
        radius = np.exp(-np.pi * width / RATE)
        a1, a2 = -2 * radius * np.cos(2 * np.pi * pitch_hz / RATE), radius**2
        if i < len(moving):
            zero = np.zeros_like(a1)
            out = moving_biquad(out, (1 + a1 + a2, zero, zero), (a1, a2))
        else:
            out = np.asarray(lfilter(1 + a1 + a2, [1.0, a1[0], a2[0]], out))
    return out


def consonant_noise(singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng) -> Signal:
    """Hisses and bursts; they arise at the lips and teeth and skip the tract."""
    bus = np.zeros((frames(seconds), 2))
    for syllable in score:
        consonant = syllable.consonant
        if consonant is None or consonant.noise is None:
            continue
        length = consonant.noise_seconds + 0.012
        low, high = (f * singer.tract for f in consonant.noise)
        hiss = bandpass(rng.standard_normal(frames(length + 0.05)), low, high)[-frames(length) :]
        if consonant.noise_seconds < 0.06:  # a plosive: abrupt release, then weaker breath
            shape = 0.25 + np.exp(-times(length) / 0.008)
            hiss = fade(hiss * shape, attack=0.001, release=0.02)
        else:
            hiss = fade(hiss, attack=0.045, release=0.03)
        at = LEAD_IN + syllable.beat * beat - consonant.noise_seconds
        place(bus, hiss, at, level=consonant.noise_level * syllable.level)
    return bus[:, 0]


def breaths(singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng) -> Signal:
    """A quick intake before each phrase, shaped by the open mouth."""
    bus = np.zeros((frames(seconds), 2))
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
        place(bus, np.asarray(mouth), at, level=0.02)
    return bus[:, 0]


def sing(singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng) -> Signal:
    """One mono take of the whole melody."""
    gesture = gestures(singer, score, beat, seconds, rng)
    n = frames(seconds)
    clock = np.arange(len(gesture.pitch)) * HOP
    pitch_hz = np.interp(np.arange(n), clock, 440 * 2 ** ((gesture.pitch - 69) / 12))
    voicing = np.interp(np.arange(n), clock, gesture.voicing)
    effort = np.clip(singer.effort * (0.35 + 0.75 * voicing), 0, 1)  # louder is also brighter
    pulses, phase = glottal_source(pitch_hz, effort)
    # Air rushes through the glottis mostly while it is open.
    open_phase = 0.35 + 0.65 * (0.5 - 0.5 * np.cos(phase)) ** 2
    air = highpass(rng.standard_normal(n), 4000, order=1) * singer.breath * open_phase * np.sqrt(np.clip(voicing, 0, 1))
    voiced = vocal_tract(pulses * voicing + air, singer, gesture)
    # Presence, as on any pop record; kept off the hisses, which would turn sharp.
    voiced = lowpass(voiced + 0.3 * highpass(voiced, 3000, order=1), 14000)
    voiced = at_level(voiced, -20)
    return voiced + consonant_noise(singer, score, beat, seconds, rng) + breaths(singer, score, beat, seconds, rng)


def vocal_stem(
    singer: Singer, score: Sequence[Syllable], beat: float, seconds: float, rng: Rng, *, room: float, room_db: float
) -> Signal:
    """Lead in the centre, a quiet double on each side, levelled and set in a room."""
    bus = stereo(seconds)
    for level, pan, late in ((0.0, 0.0, 0.0), (-16.0, -0.75, 0.013), (-16.0, 0.75, 0.019)):
        take = highpass(sing(singer, score, beat, seconds, rng), 100)
        place(bus, compress(take, ratio=4.0), late, level=gain(level), pan=pan)
    return reverb(bus, rng, seconds=room, wet_db=room_db, predelay=0.03)


# --- Song one: night-drive ---------------------------------------------------------------------

DRIVE_BEAT = 60 / 112
DRIVE_SECONDS = 10.6
DRIVE_CHORDS = [  # first beat, beats, bass, pad
    (0.0, 4.0, "A1", ("A3", "C4", "E4", "G4")),
    (4.0, 4.0, "F1", ("F3", "A3", "C4", "E4")),
    (8.0, 4.0, "C2", ("G3", "C4", "E4", "G4")),
    (12.0, 2.0, "F1", ("F3", "A3", "C4", "F4")),
    (14.0, 2.0, "G1", ("G3", "B3", "D4", "F4")),
    (16.0, 3.0, "A1", ("A3", "C4", "E4", "A4")),
]
DRIVE_MELODY = [
    Syllable(3.0, 0.5, "E4", "ta", 0.85),
    Syllable(3.5, 0.5, "G4", "ne", 0.9),
    Syllable(4.0, 1.5, "A4", "so"),
    Syllable(5.5, 0.5, "G4", "mi", 0.9),
    Syllable(6.0, 0.5, "A4", "ka"),
    Syllable(6.5, 1.1, "C5", "la"),
    Syllable(8.5, 0.5, "G4", "de", 0.9),
    Syllable(9.0, 0.5, "G4", "ma", 0.9),
    Syllable(9.5, 0.5, "E4", "si"),
    Syllable(10.0, 0.5, "D4", "to", 0.85),
    Syllable(10.5, 0.8, "E4", "na", 0.9),
    Syllable(12.5, 0.5, "C5", "ka", 0.95),
    Syllable(13.0, 0.5, "C5", "me"),
    Syllable(13.5, 0.5, "B4", "lu", 0.95),
    Syllable(14.0, 0.5, "B4", "sa", 0.95),
    Syllable(14.5, 1.0, "D5", "ma"),
    Syllable(15.5, 0.5, "B4", "ne", 0.9),
    Syllable(16.0, 2.2, "A4", "no", 0.95),
]


def at_drive(beat: float) -> float:
    return LEAD_IN + beat * DRIVE_BEAT


def drive_drums(rng: Rng) -> Signal:
    dry, overhead = stereo(DRIVE_SECONDS), stereo(DRIVE_SECONDS)
    for quarter in range(17):
        place(dry, kick(rng), at_drive(quarter), level=1.0)
    for backbeat in range(1, 16, 2):
        place(dry, snare(rng), at_drive(backbeat), level=0.75)
        place(dry, clap(rng), at_drive(backbeat) + 0.004, level=0.6, pan=0.1)
    for half in range(32):
        if half % 2:  # open on the off-beat, as disco left it to pop
            hat = cymbal(rng, seconds=0.22, t60=0.5)
            place(overhead, hat, at_drive(half / 2), level=0.36, pan=0.35)
        else:
            hat = cymbal(rng, seconds=0.09, t60=0.14)
            place(overhead, hat, at_drive(half / 2), level=0.3, pan=0.35)
        ghost = cymbal(rng, seconds=0.06, t60=0.09)
        place(overhead, ghost, at_drive(half / 2 + 0.25) + rng.normal(0, 0.002), level=0.14, pan=0.35)
    for beat, pitch, pan in ((15.25, 190.0, -0.4), (15.5, 150.0, 0.0), (15.75, 110.0, 0.4)):  # into the last chord
        place(dry, tom(rng, pitch), at_drive(beat), level=0.7, pan=pan)
    for beat, level in ((0.0, 0.2), (4.0, 0.28), (16.0, 0.34)):
        crash = np.stack([cymbal(rng, seconds=2.4, t60=2.6, low=4200) for _ in range(2)], axis=1)
        place(overhead, crash, at_drive(beat), level=level)
    room = reverb(dry + 0.4 * overhead, rng, seconds=0.5, wet_db=-17, predelay=0.004, dark=5000)
    return saturate(0.8 * (room + 0.6 * overhead), 1.1)


def drive_bass(rng: Rng) -> Signal:
    bus = stereo(DRIVE_SECONDS)
    for start, beats, root, _ in DRIVE_CHORDS:
        if start == 16.0:
            place(bus, synth_bass(hertz(root), beats * DRIVE_BEAT, release=0.8), at_drive(start))
            continue
        for eighth in range(int(2 * beats)):
            octave = 12 if eighth % 4 == 3 else 0
            pitch = hertz(midi(root) + octave)
            level = (0.9 if eighth % 2 == 0 else 1.0) * rng.uniform(0.95, 1.05)
            place(bus, synth_bass(pitch, 0.43 * DRIVE_BEAT), at_drive(start + eighth / 2), level=level)
    return saturate(highpass(bus, 30), 0.5)


def drive_other(rng: Rng) -> Signal:
    pad, arp = stereo(DRIVE_SECONDS), stereo(DRIVE_SECONDS)
    for start, beats, _, chord in DRIVE_CHORDS:
        pitches = [hertz(note) for note in chord]
        cutoff = 2000 if start >= 12.0 else 1500  # the last phrase opens up
        sound = ensemble(pitches, beats * DRIVE_BEAT + 0.15, rng, voices=4, cents=7.0, cutoff=cutoff, attack=0.06)
        place(pad, sound, at_drive(start))
        if start == 16.0:
            continue
        notes = [midi(note) + 12 for note in chord]
        order = [0, 2, 1, 3, 2, 1, 3, 2]
        for sixteenth in range(int(4 * beats)):
            note = notes[order[sixteenth % 8]] + (12 if sixteenth % 8 == 6 else 0)
            accent = 1.0 if sixteenth % 4 == 0 else 0.72
            pluck = synth_pluck(hertz(note), 0.3, bright=rng.uniform(0.7, 1.0))
            place(arp, pluck, at_drive(start + sixteenth / 4), level=accent, pan=0.45 * (-1) ** sixteenth)
    since_kick = np.mod(np.arange(len(pad)) / RATE - LEAD_IN, DRIVE_BEAT)[:, None]
    pad *= 1 - 0.45 * np.exp(-since_kick / 0.09)  # the pad ducks under every kick
    arp = echo(arp, seconds=0.75 * DRIVE_BEAT, feedback=0.42)
    mixed = at_level(highpass(pad, 150), -22) + at_level(arp, -23.5)
    return reverb(mixed, rng, seconds=1.6, wet_db=-12)


def night_drive(rngs: Sequence[Rng]) -> dict[str, Signal]:
    return {
        "vocals": at_level(
            vocal_stem(WOMAN, DRIVE_MELODY, DRIVE_BEAT, DRIVE_SECONDS, rngs[0], room=1.3, room_db=-16), -18.5
        ),
        "drums": at_level(drive_drums(rngs[1]), -18.0),
        "bass": at_level(drive_bass(rngs[2]), -19.0),
        "other": at_level(drive_other(rngs[3]), -20.5),
    }


# --- Song two: paper-boats ---------------------------------------------------------------------

BOATS_BEAT = 60 / 60 / 3  # the unit is an eighth; two groups of three make a bar
BOATS_SECONDS = 11.4
BOATS_CHORDS = [  # first eighth, eighths, bass, guitar strings from low to high, organ
    (0.0, 6.0, "D2", ("D3", "A3", "D4", "F#4"), ("A3", "D4", "F#4")),
    (6.0, 6.0, "C#2", ("C#3", "A3", "C#4", "E4"), ("A3", "C#4", "E4")),
    (12.0, 6.0, "B1", ("B2", "F#3", "B3", "D4"), ("F#3", "B3", "D4")),
    (18.0, 6.0, "G1", ("G2", "D3", "B3", "G4"), ("G3", "B3", "D4")),
    (24.0, 3.0, "A1", ("A2", "E3", "A3", "D4"), ("A3", "D4", "E4")),
    (27.0, 3.0, "A1", ("A2", "E3", "A3", "C#4"), ("A3", "C#4", "E4")),
    (30.0, 4.0, "D2", ("D3", "A3", "D4", "F#4"), ("A3", "D4", "F#4")),
]
BOATS_MELODY = [
    Syllable(4.0, 1.0, "A3", "sa", 0.85),
    Syllable(5.0, 1.0, "D4", "me", 0.9),
    Syllable(6.0, 3.0, "E4", "le"),
    Syllable(9.0, 1.4, "C#4", "na", 0.9),
    Syllable(12.0, 2.5, "F#4", "mo"),
    Syllable(14.5, 0.5, "E4", "le", 0.9),
    Syllable(15.0, 1.0, "D4", "ti", 0.9),
    Syllable(16.0, 1.2, "B3", "ka", 0.85),
    Syllable(19.0, 1.0, "B3", "du", 0.9),
    Syllable(20.0, 1.0, "D4", "ne", 0.95),
    Syllable(21.0, 2.0, "G4", "sa"),
    Syllable(23.0, 1.0, "F#4", "mi", 0.95),
    Syllable(24.0, 3.0, "E4", "la"),
    Syllable(27.0, 1.5, "D4", "ta", 0.95),
    Syllable(28.5, 1.5, "C#4", "me", 0.9),
    Syllable(30.0, 3.0, "D4", "no", 0.9),
]


def at_boats(eighth: float) -> float:
    return LEAD_IN + eighth * BOATS_BEAT


def boats_drums(rng: Rng) -> Signal:
    dry, overhead = stereo(BOATS_SECONDS), stereo(BOATS_SECONDS)
    for bar in range(5):
        first = 6 * bar
        kicks = [(0.0, 1.0), (5.0, 0.55)] if bar % 2 else [(0.0, 1.0), (2.0, 0.45), (5.0, 0.6)]
        for offset, level in kicks:
            place(dry, lowpass(kick(rng, tight=1.15), 2500), at_boats(first + offset), level=0.8 * level)
        place(dry, brush_tap(rng), at_boats(first + 3), level=0.85, pan=-0.08)
        place(dry, brush_tap(rng), at_boats(first + 5.5) + rng.normal(0, 0.005), level=0.22, pan=-0.08)
        for half in (0, 3):  # the other hand draws half circles
            place(overhead, brush_sweep(rng, 2.6 * BOATS_BEAT), at_boats(first + half + 0.2), level=0.045, pan=-0.35)
        for eighth in range(6):
            late = rng.normal(0.0, 0.004)
            accent = (0.42, 0.24, 0.3)[eighth % 3] * rng.uniform(0.9, 1.1)
            place(overhead, shaker(rng), at_boats(first + eighth) - 0.012 + late, level=1.1 * accent, pan=0.5)
            if eighth in (0, 2, 3, 5):
                hat = cymbal(rng, seconds=0.14, t60=0.2, low=5500)
                place(overhead, hat, at_boats(first + eighth) + late, level=0.6 * accent, pan=-0.45)
    place(dry, lowpass(kick(rng, tight=1.15), 2500), at_boats(30), level=0.8)
    for at, level in ((0.0, 0.08), (12.0, 0.08), (30.0, 0.14)):
        ride = np.stack([cymbal(rng, seconds=2.2, t60=2.8, low=3500) for _ in range(2)], axis=1)
        place(overhead, ride, at_boats(at), level=level)
    room = reverb(dry + 0.5 * overhead, rng, seconds=0.8, wet_db=-15, predelay=0.008, dark=4500)
    return saturate(0.8 * (room + 0.5 * overhead), 1.2)


def boats_bass(rng: Rng) -> Signal:
    bus = stereo(BOATS_SECONDS)
    walk = {0.0: "A2", 6.0: "A2", 12.0: "F#2", 18.0: "D2"}  # second half of each bar: the fifth, mostly
    for start, beats, root, _, _ in BOATS_CHORDS:
        parts = [(0.0, beats, root)]
        if start in walk:
            parts = [(0.0, 2.9, root), (3.0, 1.9, walk[start]), (5.0, 0.95, root)]
        for offset, length, note in parts:
            sound = electric_bass(hertz(note), length * BOATS_BEAT, rng)
            level = 1.0 if offset == 0 else 0.8
            place(bus, sound, at_boats(start + offset) + rng.normal(0, 0.004), level=level)
    return saturate(highpass(bus, 30), 0.6)


def boats_guitar(rng: Rng, pattern: Sequence[int]) -> Signal:
    """One take of the picking part, mono."""
    bus = stereo(BOATS_SECONDS)
    for start, beats, _, strings, _ in BOATS_CHORDS:
        if start == 30.0:  # last chord: a slow strum
            for i, note in enumerate(strings):
                sound = plucked_string(hertz(note), 2.4, rng, t60=5.0, bright=0.6)
                place(bus, sound, at_boats(start) + 0.035 * i + rng.normal(0, 0.004), level=0.9)
            continue
        for eighth in range(int(beats)):
            string = pattern[eighth % 6] if eighth else 0
            length = 1.9 if string == 0 else 1.2
            sound = plucked_string(hertz(strings[string]), length, rng, t60=3.5, bright=rng.uniform(0.45, 0.7))
            accent = (1.0 if eighth % 3 == 0 else 0.75) * rng.uniform(0.9, 1.1)
            place(bus, sound, at_boats(start + eighth) + rng.normal(0, 0.006), level=accent)
    return guitar_body(bus[:, 0])


def boats_other(rng: Rng) -> Signal:
    guitars, keys, strings = stereo(BOATS_SECONDS), stereo(BOATS_SECONDS), stereo(BOATS_SECONDS)
    place(guitars, boats_guitar(rng, (0, 1, 2, 3, 2, 1)), 0.0, pan=-0.6)
    place(guitars, boats_guitar(rng, (0, 2, 3, 2, 1, 2)), 0.0, pan=0.6, level=0.95)
    for start, beats, _, _, chord in BOATS_CHORDS:
        pitches = [hertz(note) for note in chord]
        place(keys, organ(pitches, beats * BOATS_BEAT + 0.1, rng), at_boats(start))
        if start >= 12.0:  # the strings join at the second phrase, an octave up
            sound = ensemble(
                [2 * p for p in pitches], beats * BOATS_BEAT + 0.3, rng, voices=3, cents=6, cutoff=2200, attack=0.35
            )
            place(strings, sound, at_boats(start) - 0.1)
    mixed = at_level(guitars, -20) + at_level(keys, -27) + at_level(strings, -30)
    return reverb(mixed, rng, seconds=1.9, wet_db=-13)


def paper_boats(rngs: Sequence[Rng]) -> dict[str, Signal]:
    return {
        "vocals": at_level(
            vocal_stem(MAN, BOATS_MELODY, BOATS_BEAT, BOATS_SECONDS, rngs[0], room=1.8, room_db=-15), -18.5
        ),
        "drums": at_level(boats_drums(rngs[1]), -22.5),
        "bass": at_level(boats_bass(rngs[2]), -20.0),
        "other": at_level(boats_other(rngs[3]), -20.0),
    }


# --- Files -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Song:
    slug: str
    title: str
    tempo: float
    key: str
    description: str
    quality: float  # Vorbis, 0 .. 1
    stems: Callable[[Sequence[Rng]], dict[str, Signal]]


SONGS = (
    Song(
        slug="night-drive",
        title="Night Drive",
        tempo=112,
        key="A minor",
        description="Programmed synth-pop with a synthetic female voice singing nonsense syllables.",
        quality=0.5,
        stems=night_drive,
    ),
    Song(
        slug="paper-boats",
        title="Paper Boats",
        tempo=60,
        key="D major",
        description="Programmed slow 6/8 ballad with a synthetic male voice singing nonsense syllables.",
        quality=0.5,
        stems=paper_boats,
    ),
)


def ogg_crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


def restamp_ogg(path: Path, serial: int) -> None:
    """Overwrites the random stream number libsndfile draws, so that equal sound gives equal files.

    RFC 3533: it sits at byte 14 of every page, and each page carries a CRC at byte 22.
    """
    data, table, page = bytearray(path.read_bytes()), ogg_crc_table(), 0
    while page < len(data):
        segments = data[page + 26]
        end = page + 27 + segments + sum(data[page + 27 : page + 27 + segments])
        data[page + 14 : page + 18] = serial.to_bytes(4, "little")
        data[page + 22 : page + 26] = bytes(4)
        crc = 0
        for byte in data[page:end]:
            crc = ((crc << 8) & 0xFFFFFFFF) ^ table[(crc >> 24) ^ byte]
        data[page + 22 : page + 26] = crc.to_bytes(4, "little")
        page = end
    path.write_bytes(data)


def write_vorbis(path: Path, sound: Signal, *, quality: float) -> None:
    with sf.SoundFile(path, "w", RATE, 2, format="OGG", subtype="VORBIS", compression_level=1.0 - quality) as file:
        for start in range(0, len(sound), 4096):  # libsndfile's Vorbis writer overflows its stack on one long write
            file.write(sound[start : start + 4096])


def encode(folder: Path, stems: dict[str, Signal], *, quality: float) -> dict[str, Signal]:
    """Writes the stems and returns them as a listener decodes them."""
    decoded = {}
    for serial, (name, sound) in enumerate(stems.items(), start=1):
        path = folder / f"{name}.ogg"
        write_vorbis(path, sound, quality=quality)
        restamp_ogg(path, serial)
        decoded[name], _ = sf.read(path, dtype="float64", always_2d=True)
        if decoded[name].shape != sound.shape:
            raise RuntimeError(f"{path}: {decoded[name].shape} decoded, {sound.shape} written")
    return decoded


def write_song(song: Song, root: Path) -> None:
    folder = root / song.slug
    folder.mkdir(parents=True, exist_ok=True)
    rngs = np.random.default_rng([SEED, *song.slug.encode()]).spawn(4)
    # Below 20 Hz there is nothing to hear, and a mean would only eat headroom.
    stems = {name: fade(highpass(sound, 20.0), attack=0.02, release=0.5) for name, sound in song.stems(rngs).items()}
    decoded = stems
    for _ in range(8):  # coding moves the peak by some tenths of a decibel, so try again from what was decoded
        scale = gain(PEAK_DB) / np.abs(sum(decoded.values())).max()
        if decoded is not stems and abs(np.log10(scale)) < 0.005:  # 0.1 dB
            break
        stems = {name: scale * sound for name, sound in stems.items()}
        decoded = encode(folder, stems, quality=song.quality)

    mixture = np.asarray(sum(decoded.values()))
    loudest = max(np.abs(sound).max() for sound in (mixture, *decoded.values()))
    if not np.isfinite(mixture).all() or loudest >= 1.0:
        raise RuntimeError(f"{song.slug}: peak {loudest}")
    sf.write(folder / "mixture.flac", np.round(mixture * 32768).astype(np.int16), RATE, subtype="PCM_16")
    about = {
        "title": song.title,
        "artist": "Stemscope",
        "licence": "CC0-1.0",
        "tempo": song.tempo,
        "key": song.key,
        "seconds": round(len(mixture) / RATE, 3),
        "description": song.description,
    }
    (folder / "track.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir())
    levels = ", ".join(f"{name} {rms_db(sound):.1f}" for name, sound in {**decoded, "mixture": mixture}.items())
    print(f"{song.slug}: {size:,} bytes; RMS in dBFS: {levels}")
    if size >= MAX_BYTES:
        raise RuntimeError(f"{song.slug}: {size} bytes, {MAX_BYTES} allowed")


def main() -> None:
    for song in SONGS:
        write_song(song, Path(__file__).resolve().parent)


if __name__ == "__main__":
    main()
