"""Singers, consonants and syllables: the parameters of the singing voice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.samples.signals import SAMPLE_RATE


@dataclass(frozen=True, kw_only=True)
class Singer:
    """A vocal tract: four measured formants per vowel and a rule for the higher ones."""

    vowels: dict[str, tuple[float, float, float, float]]
    fifth: float  # Hz; fifth formant, the same in every vowel
    spacing: float  # Hz; distance between the formants above it
    tract: float  # scale of consonant formants relative to a male tract
    effort: float  # 0 breathy .. 1 pressed
    breath: float
    vibrato_hz: float
    vibrato_cents: float

    @property
    def upper(self) -> list[float]:
        """The formants from the fifth up, in Hz.

        They reach up to half the sample rate: each resonator falls off above its peak, and only the full series
        keeps the level, as the infinite series of a real tube does.
        """
        return [float(f) for f in np.arange(self.fifth, 0.49 * SAMPLE_RATE, self.spacing)]


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
    """A closure or constriction before a vowel."""

    seconds: float
    voicing: float  # level of the voice during the consonant
    locus: tuple[float, float, float]  # Hz; formants (male) at which the transition to the vowel starts
    noise: tuple[float, float] | None = None  # Hz; band of the hiss or burst (male)
    noise_level: float = 0.0
    noise_seconds: float = 0.0  # seconds before the vowel, where the noise ends
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
    """One sung note: start and length in beats, pitch, text (e.g. ``"sa"``) and level."""

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
