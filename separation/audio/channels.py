"""Channel conversion: down-mixing and signals with other channels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from separation.audio.signal import Signal

__all__ = ["ChannelMix", "downmix"]


class ChannelMix:
    """A signal whose channels are mixed as it is read: `mix` maps (channels, time) to the new channels."""

    def __init__(self, signal: Signal, channels: int, mix: Callable[[Tensor], Tensor]) -> None:
        self._signal, self._mix = signal, mix
        self.channels, self.frames = channels, signal.frames

    def read(self, start: int, stop: int) -> Tensor:
        return self._mix(self._signal.read(start, stop))


# Gain of each channel in left and right, in the WAVE order of speakers, after ITU-R BS.775:
# centre and surrounds at -3 dB, the low-frequency effects channel omitted.
_L, _R, _C, _LFE, _LS, _RS, _BC = (
    (1.0, 0.0),
    (0.0, 1.0),
    (0.5**0.5,) * 2,
    (0.0, 0.0),
    (0.5**0.5, 0.0),
    (0.0, 0.5**0.5),
    (0.5, 0.5),
)

_DOWNMIX = {
    3: (_L, _R, _C),
    4: (_L, _R, _LS, _RS),
    5: (_L, _R, _C, _LS, _RS),
    6: (_L, _R, _C, _LFE, _LS, _RS),
    7: (_L, _R, _C, _LFE, _BC, _LS, _RS),
    8: (_L, _R, _C, _LFE, _LS, _RS, _LS, _RS),
}


def downmix(waveform: Tensor) -> Tensor:
    """Mix more than two channels down to stereo after ITU-R BS.775; return mono and stereo unchanged.

    The channels are taken in WAVE order: 3 = L R C, 4 = L R Ls Rs, 5 = L R C Ls Rs,
    6 = 5.1 (L R C LFE Ls Rs), 7 = 6.1, 8 = 7.1. Centre and surrounds enter at -3 dB, LFE is left
    out. The sum is not scaled down: float samples may exceed full scale.
    """
    channels = waveform.shape[0]
    if channels <= 2:
        return waveform
    gains = torch.tensor(_DOWNMIX[channels], dtype=waveform.dtype, device=waveform.device)
    return gains.T @ waveform
