"""BS-RoFormer and Mel-Band RoFormer: rotary transformers along time and along frequency bands, with complex masks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from separation.spectral.mel import mel_edges

__all__ = ["BANDS", "Roformer", "mel_bands", "split_bands"]

#: Bins per band of the published band-split models, for an n_fft of 2048.
BANDS = (2,) * 24 + (4,) * 12 + (12,) * 8 + (24,) * 8 + (48,) * 8 + (128, 129)


def split_bands(widths: Sequence[int]) -> list[list[int]]:
    """Return the STFT bins of adjacent bands with `widths` bins each."""
    return [list(range(stop - width, stop)) for width, stop in zip(widths, accumulate(widths), strict=True)]


def mel_bands(n_bands: int, *, n_fft: int, sample_rate: int) -> list[list[int]]:
    """Return the STFT bins in each band of a mel filter bank.

    The filters are triangles on Slaney's mel scale from 0 Hz to half the sample rate, and a band holds the bins
    where its filter is positive. The first bin is added to the first band and the last one to the last band.

    Raises
    ------
    ValueError
        If a band is empty, or a bin is in no band.
    """
    edges = mel_edges(n_bands, sample_rate)
    frequencies = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    inside = (frequencies > edges[:-2, None]) & (frequencies < edges[2:, None])
    inside[0, 0] = inside[-1, -1] = True
    if not inside.any(0).all() or not inside.any(1).all():
        raise ValueError(f"{n_bands} mel bands do not cover an n_fft of {n_fft} at {sample_rate} Hz")
    return [np.flatnonzero(row).tolist() for row in inside]


class Roformer(nn.Module):
    """Network from a mixture to the waveforms of `n_stems` sources.

    The bins of each band become a vector of `dim` features. Transformers then attend along time and along bands
    in turn, and a perceptron per stem and band returns a complex mask. Where bands overlap, their masks are averaged.
    Parameter names are upstream's, so that its state dicts load unchanged.

    Parameters
    ----------
    bands : sequence of sequences of int
        STFT bins of each band. Every bin must be in at least one.
    dim, depth, heads, dim_head : int
        Features per band and frame; pairs of transformers; attention heads; features per head.
    time_depth, band_depth : int
        Layers of each transformer along time, and along bands.
    mask_layers : int
        Hidden layers of the mask estimators.
    mask_expansion : int
        Ratio of the width of the mask estimators' hidden layers to `dim`.
    norm_each : bool
        Normalise the output of each transformer, as Mel-Band RoFormer, instead of only the last, as BS-RoFormer.
    n_channels, n_stems : int
        Audio channels of the mixture, and number of estimated stems.
    n_fft, hop_length : int
        Frame length and hop of the STFT in samples.

    References
    ----------
    Lu, Wang, Kong, Hung, "Music source separation with band-split RoPE transformer", arXiv:2309.02612;
    Wang, Lu, Won, "Mel-Band RoFormer for music source separation", arXiv:2310.01809.
    """

    _index: Tensor
    _counts: Tensor

    def __init__(
        self,
        bands: Sequence[Sequence[int]],
        *,
        dim: int,
        depth: int,
        heads: int = 8,
        dim_head: int = 64,
        time_depth: int = 1,
        band_depth: int = 1,
        mask_layers: int = 1,
        mask_expansion: int = 4,
        norm_each: bool = False,
        n_channels: int = 2,
        n_stems: int = 1,
        n_fft: int = 2048,
        hop_length: int = 441,
    ) -> None:
        super().__init__()
        counts = torch.bincount(torch.tensor([index for band in bands for index in band]), minlength=n_fft // 2 + 1)
        if len(counts) != n_fft // 2 + 1 or not counts.all():
            raise ValueError(f"the bands do not cover the {n_fft // 2 + 1} bins of an n_fft of {n_fft}")
        if not 0 < hop_length <= n_fft // 2:
            raise ValueError(f"hop_length must be in 1..{n_fft // 2}, half of n_fft, got {hop_length}")
        self.n_fft, self.hop_length, self.n_channels = n_fft, hop_length, n_channels
        index = torch.tensor([i * n_channels + c for band in bands for i in band for c in range(n_channels)])
        self.register_buffer("_index", index, persistent=False)
        self.register_buffer("_counts", counts.repeat_interleave(n_channels), persistent=False)
        widths = [2 * n_channels * len(band) for band in bands]
        self.layers = nn.ModuleList(
            nn.ModuleList(
                _Transformer(dim, layers, heads, dim_head, freqs, norm_each)
                for layers, freqs in ((time_depth, time_freqs), (band_depth, band_freqs))
            )
            for time_freqs, band_freqs in [(_Rotary(dim_head), _Rotary(dim_head))]
            for _ in range(depth)
        )
        self.final_norm = nn.Identity() if norm_each else _RMSNorm(dim)
        self.band_split = _BandSplit(dim, widths)
        self.mask_estimators = nn.ModuleList(
            _MaskEstimator(dim, widths, mask_layers, dim * mask_expansion) for _ in range(n_stems)
        )

    def forward(self, mixture: Tensor) -> Tensor:
        """Map (batch, channels, time) to (batch, stems, channels, time), where time exceeds ``n_fft // 2``."""
        X = self.spectrogram(mixture)
        x = self.band_split(self.band_values(X))  # (batch, frames, bands, dim)
        for pair in self.layers:
            along_time, along_bands = cast(nn.ModuleList, pair)
            x = along_time(x.transpose(1, 2)).transpose(1, 2)
            x = along_bands(x)
        x = self.final_norm(x)
        stems = [self.masked(X, estimator(x), mixture.shape[-1]) for estimator in self.mask_estimators]
        return torch.stack(stems, dim=1)

    def spectrogram(self, mixture: Tensor) -> Tensor:
        """Return the STFT (batch, bins * channels, frames) of (batch, channels, time), channels innermost."""
        window = torch.hann_window(self.n_fft, device=mixture.device)
        X = torch.stft(mixture.flatten(0, 1), self.n_fft, self.hop_length, window=window, return_complex=True)
        return X.unflatten(0, mixture.shape[:2]).transpose(1, 2).flatten(1, 2)

    def band_values(self, X: Tensor) -> Tensor:
        """Return real and imaginary parts of all bands, concatenated, shape (batch, frames, values)."""
        return torch.view_as_real(X[:, self._index]).transpose(1, 2).flatten(2)

    def masked(self, X: Tensor, mask: Tensor, length: int) -> Tensor:
        """Return the waveform (batch, channels, length) of an STFT times the mask (batch, frames, values)."""
        values = torch.view_as_complex(mask.float().unflatten(-1, (-1, 2))).transpose(1, 2)
        total = torch.zeros_like(X).index_add_(1, self._index, values)
        Y = (X * (total / self._counts[:, None])).unflatten(1, (-1, self.n_channels)).transpose(1, 2)
        window = torch.hann_window(self.n_fft, device=X.device)
        y = torch.istft(Y.flatten(0, 1), self.n_fft, self.hop_length, window=window, length=length)
        return y.unflatten(0, (-1, self.n_channels))


class _RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = dim**0.5
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1) * self.scale * self.gamma


class _Rotary(nn.Module):
    """Rotary embedding: pairs of adjacent features are rotated by an angle proportional to the position."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.freqs = nn.Parameter(10000.0 ** (-torch.arange(0, dim, 2) / dim))

    def forward(self, x: Tensor) -> Tensor:
        """Rotate queries or keys (batch, heads, positions, features)."""
        angles = torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)[:, None] * self.freqs.float()
        cos, sin = angles.cos(), angles.sin()
        even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2).to(x.dtype)


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int, dim_head: int, rotary: _Rotary) -> None:
        super().__init__()
        self.heads = heads
        self.rotary_embed = rotary
        self.norm = _RMSNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.to_gates = nn.Linear(dim, heads)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        q, k, v = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(self.rotary_embed(q), self.rotary_embed(k), v).transpose(1, 2)
        return self.to_out((y * self.to_gates(x).sigmoid()[..., None]).flatten(-2))


class _FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        # The identity replaces upstream's dropout, so that the parameter names agree.
        self.net = nn.Sequential(
            _RMSNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Identity(), nn.Linear(4 * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class _Transformer(nn.Module):
    """Attention and feed-forward layers along the last but one axis of (batch, rows, positions, features)."""

    def __init__(self, dim: int, depth: int, heads: int, dim_head: int, rotary: _Rotary, norm: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([_Attention(dim, heads, dim_head, rotary), _FeedForward(dim)]) for _ in range(depth)
        )
        self.norm = _RMSNorm(dim) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(0, 1)
        for layer in self.layers:
            attention, feed_forward = cast(nn.ModuleList, layer)
            y = attention(y) + y
            y = feed_forward(y) + y
        return self.norm(y).unflatten(0, x.shape[:2])


class _BandSplit(nn.Module):
    def __init__(self, dim: int, widths: list[int]) -> None:
        super().__init__()
        self.widths = widths
        self.to_features = nn.ModuleList(nn.Sequential(_RMSNorm(width), nn.Linear(width, dim)) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(self.to_features, x.split(self.widths, dim=-1), strict=True)
        return torch.stack([layer(part) for layer, part in parts], dim=-2)


class _MaskEstimator(nn.Module):
    def __init__(self, dim: int, widths: list[int], hidden_layers: int, hidden: int) -> None:
        super().__init__()
        self.to_freqs = nn.ModuleList(
            nn.Sequential(_perceptron([dim] + [hidden] * hidden_layers + [2 * width]), nn.GLU()) for width in widths
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([layer(part) for layer, part in zip(self.to_freqs, x.unbind(-2), strict=True)], dim=-1)


def _perceptron(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size, next_size in pairwise(sizes):
        layers += [nn.Linear(size, next_size), nn.Tanh()]
    return nn.Sequential(*layers[:-1])
