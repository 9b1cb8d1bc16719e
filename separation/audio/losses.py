"""What is lost of a damaged file while it is decoded."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from separation.audio.stream import AudioError, DamageReport

__all__ = ["Losses"]

_MOST_SILENCE = 60.0  # seconds put in for what is lost: a damaged time stamp may ask for years
_SHORT = 0.1  # seconds by which a header that announces the length may be wrong


class Losses:
    """What is lost on the way, and what it is replaced with.

    Time stamps show where frames are missing: silence keeps what follows at its time. What has no time stamps is
    skipped, as players do.

    Parameters
    ----------
    rate : int
        Sample rate in Hz.
    time_base : Fraction
        Seconds that a time stamp of the file counts; they are as exact as that.
    damage : DamageReport
        Gets a line, which is kept up to date, since an excerpt may end at any time.
    """

    def __init__(self, rate: int, time_base: Fraction, damage: DamageReport) -> None:
        self._rate, self._damage = rate, damage
        self._line: int | None = None  # of the report
        self._tolerance = max(1, round(2 * rate * time_base))
        self._next: int | None = None  # where the next frame belongs, by the time stamps
        self._open = False  # whether a packet was just found damaged: a gap after it is no other loss
        self._count, self._first, self._silent = 0, 0, 0

    def packet(self, position: int) -> None:
        """Count a packet, or a frame, that cannot be decoded."""
        if self._damage.strict:
            raise AudioError("its sound is cut off or damaged")
        if not self._open:
            self._first = position if not self._count else self._first
            self._count += 1
            self._tell()
        self._open = True

    def before(self, frame: Any, position: int) -> int:
        """Return the number of silent samples that go before a frame."""
        stamp = None if frame.pts is None else round(frame.pts * frame.time_base * self._rate)
        gap = 0 if stamp is None or self._next is None else stamp - self._next
        here = self._next if stamp is None else stamp
        self._next = None if here is None else here + frame.samples
        missing = gap if gap > self._tolerance else 0
        if missing:
            self.packet(position)
            missing = max(0, min(missing, round(_MOST_SILENCE * self._rate) - self._silent))
            self._silent += missing
            self._tell()
        self._open = False
        return missing

    def skip_tag(self) -> None:
        """Pass over a packet without sound, which the time stamps count as sound."""
        self._next = None

    def _tell(self) -> None:
        """Keep the report's line on all losses up to date."""
        parts = "part of the sound is" if self._count == 1 else "parts of the sound are"
        seconds = f"{self._silent / self._rate:.2f}"
        came = "what is lost was skipped" if seconds == "0.00" else f"{seconds} s are silent"
        first = "" if self._count == 1 else "the first "
        if self._line is None:
            self._line = len(self._damage.warnings)
            self._damage.note("")
        self._damage.warnings[self._line] = (
            f"{self._count} {parts} damaged or missing, {first}at {self._first / self._rate:.2f} s: {came}"
        )

    def end(self, position: int, announced: int | None) -> None:
        """Report that the sound ends before it should."""
        if announced is not None and position < announced - _SHORT * self._rate:
            cut = "" if self._damage.warnings else "the file is cut off: "
            self._damage.add(f"{cut}it announces {announced} samples and holds {position}")
