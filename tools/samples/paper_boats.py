"""Paper Boats: a slow 6/8 ballad in D major."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tools.samples.drums import brush_sweep, brush_tap, cymbal, kick, shaker
from tools.samples.files import Song
from tools.samples.instruments import electric_bass, ensemble, guitar_body, organ, plucked_string
from tools.samples.mixing import at_level, mix_into, reverb, silence
from tools.samples.signals import LEAD_IN, Rng, Signal, hertz, highpass, lowpass, saturate
from tools.samples.singers import MAN, Syllable
from tools.samples.voice import vocal_stem

BEAT = 60 / 60 / 3  # the unit is an eighth; two groups of three make a bar
SECONDS = 11.4
CHORDS = [  # first eighth, length in eighths, bass, guitar strings from low to high, organ
    (0.0, 6.0, "D2", ("D3", "A3", "D4", "F#4"), ("A3", "D4", "F#4")),
    (6.0, 6.0, "C#2", ("C#3", "A3", "C#4", "E4"), ("A3", "C#4", "E4")),
    (12.0, 6.0, "B1", ("B2", "F#3", "B3", "D4"), ("F#3", "B3", "D4")),
    (18.0, 6.0, "G1", ("G2", "D3", "B3", "G4"), ("G3", "B3", "D4")),
    (24.0, 3.0, "A1", ("A2", "E3", "A3", "D4"), ("A3", "D4", "E4")),
    (27.0, 3.0, "A1", ("A2", "E3", "A3", "C#4"), ("A3", "C#4", "E4")),
    (30.0, 4.0, "D2", ("D3", "A3", "D4", "F#4"), ("A3", "D4", "F#4")),
]
MELODY = [
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


def seconds_at(eighth: float) -> float:
    """Return the time of an eighth in seconds."""
    return LEAD_IN + eighth * BEAT


def drums(rng: Rng) -> Signal:
    dry, overhead = silence(SECONDS), silence(SECONDS)
    for bar in range(5):
        first = 6 * bar
        kicks = [(0.0, 1.0), (5.0, 0.55)] if bar % 2 else [(0.0, 1.0), (2.0, 0.45), (5.0, 0.6)]
        for offset, level in kicks:
            mix_into(dry, lowpass(kick(rng, tight=1.15), 2500), seconds_at(first + offset), level=0.8 * level)
        mix_into(dry, brush_tap(rng), seconds_at(first + 3), level=0.85, pan=-0.08)
        mix_into(dry, brush_tap(rng), seconds_at(first + 5.5) + rng.normal(0, 0.005), level=0.22, pan=-0.08)
        for half in (0, 3):  # the other hand draws half circles
            mix_into(overhead, brush_sweep(rng, 2.6 * BEAT), seconds_at(first + half + 0.2), level=0.045, pan=-0.35)
        for eighth in range(6):
            late = rng.normal(0.0, 0.004)
            accent = (0.42, 0.24, 0.3)[eighth % 3] * rng.uniform(0.9, 1.1)
            mix_into(overhead, shaker(rng), seconds_at(first + eighth) - 0.012 + late, level=1.1 * accent, pan=0.5)
            if eighth in (0, 2, 3, 5):
                hat = cymbal(rng, seconds=0.14, t60=0.2, low=5500)
                mix_into(overhead, hat, seconds_at(first + eighth) + late, level=0.6 * accent, pan=-0.45)
    mix_into(dry, lowpass(kick(rng, tight=1.15), 2500), seconds_at(30), level=0.8)
    for at, level in ((0.0, 0.08), (12.0, 0.08), (30.0, 0.14)):
        ride = np.stack([cymbal(rng, seconds=2.2, t60=2.8, low=3500) for _ in range(2)], axis=1)
        mix_into(overhead, ride, seconds_at(at), level=level)
    room = reverb(dry + 0.5 * overhead, rng, seconds=0.8, wet_db=-15, predelay=0.008, dark=4500)
    return saturate(0.8 * (room + 0.5 * overhead), 1.2)


def bass(rng: Rng) -> Signal:
    bus = silence(SECONDS)
    walk = {0.0: "A2", 6.0: "A2", 12.0: "F#2", 18.0: "D2"}  # second half of each bar: the fifth, mostly
    for start, beats, root, _, _ in CHORDS:
        parts = [(0.0, beats, root)]
        if start in walk:
            parts = [(0.0, 2.9, root), (3.0, 1.9, walk[start]), (5.0, 0.95, root)]
        for offset, length, note in parts:
            audio = electric_bass(hertz(note), length * BEAT, rng)
            level = 1.0 if offset == 0 else 0.8
            mix_into(bus, audio, seconds_at(start + offset) + rng.normal(0, 0.004), level=level)
    return saturate(highpass(bus, 30), 0.6)


def guitar(rng: Rng, pattern: Sequence[int]) -> Signal:
    """Return one mono take of the picking part."""
    bus = silence(SECONDS)
    for start, beats, _, strings, _ in CHORDS:
        if start == 30.0:  # last chord: a slow strum
            for i, note in enumerate(strings):
                audio = plucked_string(hertz(note), 2.4, rng, t60=5.0, bright=0.6)
                mix_into(bus, audio, seconds_at(start) + 0.035 * i + rng.normal(0, 0.004), level=0.9)
            continue
        for eighth in range(int(beats)):
            string = pattern[eighth % 6] if eighth else 0
            length = 1.9 if string == 0 else 1.2
            audio = plucked_string(hertz(strings[string]), length, rng, t60=3.5, bright=rng.uniform(0.45, 0.7))
            accent = (1.0 if eighth % 3 == 0 else 0.75) * rng.uniform(0.9, 1.1)
            mix_into(bus, audio, seconds_at(start + eighth) + rng.normal(0, 0.006), level=accent)
    return guitar_body(bus[:, 0])


def other(rng: Rng) -> Signal:
    guitars, keys, strings = silence(SECONDS), silence(SECONDS), silence(SECONDS)
    mix_into(guitars, guitar(rng, (0, 1, 2, 3, 2, 1)), 0.0, pan=-0.6)
    mix_into(guitars, guitar(rng, (0, 2, 3, 2, 1, 2)), 0.0, pan=0.6, level=0.95)
    for start, beats, _, _, chord in CHORDS:
        pitches = [hertz(note) for note in chord]
        mix_into(keys, organ(pitches, beats * BEAT + 0.1, rng), seconds_at(start))
        if start >= 12.0:  # the strings join at the second phrase, an octave up
            audio = ensemble(
                [2 * p for p in pitches], beats * BEAT + 0.3, rng, voices=3, cents=6, cutoff=2200, attack=0.35
            )
            mix_into(strings, audio, seconds_at(start) - 0.1)
    mixed = at_level(guitars, -20) + at_level(keys, -27) + at_level(strings, -30)
    return reverb(mixed, rng, seconds=1.9, wet_db=-13)


def stems(rngs: Sequence[Rng]) -> dict[str, Signal]:
    """Synthesise the stems, with one random generator for each."""
    return {
        "vocals": at_level(vocal_stem(MAN, MELODY, BEAT, SECONDS, rngs[0], room=1.8, room_db=-15), -18.5),
        "drums": at_level(drums(rngs[1]), -22.5),
        "bass": at_level(bass(rngs[2]), -20.0),
        "other": at_level(other(rngs[3]), -20.0),
    }


PAPER_BOATS = Song(
    slug="paper-boats",
    title="Paper Boats",
    tempo=60,
    key="D major",
    description="Programmed slow 6/8 ballad with a synthetic male voice singing nonsense syllables.",
    quality=0.5,
    stems=stems,
)
