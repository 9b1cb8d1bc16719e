"""Gaps in damaged files: counted, filled with silence and reported."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from separation.audio.stream import AudioError, DamageReport

__all__ = ["Losses"]

_MOST_SILENCE = 60.0  # maximum silence inserted, in seconds: a damaged time stamp may imply years
_SHORT = 0.1  # tolerance of the length that a header announces, in seconds


class Losses:
    """Counts the parts of a file that cannot be decoded, and reports how they are replaced.

    Where time stamps show that frames are missing, silence keeps the following frames in time. Without time stamps,
    missing frames are skipped, as players do.

    Parameters
    ----------
    rate : int
        Sample rate in Hz.
    time_base : Fraction
        Unit of the file's time stamps in seconds, which is also their precision.
    damage : DamageReport
        Receives one warning, updated with every loss, since an excerpt may end at any time.
    """

    def __init__(self, rate: int, time_base: Fraction, damage: DamageReport) -> None:
        self._rate, self._damage = rate, damage
        self._line: int | None = None  # index of the warning in the report
        self._tolerance = max(1, round(2 * rate * time_base))
        self._next: int | None = None  # position of the next frame by the time stamps
        self._open = False  # whether the last packet was damaged: a gap after it is the same loss
        self._count, self._first, self._silent = 0, 0, 0

    def packet(self, position: int) -> None:
        """Count a packet, or a frame, that cannot be decoded."""
        if self._damage.strict:
            raise AudioError("its audio is cut off or damaged")
        if not self._open:
            self._first = position if not self._count else self._first
            self._count += 1
            self._tell()
        self._open = True

    def before(self, frame: Any, position: int) -> int:
        """Return the number of silent samples to insert before a frame."""
        stamp = None if frame.pts is None else round(frame.pts * frame.time_base * self._rate)
        gap = 0 if stamp is None or self._next is None else stamp - self._next
        current = self._next if stamp is None else stamp
        self._next = None if current is None else current + frame.samples
        missing = gap if gap > self._tolerance else 0
        if missing:
            self.packet(position)
            missing = max(0, min(missing, round(_MOST_SILENCE * self._rate) - self._silent))
            self._silent += missing
            self._tell()
        self._open = False
        return missing

    def skip_tag(self) -> None:
        """Skip a packet without audio, although the time stamps count it as audio."""
        self._next = None

    def _tell(self) -> None:
        """Update the warning about all losses."""
        parts = "part of the audio is" if self._count == 1 else "parts of the audio are"
        seconds = f"{self._silent / self._rate:.2f}"
        replacement = "the missing audio was skipped" if seconds == "0.00" else f"{seconds} s are silent"
        first = "" if self._count == 1 else "the first "
        if self._line is None:
            self._line = len(self._damage.warnings)
            self._damage.note("")
        self._damage.warnings[self._line] = (
            f"{self._count} {parts} damaged or missing, {first}at {self._first / self._rate:.2f} s: {replacement}"
        )

    def end(self, position: int, announced: int | None) -> None:
        """Report audio that ends earlier than the header announces."""
        if announced is not None and position < announced - _SHORT * self._rate:
            cut = "" if self._damage.warnings else "the file is cut off: "
            self._damage.add(
                f"{cut}it announces {announced / self._rate:.2f} s and holds {position / self._rate:.2f} s"
            )
