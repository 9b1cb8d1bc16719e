"""Names and down-mix gains of the channels of a file: loudspeakers, or components of Ambisonics.

The names are FFmpeg's: FL, FR, FC (front left, right, centre), LFE, BL, BR, BC (back), SL, SR (side), FLC, FRC
(between front and centre), W and D (wide, stereo downmix), T (top). First-order Ambisonics is AMBI0 to AMBI3
(W Y Z X, SN3D) or W, X, Y, Z (Furse-Malham, W at -3 dB).
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["GAINS", "WAVE_ORDER", "known_speakers"]

_A = 0.5**0.5  # -3 dB
_LEFT, _RIGHT, _BOTH, _NONE = (1.0, 0.0), (0.0, 1.0), (_A, _A), (0.0, 0.0)
_LEFT_SURROUND, _RIGHT_SURROUND, _BACK = (_A, 0.0), (0.0, _A), (0.5, 0.5)

#: Gain of each speaker in left and right, after ITU-R BS.775: centre and surrounds at -3 dB, the low-frequency
#: effects channel omitted. Ambisonics is decoded to two virtual cardioid microphones facing left and right.
GAINS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("FL", "FLC", "WL", "DL"), _LEFT),
    **dict.fromkeys(("FR", "FRC", "WR", "DR"), _RIGHT),
    **dict.fromkeys(("SL", "BL", "SDL", "TFL", "TSL", "TBL"), _LEFT_SURROUND),
    **dict.fromkeys(("SR", "BR", "SDR", "TFR", "TSR", "TBR"), _RIGHT_SURROUND),
    **dict.fromkeys(("BC", "TC", "TFC", "TBC"), _BACK),
    **dict.fromkeys(("LFE", "LFE2", "AMBI2", "AMBI3", "X", "Z"), _NONE),
    "FC": _BOTH,
    "AMBI0": (0.5, 0.5),
    "AMBI1": (0.5, -0.5),
    "W": _BOTH,
    "Y": (0.5, -0.5),
}

#: Number of channels -> their names in the order of WAVE files, assumed for files that name none.
WAVE_ORDER: dict[int, tuple[str, ...]] = {
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


def known_speakers(names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names if all are known and different; None otherwise."""
    return tuple(names) if len(set(names)) == len(names) and all(name in GAINS for name in names) else None
