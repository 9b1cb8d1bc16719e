"""Open-Unmix: a bidirectional LSTM that estimates the magnitude of one target."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LEGACY_KEYS", "OpenUnmix", "bins_below"]

#: Keys of released files that are not in the network's state dict; ignore them when loading.
LEGACY_KEYS = ("sample_rate", "stft.window", "transform.0.window")


def bins_below(frequency: float, *, n_fft: int, sample_rate: float) -> int:
    """Return the number of STFT bins at or below `frequency` in Hz; 1487 for 16 kHz in the released models."""
    return min(math.floor(frequency * n_fft / sample_rate) + 1, n_fft // 2 + 1)


class OpenUnmix(nn.Module):
    """Network from the magnitude spectrogram of a mixture to that of one target.

    The mixture's magnitude is standardised per bin, reduced to `hidden_size` features per frame, processed over
    time by three bidirectional LSTM layers, and expanded to a mask per channel and bin that multiplies the mixture.
    Parameter names are upstream's, so that its state dicts load unchanged.

    Parameters
    ----------
    n_bins : int
        Number of bins of input and output, ``n_fft // 2 + 1``.
    max_bin : int, optional
        Number of bins used as input (the bandwidth); all bins are estimated.
    n_channels : int
        Number of channels of the mixture, 2 in the released music models.
    hidden_size : int
        Features per frame; must be even. Released: 512, 1024 (umxl), 256 (umxse).
    n_layers : int
        Number of LSTM layers.

    Notes
    -----
    ``input_mean`` holds *minus* the mean of the training mixtures' magnitudes
    and ``input_scale`` one over their standard deviation: upstream's sign
    convention, kept because the released files follow it.

    References
    ----------
    Stöter, Uhlich, Liutkus, Mitsufuji, "Open-Unmix - A Reference Implementation
    for Music Source Separation", Journal of Open Source Software 4(41), 2019.
    """

    def __init__(
        self,
        *,
        n_bins: int = 2049,
        max_bin: int | None = None,
        n_channels: int = 2,
        hidden_size: int = 512,
        n_layers: int = 3,
    ) -> None:
        super().__init__()
        if hidden_size % 2:
            raise ValueError(f"hidden_size must be even (half for each direction), got {hidden_size}")
        if max_bin is not None and not 0 < max_bin <= n_bins:
            raise ValueError(f"max_bin must be in 1..{n_bins}, got {max_bin}")
        self.n_bins = n_bins
        self.max_bin = n_bins if max_bin is None else max_bin
        self.n_channels = n_channels
        self.hidden_size = hidden_size

        self.input_mean = nn.Parameter(torch.zeros(self.max_bin))
        self.input_scale = nn.Parameter(torch.ones(self.max_bin))
        self.output_scale = nn.Parameter(torch.ones(n_bins))
        self.output_mean = nn.Parameter(torch.ones(n_bins))
        self.fc1 = nn.Linear(self.max_bin * n_channels, hidden_size, bias=False)
        self.bn1 = nn.BatchNorm1d(hidden_size)
        self.lstm = nn.LSTM(
            hidden_size,
            hidden_size // 2,
            num_layers=n_layers,
            bidirectional=True,
            dropout=0.4 if n_layers > 1 else 0.0,
        )
        self.fc2 = nn.Linear(2 * hidden_size, hidden_size, bias=False)
        self.bn2 = nn.BatchNorm1d(hidden_size)
        self.fc3 = nn.Linear(hidden_size, n_bins * n_channels, bias=False)
        self.bn3 = nn.BatchNorm1d(n_bins * n_channels)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Estimate the target's magnitude.

        Parameters
        ----------
        magnitude : Tensor, shape (batch, channels, bins, frames)
            Non-negative magnitude of the mixture's STFT.

        Returns
        -------
        Tensor, shape (batch, channels, bins, frames)
            Non-negative magnitude of the target.
        """
        mixture = magnitude.permute(3, 0, 1, 2)  # (frames, batch, channels, bins): the LSTM runs over axis 0
        return self.decode_mask(self.recurrent(self.encode(mixture)), mixture).permute(1, 2, 3, 0)

    # The three stages of `forward`; only `recurrent` depends on other frames. Mixtures and estimates
    # are magnitudes, shape (frames, batch, channels, bins).

    def encode(self, mixture: Tensor) -> Tensor:
        """Encode each frame of the mixture as features, shape (frames, batch, hidden_size)."""
        frames, batch, channels, _ = mixture.shape
        x = (mixture[..., : self.max_bin] + self.input_mean) * self.input_scale
        x = self.bn1(self.fc1(x.reshape(frames * batch, channels * self.max_bin)))
        return torch.tanh(x).reshape(frames, batch, self.hidden_size)

    def recurrent(self, x: Tensor) -> Tensor:
        """Return the features concatenated with the BLSTM output, shape (frames, batch, 2 * hidden_size)."""
        return torch.cat([x, self.lstm(x)[0]], dim=-1)

    def decode_mask(self, x: Tensor, mixture: Tensor) -> Tensor:
        """Decode the output of :meth:`recurrent` to a mask and return the target's magnitude."""
        frames, batch, channels, bins = mixture.shape
        x = F.relu(self.bn2(self.fc2(x.reshape(frames * batch, 2 * self.hidden_size))))
        x = self.bn3(self.fc3(x)).reshape(frames, batch, channels, bins)
        return F.relu(x * self.output_scale + self.output_mean) * mixture
