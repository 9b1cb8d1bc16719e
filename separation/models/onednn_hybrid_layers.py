"""The layers of Hybrid Demucs and HT-Demucs on oneDNN's matrix products.

Signals have the channels last: those of the spectrogram are (frequency, time, channels), those of the waveform
(time, 1, channels).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.models.onednn import ROWS, Linear, LinearGLU, blocks, split_kernel, split_transposed

__all__ = ["Decoder", "Encoder", "level"]


def level(signal: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation."""
    return signal.mean(), signal.std()


class Encoder:
    """An encoder layer: strided convolution, GELU, residual branches, gated 1x1 convolution."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        self._stride, self._pad, self._is_spectral = layer.stride, layer.pad, layer.freq
        shape = layer.conv.weight.shape[:3]
        self._this, self._next = split_kernel(layer.conv.weight.view(shape), layer.conv.bias, self._stride, dtype)
        self._branches = _residual_branches(layer, dtype)
        self._rewrite = LinearGLU(layer.rewrite.weight.flatten(1), layer.rewrite.bias, dtype)
        self._channels = shape[0]

    def __call__(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        """Map (length, width, channels) to (a quarter of the length, width, more channels)."""
        y = self._downsample(x)
        if not self._is_spectral:
            self._add_branches(y.transpose(0, 1))
        for start, stop in blocks(len(y), max(1, ROWS // y.shape[1])):
            block = y[start:stop]
            if self._is_spectral:  # each frequency is a separate signal
                self._add_branches(block)
            block.copy_(self._rewrite(block))
        return y

    def _downsample(self, x: Tensor) -> Tensor:
        """Apply the strided convolution and GELU."""
        stride, width = self._stride, x.shape[1]
        length = -(-len(x) // stride) * stride + 2 * self._pad
        output = x.new_empty(length // stride - 1, width, self._channels)
        for start, stop in blocks(len(output), max(1, ROWS // width)):
            first, last = stride * start - self._pad, stride * (stop + 1) - self._pad
            inside = F.pad(x[max(0, first) : last], (0, 0, 0, 0, max(0, -first), max(0, last - len(x))))
            rows = inside.unflatten(0, (-1, stride)).transpose(1, 2).flatten(2)
            output[start:stop] = F.gelu(self._next.fused_add(rows[1:], self._this(rows[:-1])))
        return output

    def _add_branches(self, x: Tensor) -> None:
        for branch in self._branches:
            branch.add_to(x)


def _residual_branches(layer: Any, dtype: torch.dtype) -> list[_Residual]:
    branches = getattr(layer, "dconv", None)
    return [_Residual(branch, dtype) for branch in branches.layers] if branches else []


class _Residual:
    """A residual branch: dilated convolution, norm, GELU, 1x1 convolution, norm, gated linear unit, scale.

    The input of the second norm is not computed explicitly. Its mean and variance over channels and time follow from
    the means and covariances of the few channels before the 1x1 convolution. Convolution and norm are then one
    product of fixed weights with these channels, scaled, and two constant channels.
    """

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        squeeze, self._norm, _, widen, norm, _, scale = layer
        self._dilation = squeeze.dilation[0]
        self._taps = squeeze.kernel_size[0]
        self._squeeze = Linear(squeeze.weight.transpose(1, 2).flatten(1), squeeze.bias, dtype)
        self._weight, self._bias, self._eps = widen.weight[..., 0].detach(), widen.bias.detach(), norm.eps
        outputs = len(self._weight)
        self._products = self._weight.T @ self._weight / outputs
        columns = [self._weight, self._bias[:, None], torch.ones(outputs, 1)]
        weight = norm.weight[:, None] * torch.cat(columns, dim=1)
        gain = torch.cat([scale.scale, torch.ones_like(scale.scale)])
        self._gated = LinearGLU(gain[:, None] * weight, gain * norm.bias, dtype)

    def add_to(self, x: Tensor) -> None:
        """Add the branch to (items, time, channels) in place."""
        hidden = self._hidden(x).float()
        mean = hidden.mean(1)
        centred = (hidden - mean[:, None]).double()  # float32 sums over seconds of a waveform are 20 dB less accurate
        covariance = (centred.transpose(1, 2) @ centred / hidden.shape[1]).float()
        output_mean = F.linear(mean, self._weight, self._bias)  # over time
        variance = (covariance * self._products).sum((1, 2)) + output_mean.var(1, correction=0)
        gain = (variance + self._eps).rsqrt()[:, None]
        constants = torch.cat([gain, -gain * output_mean.mean(1, keepdim=True)], dim=1)[:, None]
        scaled = torch.cat([hidden * gain[:, None], constants.expand(-1, hidden.shape[1], -1)], dim=2).to(x.dtype)
        for start, stop in blocks(x.shape[1]):
            x[:, start:stop] += self._gated(scaled[:, start:stop])

    def _hidden(self, x: Tensor) -> Tensor:
        """Apply the dilated convolution, the first norm and GELU."""
        padding = self._dilation * (self._taps // 2)
        squeezed_blocks = []
        for start, stop in blocks(x.shape[1]):
            first, last = start - padding, stop + padding
            context = x[:, max(0, first) : last]
            context = F.pad(context, (0, 0, max(0, -first), max(0, last - x.shape[1])))
            taps = [context[:, self._dilation * tap :][:, : stop - start] for tap in range(self._taps)]
            squeezed_blocks.append(self._squeeze(torch.cat(taps, dim=2)))
        squeezed = torch.cat(squeezed_blocks, dim=1)
        normalised = F.layer_norm(squeezed, squeezed.shape[1:], eps=self._norm.eps)
        weight, bias = self._norm.weight.to(x.dtype), self._norm.bias.to(x.dtype)
        return F.gelu(torch.addcmul(bias, normalised, weight))


class Decoder:
    """A decoder layer: gated convolution with context, transposed convolution, GELU except in the last.

    Between the convolutions, HT-Demucs has residual branches.
    """

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        self._stride, self._pad, self._is_last = layer.stride, layer.pad, layer.last
        weight = layer.rewrite.weight if layer.freq else layer.rewrite.weight[..., None]
        self._kernel = weight.shape[2:]
        self._rewrite = LinearGLU(weight.permute(0, 2, 3, 1).flatten(1), layer.rewrite.bias, dtype)
        shape = layer.conv_tr.weight.shape[:3]
        transposed = layer.conv_tr.weight.view(shape)
        self._this, self._before = split_transposed(transposed, layer.conv_tr.bias, self._stride, dtype)
        self._channels = shape[1]
        self._is_spectral = layer.freq
        self._branches = _residual_branches(layer, dtype)

    def __call__(self, x: Tensor, skip: Tensor, length: int) -> tuple[Tensor, None]:
        """Map (length, width, channels) to (four times the length, width, fewer channels)."""
        frames, width = len(x), x.shape[1]
        output = x.new_empty(self._stride * (frames + 1), width, self._channels)
        rows = output.unflatten(0, (-1, self._stride))
        before = x.new_zeros(1, width, x.shape[2])
        gated_wave = self._gated_wave(x, skip) if self._branches and not self._is_spectral else None
        for start, stop in blocks(frames + 1, max(1, ROWS // width)):  # the last row is the last frame's second half
            if gated_wave is not None:
                gated = gated_wave[start:stop]
            else:
                gated = self._apply_rewrite(x, skip, start, min(stop, frames))
                for branch in self._branches if start < frames else ():  # each frequency is a separate signal
                    branch.add_to(gated)
            if stop > frames:
                gated = F.pad(gated, (0, 0, 0, 0, 0, 1))
            shifted = torch.cat([before, gated[:-1]])
            block = self._before.fused_add(shifted, self._this(gated)).unflatten(2, (self._stride, -1)).transpose(1, 2)
            rows[start:stop] = block if self._is_last else F.gelu(block)
            before = gated[-1:]
        stop = len(output) - self._pad if self._is_spectral else self._pad + length
        return output[self._pad : stop], None

    def _gated_wave(self, x: Tensor, skip: Tensor) -> Tensor:
        """Apply gated convolution and residual branches to the whole waveform, which their norms require."""
        gated = torch.empty_like(x)
        for start, stop in blocks(len(x)):
            gated[start:stop] = self._apply_rewrite(x, skip, start, stop)
        for branch in self._branches:
            branch.add_to(gated.transpose(0, 1))
        return gated

    def _apply_rewrite(self, x: Tensor, skip: Tensor, start: int, stop: int) -> Tensor:
        """Apply the gated convolution to frames `start` to `stop` of the sum of `x` and `skip`."""
        height, kernel_width = self._kernel
        first, last = start - height // 2, stop + height // 2
        inside = slice(max(0, first), last)
        side = kernel_width // 2
        context = F.pad(x[inside] + skip[inside], (0, 0, side, side, max(0, -first), max(0, last - len(x))))
        width = x.shape[1]
        taps = [context[i : i + stop - start, j : j + width] for i in range(height) for j in range(kernel_width)]
        return self._rewrite(torch.cat(taps, dim=2))
