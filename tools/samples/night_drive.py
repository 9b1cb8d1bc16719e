"""Night Drive: synth-pop at 112 bpm in A minor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tools.samples.drums import clap, cymbal, kick, snare, tom
from tools.samples.files import Song
from tools.samples.instruments import ensemble, synth_bass, synth_pluck
from tools.samples.mixing import at_level, echo, mix_into, reverb, silence
from tools.samples.signals import LEAD_IN, SAMPLE_RATE, Rng, Signal, hertz, highpass, midi, saturate
from tools.samples.singers import WOMAN, Syllable
from tools.samples.voice import vocal_stem

BEAT = 60 / 112
SECONDS = 10.6
CHORDS = [  # first beat, length in beats, bass, pad
    (0.0, 4.0, "A1", ("A3", "C4", "E4", "G4")),
    (4.0, 4.0, "F1", ("F3", "A3", "C4", "E4")),
    (8.0, 4.0, "C2", ("G3", "C4", "E4", "G4")),
    (12.0, 2.0, "F1", ("F3", "A3", "C4", "F4")),
    (14.0, 2.0, "G1", ("G3", "B3", "D4", "F4")),
    (16.0, 3.0, "A1", ("A3", "C4", "E4", "A4")),
]
MELODY = [
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


def seconds_at(beat: float) -> float:
    """Return the time of a beat in seconds."""
    return LEAD_IN + beat * BEAT


def drums(rng: Rng) -> Signal:
    dry, overhead = silence(SECONDS), silence(SECONDS)
    for quarter in range(17):
        mix_into(dry, kick(rng), seconds_at(quarter), level=1.0)
    for backbeat in range(1, 16, 2):
        mix_into(dry, snare(rng), seconds_at(backbeat), level=0.75)
        mix_into(dry, clap(rng), seconds_at(backbeat) + 0.004, level=0.6, pan=0.1)
    for half in range(32):
        if half % 2:  # open on the off-beat
            hat = cymbal(rng, seconds=0.22, t60=0.5)
            mix_into(overhead, hat, seconds_at(half / 2), level=0.36, pan=0.35)
        else:
            hat = cymbal(rng, seconds=0.09, t60=0.14)
            mix_into(overhead, hat, seconds_at(half / 2), level=0.3, pan=0.35)
        ghost = cymbal(rng, seconds=0.06, t60=0.09)
        mix_into(overhead, ghost, seconds_at(half / 2 + 0.25) + rng.normal(0, 0.002), level=0.14, pan=0.35)
    for beat, pitch, pan in ((15.25, 190.0, -0.4), (15.5, 150.0, 0.0), (15.75, 110.0, 0.4)):  # into the last chord
        mix_into(dry, tom(rng, pitch), seconds_at(beat), level=0.7, pan=pan)
    for beat, level in ((0.0, 0.2), (4.0, 0.28), (16.0, 0.34)):
        crash = np.stack([cymbal(rng, seconds=2.4, t60=2.6, low=4200) for _ in range(2)], axis=1)
        mix_into(overhead, crash, seconds_at(beat), level=level)
    room = reverb(dry + 0.4 * overhead, rng, seconds=0.5, wet_db=-17, predelay=0.004, dark=5000)
    return saturate(0.8 * (room + 0.6 * overhead), 1.1)


def bass(rng: Rng) -> Signal:
    bus = silence(SECONDS)
    for start, beats, root, _ in CHORDS:
        if start == 16.0:
            mix_into(bus, synth_bass(hertz(root), beats * BEAT, release=0.8), seconds_at(start))
            continue
        for eighth in range(int(2 * beats)):
            octave = 12 if eighth % 4 == 3 else 0
            pitch = hertz(midi(root) + octave)
            level = (0.9 if eighth % 2 == 0 else 1.0) * rng.uniform(0.95, 1.05)
            mix_into(bus, synth_bass(pitch, 0.43 * BEAT), seconds_at(start + eighth / 2), level=level)
    return saturate(highpass(bus, 30), 0.5)


def other(rng: Rng) -> Signal:
    pad, arp = silence(SECONDS), silence(SECONDS)
    for start, beats, _, chord in CHORDS:
        pitches = [hertz(note) for note in chord]
        cutoff = 2000 if start >= 12.0 else 1500  # the last phrase opens up
        audio = ensemble(pitches, beats * BEAT + 0.15, rng, voices=4, cents=7.0, cutoff=cutoff, attack=0.06)
        mix_into(pad, audio, seconds_at(start))
        if start == 16.0:
            continue
        notes = [midi(note) + 12 for note in chord]
        order = [0, 2, 1, 3, 2, 1, 3, 2]
        for sixteenth in range(int(4 * beats)):
            note = notes[order[sixteenth % 8]] + (12 if sixteenth % 8 == 6 else 0)
            accent = 1.0 if sixteenth % 4 == 0 else 0.72
            pluck = synth_pluck(hertz(note), 0.3, bright=rng.uniform(0.7, 1.0))
            mix_into(arp, pluck, seconds_at(start + sixteenth / 4), level=accent, pan=0.45 * (-1) ** sixteenth)
    since_kick = np.mod(np.arange(len(pad)) / SAMPLE_RATE - LEAD_IN, BEAT)[:, None]
    pad *= 1 - 0.45 * np.exp(-since_kick / 0.09)  # the pad ducks under every kick
    arp = echo(arp, seconds=0.75 * BEAT, feedback=0.42)
    mixed = at_level(highpass(pad, 150), -22) + at_level(arp, -23.5)
    return reverb(mixed, rng, seconds=1.6, wet_db=-12)


def stems(rngs: Sequence[Rng]) -> dict[str, Signal]:
    """Synthesise the stems, with one random generator for each."""
    return {
        "vocals": at_level(vocal_stem(WOMAN, MELODY, BEAT, SECONDS, rngs[0], room=1.3, room_db=-16), -18.5),
        "drums": at_level(drums(rngs[1]), -18.0),
        "bass": at_level(bass(rngs[2]), -19.0),
        "other": at_level(other(rngs[3]), -20.5),
    }


NIGHT_DRIVE = Song(
    slug="night-drive",
    title="Night Drive",
    tempo=112,
    key="A minor",
    description="Programmed synth-pop with a synthetic female voice singing nonsense syllables.",
    quality=0.5,
    stems=stems,
)
