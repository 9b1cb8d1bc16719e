"""Limits for visitors, which environment variables override."""

from __future__ import annotations

import math
import os

from separation.audio.limits import Limits

__all__ = ["LIMITS", "may_manage_models"]


def _number(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0, got {text!r}")
    return value


def may_manage_models() -> bool:
    """Return whether visitors may download weights and measure speeds: not on a Hugging Face Space, by default."""
    text = os.environ.get("STEMSCOPE_MANAGE_MODELS", "").strip() or ("0" if "SPACE_ID" in os.environ else "1")
    if text not in ("0", "1"):
        raise ValueError(f"STEMSCOPE_MANAGE_MODELS must be 0 or 1, got {text!r}")
    return text == "1"


LIMITS = Limits(
    file_bytes=1e6 * _number("STEMSCOPE_MAX_MB", 200),
    seconds=60 * _number("STEMSCOPE_MAX_MINUTES", 30),
    channels=int(_number("STEMSCOPE_MAX_CHANNELS", 8)),
    sample_rate=_number("STEMSCOPE_MAX_HZ", 384_000),
    decoded_bytes=1e6 * _number("STEMSCOPE_MAX_DECODED_MB", 2000),
)
