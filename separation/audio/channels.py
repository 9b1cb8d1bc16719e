"""Channel conversion: down-mixing, and signals whose channels are mixed as they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from separation.audio.signal import Signal
from separation.audio.speakers import GAINS, WAVE_ORDER

__all__ = ["ChannelMix", "downmix"]


class ChannelMix:
    """A signal whose channels are mixed as it is read: `mix` maps (channels, time) to the new channels."""

    def __init__(self, signal: Signal, channels: int, mix: Callable[[Tensor], Tensor]) -> None:
        self._signal, self._mix = signal, mix
        self.channels, self.frames = channels, signal.frames

    def read(self, start: int, stop: int) -> Tensor:
        """Return samples `start` to `stop` of the mixed channels, shape (channels, stop - start)."""
        return self._mix(self._signal.read(start, stop))


def downmix(waveform: Tensor, speakers: Sequence[str] | None = None) -> Tensor:
    """Mix more than two channels down to stereo after ITU-R BS.775; return mono and stereo unchanged.

    Centre and surrounds enter at -3 dB, LFE is left out. The sum is not scaled down: float samples may exceed full
    scale.

    Parameters
    ----------
    waveform : Tensor, shape (channels, time)
        1 to 8 channels.
    speakers : sequence of str, optional
        Name of each channel; see :mod:`separation.audio.speakers`. The default is WAVE order:
        3 = L R C, 4 = L R Ls Rs, 5 = L R C Ls Rs, 6 = 5.1 (L R C LFE Ls Rs), 7 = 6.1, 8 = 7.1.

    Returns
    -------
    Tensor, shape (1 or 2, time)

    Examples
    --------
    >>> centre = torch.tensor([[0.0], [0.0], [1.0]])
    >>> downmix(centre)
    tensor([[0.7071],
            [0.7071]])
    """
    channels = waveform.shape[0]
    if channels <= 2:
        return waveform
    names = WAVE_ORDER[channels] if speakers is None else speakers
    gains = torch.tensor([GAINS[name] for name in names], dtype=waveform.dtype, device=waveform.device)
    return gains.T @ waveform
