"""The cross-domain transformer encoder of HT-Demucs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CrossTransformer"]


class CrossTransformer(nn.Module):
    """A transformer on the spectrogram's and the waveform's latent sequences.

    Layers of self-attention within each domain alternate with layers of attention to the other domain.

    Parameters
    ----------
    channels : int
        Size of the latent vectors, a multiple of four and of `heads`.
    layers, heads : int
        Number of layers per domain; number of attention heads.
    hidden_scale : float
        Size of the feed-forward layers' hidden vectors, as a multiple of `channels`.
    cross_first : bool
        Whether the first layer attends to the other domain.
    max_period, position_weight : float
        Longest period of the sinusoidal positional embeddings, in positions; their amplitude.

    References
    ----------
    Rouard, Massa, Défossez, ICASSP 2023, arXiv:2211.08553, section 2.
    """

    def __init__(
        self,
        channels: int,
        *,
        layers: int = 5,
        heads: int = 8,
        hidden_scale: float = 4.0,
        cross_first: bool = False,
        max_period: float = 10000.0,
        position_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if channels % heads or channels % 4:
            raise ValueError(f"the channels must be a multiple of 4 and of the heads, got {channels} and {heads}")
        self.norm_in, self.norm_in_t = nn.LayerNorm(channels), nn.LayerNorm(channels)
        hidden = int(channels * hidden_scale)
        crosses = [index % 2 != int(cross_first) for index in range(layers)]
        self.layers = nn.ModuleList(_Layer(channels, heads, hidden, cross=cross) for cross in crosses)
        self.layers_t = nn.ModuleList(_Layer(channels, heads, hidden, cross=cross) for cross in crosses)
        self._crosses = crosses
        self._max_period, self._position_weight = max_period, position_weight
        self._embeddings: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x: Tensor, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Transform (batch, frames, bins, channels) and (batch, time, channels) to the same shapes."""
        shape = x.shape
        x, wave = self.embedded(x).flatten(1, 2), self.embedded_wave(wave)
        for cross, layer, wave_layer in zip(self._crosses, self.layers, self.layers_t, strict=True):
            if cross:
                x, wave = layer(x, wave), wave_layer(wave, x)
            else:
                x, wave = layer(x, None), wave_layer(wave, None)
        return x.view(shape), wave

    def embedded(self, x: Tensor) -> Tensor:
        """Normalise vectors (..., frames, bins, channels) and add the positional embedding."""
        return self.norm_in(x) + self._embedding(x.shape[-3:], x)

    def embedded_wave(self, wave: Tensor) -> Tensor:
        """Normalise vectors (..., time, channels) and add the positional embedding."""
        return self.norm_in_t(wave) + self._embedding(wave.shape[-2:], wave)

    def _embedding(self, shape: torch.Size, like: Tensor) -> Tensor:
        """Return the weighted positional embedding, computed once per shape."""
        key = tuple(shape)
        if key not in self._embeddings:
            if len(self._embeddings) > 3:  # bounds the memory if inputs have many lengths
                self._embeddings.clear()
            if len(key) == 3:
                embedding = _plane_embedding(*key, max_period=self._max_period)
            else:
                embedding = _line_embedding(*key, max_period=self._max_period)
            self._embeddings[key] = self._position_weight * embedding
        return self._embeddings[key].to(like)


class _Layer(nn.Module):
    """A pre-norm transformer layer with layer scales and a final norm over channels and time."""

    def __init__(self, channels: int, heads: int, hidden: int, *, cross: bool) -> None:
        super().__init__()
        attention = _Attention(channels, heads)
        if cross:
            self.cross_attn = attention
            self.norm3 = nn.LayerNorm(channels)
        else:
            self.self_attn = attention
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.linear1, self.linear2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.norm_out = nn.GroupNorm(1, channels)
        self.gamma_1, self.gamma_2 = _Scale(channels), _Scale(channels)
        self._is_cross = cross

    def forward(self, x: Tensor, other: Tensor | None) -> Tensor:
        """Transform (batch, time, channels) with attention to itself or to `other`."""
        query = self.norm1(x)
        if self._is_cross:
            x = x + self.gamma_1(self.cross_attn(query, self.norm2(other)))
            hidden = self.norm3(x)
        else:
            x = x + self.gamma_1(self.self_attn(query, query))
            hidden = self.norm2(x)
        x = x + self.gamma_2(self.linear2(F.gelu(self.linear1(hidden))))
        normalised = F.layer_norm(x, x.shape[1:], eps=self.norm_out.eps)
        return torch.addcmul(self.norm_out.bias, normalised, self.norm_out.weight)


class _Attention(nn.Module):
    """Multi-head attention with the parameters of ``nn.MultiheadAttention``."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.heads = heads

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        channels = query.shape[-1]
        if query is key:
            parts = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            weight, bias = self.in_proj_weight, self.in_proj_bias
            queries = F.linear(query, weight[:channels], bias[:channels])
            parts = (queries, *F.linear(key, weight[channels:], bias[channels:]).chunk(2, dim=-1))
        heads = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]
        attended = F.scaled_dot_product_attention(*heads)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class _Scale(nn.Module):
    """A learned scale per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


def _line_embedding(length: int, channels: int, *, max_period: float) -> Tensor:
    """Return cosines, then sines, of the position at geometrically spaced periods; shape (length, channels)."""
    half = channels // 2
    phase = torch.arange(length)[:, None] / max_period ** (torch.arange(half) / (half - 1))
    return torch.cat([phase.cos(), phase.sin()], dim=1)


def _plane_embedding(frames: int, bins: int, channels: int, *, max_period: float) -> Tensor:
    """Return sines and cosines of the frame in the first half of the channels, of the bin in the second."""
    half = channels // 2
    frequencies = torch.exp(torch.arange(0.0, half, 2) * -(math.log(max_period) / half))

    def interleave(length: int) -> Tensor:
        phase = torch.arange(float(length))[:, None] * frequencies
        return torch.stack([phase.sin(), phase.cos()], dim=2).flatten(1)

    time = interleave(frames)[:, None].expand(-1, bins, -1)
    frequency = interleave(bins)[None].expand(frames, -1, -1)
    return torch.cat([time, frequency], dim=2)
