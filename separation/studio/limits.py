"""Limits on uploads, which environment variables override."""

from __future__ import annotations

import math
import os

from separation.audio.limits import Limits

__all__ = ["LIMITS"]


def _number(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0, got {text!r}")
    return value


LIMITS = Limits(
    file_bytes=1e6 * _number("STEMSCOPE_MAX_MB", 200),
    seconds=60 * _number("STEMSCOPE_MAX_MINUTES", 30),
    channels=int(_number("STEMSCOPE_MAX_CHANNELS", 8)),
    sample_rate=_number("STEMSCOPE_MAX_HZ", 384_000),
    decoded_bytes=1e6 * _number("STEMSCOPE_MAX_DECODED_MB", 2000),
)
