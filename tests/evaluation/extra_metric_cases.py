"""The signals whose extra metrics are stored in ``tests/golden/extra_metrics.json``."""

from __future__ import annotations

import numpy as np
import soundfile

from tests.conftest import SAMPLES

RATE = 44100


def cases() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return name -> reference, estimate and mixture, each of shape (2, time), float32."""
    first, second = (
        soundfile.read(SAMPLES / name / "mixture.flac", start=4 * RATE, frames=3 * RATE, dtype="float32")[0].T
        for name in ("night-drive", "paper-boats")
    )
    mixture, silence = first + second, np.zeros_like(first)
    dull = np.float32(0.5) * first + np.float32(0.5) * np.roll(first, 1, axis=-1)
    return {
        "leaky": (first, np.float32(0.8) * dull + np.float32(0.15) * second, mixture),
        "dull": (first, dull, mixture),
        "mixture": (second, mixture, mixture),
        "quiet": (np.float32(1e-3) * first, np.float32(1e-3) * dull, mixture),
        "perfect": (first, first.copy(), mixture),
        "silent reference": (silence, np.float32(0.1) * second, mixture),
        "silent estimate": (first, silence, mixture),
        "silent": (silence, silence, mixture),
    }
