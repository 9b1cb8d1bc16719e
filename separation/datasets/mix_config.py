"""Configuration of the training mixtures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

__all__ = ["MixConfig"]


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """How training mixtures are made. The defaults are Open-Unmix's published pre-processing.

    Attributes
    ----------
    seconds : float
        Length of an excerpt.
    random_tracks : bool
        Every source from a place of its own in a track of its own, drawn with replacement; otherwise
        all sources from one place of one track.
    whole_mixes : float
        With `random_tracks`: share of items that are nevertheless one place of one track, unchanged.
    whole_from : tuple of str
        The collections that items of one place come from (in others the stems may not be at the level they
        have in the mix); empty: all.
    shares : mapping of str to float
        How often a collection is drawn from, relative to the others; empty: every recording alike.
    speeds : tuple of float
        Every recording is kept at each of these speeds, pitch going with it, and drawn at any of them.
    gain : (float, float)
        Every source is scaled by a factor drawn between the two.
    swap, flip : float
        Probabilities that a source's channels are swapped, its polarity turned.
    shift : float
        Seconds by which the sources are moved against each other at most.
    shuffle_groups : int
        Items of a batch among which each source is exchanged (Demucs's remixing); 0: not at all.
    repitch : float
        Probability that an item's pitch (by at most `max_semitones`) and tempo (by at most the share
        `max_tempo`) are changed, all sources together.
    tilt, width : float
        Probabilities that a source's spectrum is tipped (by up to ±0.5), its stereo width scaled (0 to 1.4).
    reverb : mapping of str to float
        Probability per collection, for those recorded dry, that an excerpt is put into a room
        (0.3 to 2 s long, 18 to 4 dB below the direct sound).
    doubled : mapping of str to float
        Probability per source that a second recording of it plays along.
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
            _refuse_infinite(f.name, getattr(self, f.name))
        if not 0.1 <= self.seconds <= 3600:
            raise ValueError(f"seconds must be in 0.1..3600, got {self.seconds}")
        for name in ("whole_mixes", "swap", "flip", "repitch", "tilt", "width"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, got {getattr(self, name)}")
        for name in ("reverb", "doubled"):
            if not all(0 <= share <= 1 for share in getattr(self, name).values()):
                raise ValueError(f"{name} holds probabilities, got {dict(getattr(self, name))}")
        if any(share < 0 for share in self.shares.values()):
            raise ValueError(f"shares must not be negative, got {dict(self.shares)}")
        if len(self.gain) != 2 or not 0 <= self.gain[0] <= self.gain[1]:
            raise ValueError(f"gain must be two factors, the smaller first, got {self.gain}")
        if 1 not in self.speeds or not all(0.25 <= speed <= 4 for speed in self.speeds):
            raise ValueError(f"speeds must be in 0.25..4, and 1 among them, got {self.speeds}")
        if not 0 <= self.shift <= 60:
            raise ValueError(f"shift must be in 0..60 s, got {self.shift}")
        if self.shuffle_groups < 0 or not 0 <= self.max_semitones <= 24 or not 0 <= self.max_tempo <= 0.5:
            raise ValueError(
                "shuffle_groups must be at least 0, max_semitones in 0..24, max_tempo in 0..0.5, "
                f"got {self.shuffle_groups}, {self.max_semitones}, {self.max_tempo}"
            )


def _refuse_infinite(name: str, value: object) -> None:
    """TOML knows inf and nan, training does not."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else [value]
    if not all(math.isfinite(number) for number in inner if isinstance(number, float)):
        raise ValueError(f"{name} must be finite, got {value}")
