"""The options of training mixtures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

__all__ = ["MixConfig"]


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """Options of the training mixtures. The defaults are Open-Unmix's published pre-processing.

    Attributes
    ----------
    seconds : float
        Length of an excerpt.
    random_tracks : bool
        Draw every source from its own track and position, with replacement. Otherwise all sources of an item
        come from the same position of one track, as an original mixture.
    whole_mixes : float
        With `random_tracks`, fraction of items that are unaugmented original mixtures.
    whole_from : tuple of str
        Names of the data sets that original mixtures are drawn from; empty for all. Exclude data sets
        whose stems do not have their level in the mixture.
    shares : mapping of str to float
        Relative frequency of each data set; empty to draw all recordings equally often.
    speeds : tuple of float
        Speeds at which every recording is stored and drawn; pitch changes with speed.
    gain : (float, float)
        Range of the factor that scales a source.
    swap, flip : float
        Probabilities that a source's channels are swapped, and that its polarity is inverted.
    shift : float
        Maximum time shift between the sources in seconds.
    shuffle_groups : int
        Size of the groups of items that exchange sources (Demucs's remixing); 0 for no exchange.
    repitch : float
        Probability that an item changes in pitch (by at most `max_semitones`) and in tempo (by at most the
        fraction `max_tempo`), with all sources alike.
    tilt, width : float
        Probabilities that a source's spectrum is tilted (by up to ±0.5), and that its stereo width is scaled
        (by 0 to 1.4).
    reverb : mapping of str to float
        Probability by data set that an excerpt gets reverb (0.3 to 2 s long, 18 to 4 dB below the direct
        sound), for data sets recorded without reverb.
    doubled : mapping of str to float
        Probability by source that a second recording of it is added.
    """

    seconds: float = 6.0
    random_tracks: bool = True
    whole_mixes: float = 0.0
    whole_from: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    speeds: tuple[float, ...] = (1.0,)
    gain: tuple[float, float] = (0.25, 1.25)
    swap: float = 0.5
    flip: float = 0.0
    shift: float = 0.0
    shuffle_groups: int = 0
    repitch: float = 0.0
    max_semitones: int = 2
    max_tempo: float = 0.12
    tilt: float = 0.0
    width: float = 0.0
    reverb: Mapping[str, float] = field(default_factory=dict)
    doubled: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for f in fields(self):
            _check_finite(f.name, getattr(self, f.name))
        if not 0.1 <= self.seconds <= 3600:
            raise ValueError(f"seconds must be in 0.1..3600, got {self.seconds}")
        for name in ("whole_mixes", "swap", "flip", "repitch", "tilt", "width"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a probability in 0..1, got {getattr(self, name)}")
        for name in ("reverb", "doubled"):
            if not all(0 <= probability <= 1 for probability in getattr(self, name).values()):
                raise ValueError(f"{name} must hold probabilities in 0..1, got {dict(getattr(self, name))}")
        if any(share < 0 for share in self.shares.values()):
            raise ValueError(f"shares must not be negative, got {dict(self.shares)}")
        if len(self.gain) != 2 or not 0 <= self.gain[0] <= self.gain[1]:
            raise ValueError(f"gain must be two factors of at least 0, the smaller first, got {self.gain}")
        if 1 not in self.speeds or not all(0.25 <= speed <= 4 for speed in self.speeds):
            raise ValueError(f"speeds must be in 0.25..4 and include 1, got {self.speeds}")
        if not 0 <= self.shift <= 60:
            raise ValueError(f"shift must be in 0..60 s, got {self.shift}")
        if self.shuffle_groups < 0 or not 0 <= self.max_semitones <= 24 or not 0 <= self.max_tempo <= 0.5:
            raise ValueError(
                "shuffle_groups must be at least 0, max_semitones in 0..24, max_tempo in 0..0.5, "
                f"got {self.shuffle_groups}, {self.max_semitones}, {self.max_tempo}"
            )


def _check_finite(name: str, value: object) -> None:
    """Raise ValueError for infinities and NaN, which TOML can express."""
    numbers = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else [value]
    if not all(math.isfinite(number) for number in numbers if isinstance(number, float)):
        raise ValueError(f"{name} must be finite, got {value}")
