"""The speed of methods and models on this machine, measured since the studio started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from separation.separators import METHODS

__all__ = ["note_results", "note_speed", "speed_of"]

LONG_ENOUGH = 5.0  # seconds of audio from which a speed is worth noting

_factors: dict[tuple[str, str | None], float] = {}


def note_speed(method: str, model: str | None, real_time_factor: float) -> None:
    """Remember a measurement, in seconds of computing per second of audio."""
    _factors[method, model or METHODS[method].default_model] = real_time_factor


def note_results(results: Iterable[Mapping[str, Any]], models: Mapping[str, str]) -> None:
    """Remember the speeds of a job, wherever it has run.

    Parameters
    ----------
    results : iterable of mapping
        Documents of :class:`separation.pipeline.result.Result`.
    models : mapping of str to str
        Method -> the model of the job's request, where it is not the default.
    """
    for result in results:
        if result["frames"] >= LONG_ENOUGH * result["sample_rate"]:
            note_speed(result["method"], models.get(result["method"]), result["real_time_factor"])


def speed_of(method: str, model: str | None = None) -> float | None:
    """Return the real-time factor of a method with a model, by default its own; None if it has not been measured."""
    return _factors.get((method, model or METHODS[method].default_model))
