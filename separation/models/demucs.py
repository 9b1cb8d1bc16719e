"""Demucs v2: an encoder-decoder on the waveform, with an LSTM between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import julius
import torch
from torch import Tensor, nn

from separation.models.packed import (
    Affine,
    Gated,
    PackedLSTM,
    Resampling,
    blocks,
    pad_rows,
    split_kernel,
    split_transposed,
)

__all__ = ["Demucs", "PackedDemucs", "center_trim", "valid_length"]


def center_trim(x: Tensor, length: int) -> Tensor:
    """Drop as many samples at the front as at the back (one more there if odd), so that `length` remain."""
    excess = x.shape[-1] - length
    if excess < 0:
        raise ValueError(f"cannot trim {x.shape[-1]} samples to {length}")
    return x[..., excess // 2 : excess // 2 + length]


def valid_length(length: int, *, depth: int, resample: bool) -> int:
    """:meth:`Demucs.valid_length` of a network of that shape."""
    kernel_size, stride = Demucs.kernel_size, Demucs.stride
    inside = 2 * length if resample else length
    for _ in range(depth):
        inside = max(1, math.ceil((inside - kernel_size) / stride) + 1) + Demucs.context - 1
    for _ in range(depth):
        inside = (inside - 1) * stride + kernel_size
    return math.ceil(inside / 2) if resample else inside


class BidirectionalLSTM(nn.Module):
    """Two LSTM layers both ways over (batch, channels, time), projected back to `channels`."""

    def __init__(self, channels: int, n_layers: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, num_layers=n_layers, bidirectional=True)
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.lstm(x.permute(2, 0, 1))[0]  # (time, batch, 2 * channels)
        return self.linear(hidden).permute(1, 2, 0)


class Demucs(nn.Module):
    """All sources' waveforms, from that of the mixture.

    Each of `depth` encoder layers shortens the signal four-fold by a strided
    convolution and doubles the channels, a gated 1x1 convolution following;
    the decoder mirrors it, adding each encoder layer's output on the way up.
    No convolution is padded: the output is shorter than the input, and
    :meth:`valid_length` says how much input an output of a given length needs.
    Parameter names are upstream's, so that its state dicts load as they are.

    Parameters
    ----------
    sources : sequence of str
        Names of what comes out, in order. Released: drums, bass, other, vocals.
    n_channels : int
        Audio channels in and out.
    channels : int
        Channels after the first encoder layer. Released: 64 and 48.
    depth : int
        Encoder layers.
    resample : bool
        Work at twice the sampling rate inside (v2), or at the given one (v1).

    References
    ----------
    Défossez, Usunier, Bottou, Bach, "Music Source Separation in the Waveform
    Domain", arXiv:1911.13254, version 2, 2021.
    """

    kernel_size = 8
    stride = 4
    context = 3  # kernel of the decoder's first convolution; the v3 code's context=1 is the same thing

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
        """Scale every convolution at birth towards a standard deviation of `reference`.

        Without it the output starts many orders of magnitude below the input
        (section 4.1.4 of the paper).
        """
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                scale = (module.weight.detach().std() / reference) ** 0.5
                module.weight.data /= scale
                if module.bias is not None:
                    module.bias.data /= scale

    def valid_length(self, length: int) -> int:
        """Samples of input needed for at least `length` samples of output."""
        return valid_length(length, depth=self.depth, resample=self.resample)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate every source.

        Parameters
        ----------
        mixture : Tensor, shape (batch, channels, time)
            Standardised waveform; `time` at least ``valid_length(1)``.

        Returns
        -------
        Tensor, shape (batch, sources, channels, shorter time)
            The middle of the mixture's span.
        """
        x = julius.resample_frac(mixture, 1, 2) if self.resample else mixture
        skips = []
        for encode in self.encoder:
            x = encode(x)
            skips.append(x)
        x = self.lstm(x)
        for decode in self.decoder:
            x = decode(x + center_trim(skips.pop(), x.shape[-1]))
        if self.resample:
            x = julius.resample_frac(x, 2, 1)
        return x.reshape(x.shape[0], len(self.sources), self.n_channels, x.shape[-1])


class PackedDemucs:
    """:class:`Demucs` for inference on a processor: the same output, sooner and in less memory.

    Several mixtures at once cost less than one by one, since the LSTM's weights are fetched once for all;
    the convolutions take them in turn. The weights are copied: the network may be forgotten.

    Parameters
    ----------
    network : Demucs
    dtype : torch.dtype
        float32 or bfloat16, of weights and signals inside.
    """

    def __init__(self, network: Demucs, dtype: torch.dtype = torch.float32) -> None:
        self._shape = (len(network.sources), network.n_channels, -1)
        self._doubled = (Resampling(1, 2), Resampling(2, 1)) if network.resample else None
        self._dtype = dtype
        self._encoder = [_PackedEncoder(layer, dtype) for layer in network.encoder]
        self._decoder = [_PackedDecoder(layer, dtype) for layer in network.decoder]
        self._lstm = PackedLSTM(network.lstm.lstm, dtype)
        self._linear = Affine(network.lstm.linear.weight, network.lstm.linear.bias, dtype)

    @torch.inference_mode()
    def __call__(self, mixtures: Sequence[Tensor]) -> list[Tensor]:
        """Estimate every source of every mixture.

        Parameters
        ----------
        mixtures : sequence of Tensor, shape (channels, time)
            As :class:`Demucs` takes them; of equal or different lengths.

        Returns
        -------
        list of Tensor, shape (sources, channels, shorter time)
        """
        skips = [self._encode(one) for one in mixtures]
        inner = self._lstm([layers[-1] for layers in skips])
        return [self._decode(self._linear(x), layers) for x, layers in zip(inner, skips, strict=True)]

    def _encode(self, mixture: Tensor) -> list[Tensor]:
        x = self._doubled[0](mixture) if self._doubled else mixture
        layers = [x.T.to(self._dtype).contiguous()]  # (time, channels) from here
        for encode in self._encoder:
            layers.append(encode(layers[-1]))
        return layers[1:]

    def _decode(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        for decode in self._decoder:
            x = decode(x, skips.pop())
        waveforms = x.T.float().contiguous()
        if self._doubled:
            waveforms = self._doubled[1](waveforms)
        return waveforms.reshape(self._shape)


class _PackedEncoder:
    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        shorten, _, rewrite, _ = layer
        self._this, self._next = split_kernel(shorten.weight, shorten.bias, Demucs.stride, dtype)
        self._gated = Gated(rewrite.weight[..., 0], rewrite.bias, dtype)
        self._channels = shorten.out_channels

    def __call__(self, x: Tensor) -> Tensor:
        """(time, channels) -> (about a quarter of the time, more channels)."""
        whole = len(x) - len(x) % Demucs.stride
        rows = x[:whole].view(-1, Demucs.stride * x.shape[1])
        shorter = x.new_empty(len(rows) - 1, self._channels)
        for start, stop in blocks(len(shorter)):
            part = self._next.plus(rows[start + 1 : stop + 1], self._this(rows[start:stop]))
            shorter[start:stop] = self._gated(part.relu_())
        return shorter


class _PackedDecoder:
    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        widen, _, lengthen, *after = layer
        self._gated = Gated(widen.weight.transpose(1, 2).flatten(1), widen.bias, dtype)
        self._this, self._before = split_transposed(lengthen.weight, lengthen.bias, Demucs.stride, dtype)
        self._channels, self._last = lengthen.out_channels, not after

    def __call__(self, x: Tensor, skip: Tensor) -> Tensor:
        """(time, channels) and at least as long -> (about four times the time, fewer channels)."""
        first, context = (len(skip) - len(x)) // 2, Demucs.context
        frames = len(x) - context + 1
        longer = x.new_empty(frames + 1, Demucs.stride * self._channels)
        for start, stop in blocks(frames + 1):  # the last row is the last frame's second half
            early, late = max(0, start - 1), min(frames, stop)
            until = late + context - 1
            wide = x[early:until] + skip[first + early : first + until]
            taps = torch.cat([wide[tap : tap + late - early] for tap in range(context)], dim=1)
            gated = pad_rows(self._gated(taps), int(start == 0), int(stop > frames))
            rows = self._before.plus(gated[:-1], self._this(gated[1:]))
            longer[start:stop] = rows if self._last else rows.relu_()
        return longer.view(-1, self._channels)
