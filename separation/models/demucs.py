"""Demucs v2: an encoder-decoder on the waveform with an LSTM in the middle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import julius
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["BidirectionalLSTM", "Demucs", "center_trim", "valid_length"]


def center_trim(x: Tensor, length: int) -> Tensor:
    """Return the middle `length` samples; if the excess is odd, one more sample is removed at the end."""
    excess = x.shape[-1] - length
    if excess < 0:
        raise ValueError(f"cannot trim {x.shape[-1]} samples to {length}")
    return x[..., excess // 2 : excess // 2 + length]


def valid_length(length: int, *, depth: int, resample: bool) -> int:
    """Return :meth:`Demucs.valid_length` of a network with these parameters."""
    kernel_size, stride = Demucs.kernel_size, Demucs.stride
    n = 2 * length if resample else length
    for _ in range(depth):
        n = max(1, math.ceil((n - kernel_size) / stride) + 1) + Demucs.context - 1
    for _ in range(depth):
        n = (n - 1) * stride + kernel_size
    return math.ceil(n / 2) if resample else n


class BidirectionalLSTM(nn.Module):
    """A two-layer bidirectional LSTM over (batch, channels, time), projected back to `channels`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, num_layers=2, bidirectional=True)
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, time) to the same shape."""
        hidden = self.lstm(x.permute(2, 0, 1))[0]  # (time, batch, 2 * channels)
        return self.linear(hidden).permute(1, 2, 0)


class Resampling(nn.Module):
    """Resampling by julius' ``ResampleFrac``, whose kernels are kept on the network's device.

    ``julius.resample_frac`` makes them on the CPU in every call, and a GPU waits for the copy.

    Parameters
    ----------
    old, new : int
        Sample rates of input and output, without a common divisor.
    """

    kernels: Tensor  # (new, 1, taps)

    def __init__(self, old: int, new: int) -> None:
        super().__init__()
        self.old, self.new = old, new
        kernels: Any = julius.ResampleFrac(old, new).kernel
        self.register_buffer("kernels", kernels, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, time) to (batch, channels, time * new // old)."""
        batch, channels, time = x.shape
        context = (self.kernels.shape[-1] - self.old) // 2
        x = F.pad(x.reshape(-1, 1, time), (context, context + self.old), mode="replicate")
        y = F.conv1d(x, self.kernels, stride=self.old).mT.reshape(batch, channels, -1)
        return y[..., : time * self.new // self.old]


class Demucs(nn.Module):
    """Network from the waveform of a mixture to the waveforms of its sources.

    Each of `depth` encoder layers shortens the signal four-fold by a strided
    convolution, doubles the channels and applies a gated 1x1 convolution. The
    decoder mirrors the encoder and adds the output of the corresponding layer.
    No convolution is padded, so that the output is shorter than the input;
    :meth:`valid_length` returns the input length for a given output length.
    Parameter names are upstream's, so that its state dicts load unchanged.

    Parameters
    ----------
    sources : sequence of str
        Names of the outputs, in order. Released: drums, bass, other, vocals.
    n_channels : int
        Audio channels of mixture and sources.
    channels : int
        Channels after the first encoder layer. Released: 64 and 48.
    depth : int
        Number of encoder layers.
    resample : bool
        Process the signal at twice its sample rate (v2), or at its own (v1).

    References
    ----------
    Défossez, Usunier, Bottou, Bach, "Music Source Separation in the Waveform
    Domain", arXiv:1911.13254, version 2, 2021.
    """

    kernel_size = 8
    stride = 4
    context = 3  # kernel of each decoder layer's first convolution; context=1 in the v3 code

    def __init__(
        self,
        sources: Sequence[str] = ("drums", "bass", "other", "vocals"),
        *,
        n_channels: int = 2,
        channels: int = 64,
        depth: int = 6,
        resample: bool = True,
    ) -> None:
        super().__init__()
        self.sources = tuple(sources)
        self.n_channels = n_channels
        self.depth = depth
        self.resample = resample
        self.upsampling = Resampling(1, 2) if resample else nn.Identity()
        self.downsampling = Resampling(2, 1) if resample else nn.Identity()
        self.encoder = nn.ModuleList()
        self.decoder = nn.ModuleList()
        inner = n_channels
        for layer in range(depth):
            outer, inner = inner, channels * 2**layer
            self.encoder.append(
                nn.Sequential(
                    nn.Conv1d(outer, inner, self.kernel_size, self.stride),
                    nn.ReLU(),
                    nn.Conv1d(inner, 2 * inner, 1),
                    nn.GLU(dim=1),
                )
            )
            first = layer == 0
            upsample = nn.ConvTranspose1d(
                inner, len(self.sources) * n_channels if first else outer, self.kernel_size, self.stride
            )
            decode = [nn.Conv1d(inner, 2 * inner, self.context), nn.GLU(dim=1), upsample]
            self.decoder.insert(0, nn.Sequential(*decode, *([] if first else [nn.ReLU()])))
        self.lstm = BidirectionalLSTM(inner)
        self._rescale(0.1)

    def _rescale(self, reference: float) -> None:
        """Scale every convolution's initial weights towards a standard deviation of `reference`.

        Without it the initial output is many orders of magnitude below the input (section 4.1.4 of the paper).
        """
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                scale = (module.weight.detach().std() / reference) ** 0.5
                module.weight.data /= scale
                if module.bias is not None:
                    module.bias.data /= scale

    def valid_length(self, length: int) -> int:
        """Return the number of input samples needed for at least `length` output samples."""
        return valid_length(length, depth=self.depth, resample=self.resample)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate every source.

        Parameters
        ----------
        mixture : Tensor, shape (batch, channels, time)
            Standardised waveform of at least ``valid_length(1)`` samples.

        Returns
        -------
        Tensor, shape (batch, sources, channels, shorter time)
            Estimates of the middle of the mixture.
        """
        x = self.upsampling(mixture)
        skips = []
        for encode in self.encoder:
            x = encode(x)
            skips.append(x)
        x = self.lstm(x)
        for decode in self.decoder:
            x = decode(x + center_trim(skips.pop(), x.shape[-1]))
        x = self.downsampling(x)
        return x.reshape(x.shape[0], len(self.sources), self.n_channels, x.shape[-1])
