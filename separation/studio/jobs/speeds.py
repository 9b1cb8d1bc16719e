"""The speed of methods and models on this machine, measured since the studio started."""

from __future__ import annotations

from separation.separators import METHODS

__all__ = ["note_speed", "speed_of"]

_factors: dict[tuple[str, str | None], float] = {}


def note_speed(method: str, model: str | None, real_time_factor: float) -> None:
    """Remember a measurement, in seconds of computing per second of audio."""
    _factors[method, model or METHODS[method].default_model] = real_time_factor


def speed_of(method: str, model: str | None = None) -> float | None:
    """Return the real-time factor of a method with a model, by default its own; None if it has not been measured."""
    return _factors.get((method, model or METHODS[method].default_model))
