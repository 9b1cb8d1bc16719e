"""Inference of RoFormers on oneDNN's matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from separation.models.onednn import ROWS, Linear, LinearGLU, blocks
from separation.models.roformer import Roformer
from separation.workers.threads import map_threads

__all__ = ["OneDnnRoformer"]


class OneDnnRoformer:
    """:class:`Roformer` for inference on a CPU: the same output, faster and in less memory.

    Every core processes a band or a block of frames at a time, which fits into the cache.

    Parameters
    ----------
    network : Roformer
        Consumed: its weights are removed so that none is held twice.
    dtype : torch.dtype
        float32 or bfloat16, for the products with weights. Everything else is float32.
    """

    def __init__(self, network: Roformer, dtype: torch.dtype = torch.float32) -> None:
        parts: Any = network  # the types of its layers are not declared
        norm = parts.final_norm
        self._normalise = not isinstance(norm, nn.Identity)
        gain = norm.scale * norm.gamma if self._normalise else None
        self._widths = parts.band_split.widths
        self._split = [_NormLinear(first, linear, dtype) for first, linear in parts.band_split.to_features]
        self._layers = [[_Transformer(transformer, dtype) for transformer in pair] for pair in parts.layers]
        self._estimators = [
            [_Perceptron(layer, gain, dtype) for layer in estimator.to_freqs] for estimator in parts.mask_estimators
        ]
        del network.layers, network.band_split, network.final_norm, network.mask_estimators
        self._network = network

    @torch.inference_mode()
    def __call__(self, mixtures: Sequence[Tensor]) -> list[Tensor]:
        """Map mixtures (channels, time) to stems (stems, channels, time) each."""
        return [self._separate(mixture) for mixture in mixtures]

    def _separate(self, mixture: Tensor) -> Tensor:
        X = self._network.spectrogram(mixture[None])
        values = self._network.band_values(X)[0].split(self._widths, dim=-1)
        bands = range(len(values))
        x = torch.stack(map_threads(lambda band: self._split[band](values[band]), bands)).float()
        for along_time, along_bands in self._layers:
            # x is (bands, frames, features).
            along_time.apply(x, [(slice(band, band + 1), slice(None)) for band in bands], transpose=False)
            spans = blocks(x.shape[1], max(1, ROWS // len(bands)))
            along_bands.apply(x, [(slice(None), slice(*span)) for span in spans], transpose=True)
        if self._normalise:
            x = F.normalize(x, dim=-1)
        stems = []
        for estimator in self._estimators:
            masks = map_threads(lambda pair: pair[0](pair[1]), list(zip(estimator, x, strict=True)))
            stems.append(self._network.masked(X, torch.cat(masks, dim=-1)[None], mixture.shape[-1])[0])
        return torch.stack(stems)


class _NormLinear:
    """An RMS norm and a linear layer, whose weights absorb the gain of the norm."""

    def __init__(self, norm: Any, linear: Any, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._linear = Linear(linear.weight * (norm.scale * norm.gamma), linear.bias, dtype)

    def __call__(self, x: Tensor, activation: str = "none") -> Tensor:
        return self._linear(F.normalize(x, dim=-1).to(self._dtype), activation)


class _Transformer:
    """The layers of a transformer; :meth:`apply` runs them in place on parts of a signal."""

    def __init__(self, transformer: Any, dtype: torch.dtype) -> None:
        self._layers = [
            (_Attention(attention, dtype), _FeedForward(feed, dtype)) for attention, feed in transformer.layers
        ]
        self._freqs = transformer.layers[0][0].rotary_embed.freqs.detach()
        self._norm = None if isinstance(transformer.norm, nn.Identity) else transformer.norm

    def apply(self, x: Tensor, parts: Sequence[tuple[slice, slice]], *, transpose: bool) -> None:
        """Replace parts of x (bands, frames, features); positions are frames, or bands if `transpose`."""
        positions = torch.arange(x.shape[0 if transpose else 1], dtype=torch.float32)
        angles = positions[:, None] * self._freqs
        turn = torch.polar(torch.ones_like(angles), angles)

        def run(part: tuple[slice, slice]) -> None:
            y = x[part].transpose(0, 1).contiguous() if transpose else x[part]
            for attention, feed_forward in self._layers:
                y = y + attention(y, turn)
                y = y + feed_forward(y)
            if self._norm is not None:
                y = self._norm(y)
            x[part] = y.transpose(0, 1) if transpose else y

        map_threads(run, parts)


class _Attention:
    """Rotary attention with gated heads along the last but one axis of (rows, positions, features)."""

    def __init__(self, attention: Any, dtype: torch.dtype) -> None:
        self._heads = attention.heads
        self._norm_qkv = _NormLinear(attention.norm, attention.to_qkv, dtype)
        self._norm_gates = _NormLinear(attention.norm, attention.to_gates, dtype)
        self._out = Linear(attention.to_out[0].weight, None, dtype)

    def __call__(self, x: Tensor, turn: Tensor) -> Tensor:
        """Return the output before it is added to x; `turn` holds the rotations (positions, features of a head / 2)."""
        qkv = self._norm_qkv(x).unflatten(-1, (3, self._heads, -1))
        pairs = torch.view_as_complex(qkv[:, :, :2].float().unflatten(-1, (-1, 2)))
        q, k = torch.view_as_real(pairs * turn[:, None, None]).flatten(-2).permute(2, 0, 3, 1, 4)
        v = qkv[:, :, 2].float().transpose(1, 2)  # on CPUs, attention in bfloat16 takes longer
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self._out((y * self._norm_gates(x).sigmoid()[..., None]).flatten(-2).to(qkv.dtype))


class _FeedForward:
    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        norm, first, _, _, second = layer.net
        self._first, self._second = _NormLinear(norm, first, dtype), Linear(second.weight, second.bias, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return self._second(self._first(x, "gelu"))


class _Perceptron:
    """The mask estimator of one band; the first layer absorbs the gain of the last norm."""

    def __init__(self, layer: Any, gain: Tensor | None, dtype: torch.dtype) -> None:
        self._dtype = dtype
        first, *others = [part for part in layer[0] if isinstance(part, nn.Linear)]
        if gain is not None:
            first.weight.data *= gain
        *hidden, last = first, *others
        self._hidden = [Linear(linear.weight, linear.bias, dtype) for linear in hidden]
        self._last = LinearGLU(last.weight, last.bias, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Map features (frames, features) to a mask (frames, values)."""
        x = x.to(self._dtype)
        for linear in self._hidden:
            x = linear(x).tanh_()
        return self._last(x)
