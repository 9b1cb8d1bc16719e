"""Slaney's mel scale: linear up to 1 kHz, which is 15 mel, and logarithmic above, where 27 mel are a factor of 6.4.

References
----------
Slaney, "Auditory Toolbox", 1998.
"""

from __future__ import annotations

import numpy as np

__all__ = ["mel_edges"]

_KNEE = 1000.0  # Hz
_MEL_PER_HZ = 3 / 200  # below the knee
_STEP = np.log(6.4) / 27  # of the logarithm per mel above the knee


def mel_edges(count: int, rate: float) -> np.ndarray:
    """Return the edges in Hz of triangular filters, evenly spaced in mel from 0 Hz to half the sample rate.

    Parameters
    ----------
    count : int
        Number of filters. Filter k rises from edge k to edge k + 1 and falls to edge k + 2.
    rate : float
        Sample rate in Hz.

    Returns
    -------
    array, shape (count + 2,)
    """
    knee, highest = _KNEE * _MEL_PER_HZ, rate / 2
    top = highest * _MEL_PER_HZ if highest < _KNEE else knee + np.log(highest / _KNEE) / _STEP
    mels = np.linspace(0, top, count + 2)
    return np.where(mels < knee, mels / _MEL_PER_HZ, _KNEE * np.exp(_STEP * (mels - knee)))
