"""Inference of torchaudio's Hybrid Demucs on oneDNN's matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from separation.models.onednn import ROWS, Linear, LinearGLU, blocks, split_kernel, split_transposed
from separation.workers.threads import map_threads

if TYPE_CHECKING:
    from torchaudio.models import HDemucs

__all__ = ["OneDnnHybridDemucs"]


class OneDnnHybridDemucs:
    """torchaudio's ``HDemucs`` for inference on a CPU: the same output, faster and in less memory.

    Both branches run with the channels last: the spectrogram's signals are (frequency, time, channels), the
    waveform's (time, 1, channels). The outer layers, where most of the time is spent, are matrix products in blocks
    that stay in the cache, with the group normalisation before each gate folded into the product. The innermost
    layers, which take little time except for their LSTMs, remain torchaudio's modules.

    Parameters
    ----------
    network : torchaudio.models.HDemucs
        Consumed: its outer layers are removed so that no weights are held twice.
    dtype : torch.dtype
        float32 or bfloat16, for weights and signals in the outer layers.
    """

    def __init__(self, network: HDemucs, dtype: torch.dtype = torch.float32) -> None:
        self._network = network
        self._dtype = dtype
        self._merges_branches = network.time_encoder[-1].empty
        self._spectral = _Branch(network.freq_encoder, network.freq_decoder, dtype)
        self._temporal = _Branch(network.time_encoder, network.time_decoder, dtype)
        for stack in (network.freq_encoder, network.freq_decoder, network.time_encoder, network.time_decoder):
            for index, layer in enumerate(stack):
                if _is_supported(layer):
                    stack[index] = nn.Identity()
                elif hasattr(layer, "conv_tr") and layer.freq and not layer.pad:
                    _crop_kernel(layer.rewrite)

    @torch.inference_mode()
    def __call__(self, mixtures: Sequence[Tensor]) -> list[Tensor]:
        """Separate mixtures (channels, time) into (sources, channels, time) each, one per core if there are enough."""
        if len(mixtures) < torch.get_num_threads():
            return [self._separate(mixture) for mixture in mixtures]
        return map_threads(self._separate, mixtures)

    def _separate(self, mixture: Tensor) -> Tensor:
        network, length = self._network, mixture.shape[-1]
        spectrum = torch.view_as_real(network._spec(mixture[None])[0])  # (channels, frequency, time, 2)
        level, wave_level = _level(spectrum), _level(mixture)
        x = ((spectrum - level[0]) / (1e-5 + level[1])).permute(1, 2, 0, 3).flatten(2).to(self._dtype)
        wave = ((mixture - wave_level[0]) / (1e-5 + wave_level[1])).T[:, None].to(self._dtype)
        x, wave = self._forward_unet(x.contiguous(), wave.contiguous())

        wave = wave[:, 0].float() * wave_level[1] + wave_level[0]
        stems = wave.T.contiguous().view(len(network.sources), -1, length)
        parts = x.unflatten(2, (len(network.sources), -1, 2))
        # One by one: the spectrograms of all stems would dominate the memory.
        for index, stem in enumerate(stems):
            part = (parts[:, :, index].float() * level[1] + level[0]).permute(2, 0, 1, 3).contiguous()
            stem += network._ispec(torch.view_as_complex(part)[None], length)[0]
        return stems

    def _forward_unet(self, x: Tensor, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Run both branches, which merge after the waveform's last encoder and part before its first decoder."""
        skips, wave_skips, lengths, wave_lengths = [], [], [], []
        for index, encode in enumerate(self._spectral.encoder):
            lengths.append(x.shape[1])
            inject = None
            if index < len(self._temporal.encoder):
                wave_lengths.append(len(wave))
                wave = self._temporal.encoder[index](wave)
                if self._merges_branches and index == len(self._temporal.encoder) - 1:
                    inject = wave
                else:
                    wave_skips.append(wave)
            x = encode(x, inject)
            if index == 0 and self._network.freq_emb is not None:
                x += self._network.freq_emb_scale * self._network.freq_emb.weight[:, None].to(x.dtype)
            skips.append(x)

        first_temporal = len(self._spectral.decoder) - len(self._temporal.decoder)
        x, wave = torch.zeros_like(x), torch.zeros_like(x)
        for index, decode in enumerate(self._spectral.decoder):
            x, before = decode(x, skips.pop(), lengths.pop())
            if index == first_temporal and before is not None:
                wave = self._temporal.decoder[0](before.transpose(0, 1), None, wave_lengths.pop())[0]
            elif index >= first_temporal:
                wave = self._temporal.decoder[index - first_temporal](wave, wave_skips.pop(), wave_lengths.pop())[0]
        return x, wave


def _level(signal: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation."""
    return signal.mean(), signal.std()


def _crop_kernel(convolution: Any) -> None:
    """Remove the kernel rows that only cover padding in a layer with a single frequency."""
    middle = convolution.kernel_size[0] // 2
    convolution.weight = nn.Parameter(convolution.weight.detach()[:, :, middle : middle + 1].contiguous())
    convolution.padding = (0, convolution.padding[1])


def _is_supported(layer: Any) -> bool:
    """Return True for the outer layers, without LSTM, attention or norms outside the residual branches."""
    if layer.empty or not layer.pad or layer.kernel_size != 2 * layer.stride:
        return False
    if not isinstance(layer.norm1, nn.Identity) or not isinstance(layer.norm2, nn.Identity):
        return False
    if hasattr(layer, "conv_tr"):
        return True
    return layer.rewrite.kernel_size[0] == 1 and all(len(branch) == 7 for branch in layer.dconv.layers)


class _Branch:
    """Encoder and decoder layers of the spectrogram or of the waveform."""

    def __init__(self, encoder: nn.ModuleList, decoder: nn.ModuleList, dtype: torch.dtype) -> None:
        self.encoder: list[Any] = [
            _Encoder(layer, dtype) if _is_supported(layer) else _AdaptedEncoder(layer, dtype) for layer in encoder
        ]
        self.decoder: list[Any] = [
            _Decoder(layer, dtype) if _is_supported(layer) else _AdaptedDecoder(layer, dtype) for layer in decoder
        ]


class _Adapter:
    """A layer of torchaudio's for signals with the channels last."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        self._layer, self._dtype = layer, dtype

    def _to_torchaudio(self, x: Tensor) -> Tensor:
        """Convert (frequency, time, channels) or (time, 1, channels) to (1, channels, [frequency,] time)."""
        if self._layer.freq:
            return x.float().permute(2, 0, 1)[None].contiguous()
        return x.float().flatten(0, 1).T[None].contiguous()

    def _from_torchaudio(self, x: Tensor, like: Tensor) -> Tensor:
        """Convert torchaudio's layout back to that of `like`."""
        x = x.to(self._dtype)
        if x.dim() == 4:
            return x[0].permute(1, 2, 0).contiguous()
        return x[0].T.contiguous().unsqueeze(0 if len(like) == 1 else 1)


class _AdaptedEncoder(_Adapter):
    """An encoder layer of torchaudio's, with the interface of :class:`_Encoder`."""

    def __call__(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        if inject is not None:
            inject = inject.float().flatten(0, 1).T[None]
        return self._from_torchaudio(self._layer(self._to_torchaudio(x), inject), x)


class _AdaptedDecoder(_Adapter):
    """A decoder layer of torchaudio's, with the interface of :class:`_Decoder`."""

    def __call__(self, x: Tensor, skip: Tensor | None, length: int) -> tuple[Tensor, Tensor | None]:
        output, before = self._layer(
            self._to_torchaudio(x), None if skip is None else self._to_torchaudio(skip), length
        )
        splits_branches = self._layer.freq and not self._layer.pad
        return self._from_torchaudio(output, x), self._from_torchaudio(before, x) if splits_branches else None


class _Encoder:
    """An encoder layer: strided convolution, GELU, residual branches, gated 1x1 convolution."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        self._stride, self._pad, self._is_spectral = layer.stride, layer.pad, layer.freq
        shape = layer.conv.weight.shape[:3]
        self._this, self._next = split_kernel(layer.conv.weight.view(shape), layer.conv.bias, self._stride, dtype)
        self._branches = [_Residual(branch, dtype) for branch in layer.dconv.layers]
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
        missing = -len(x) % stride
        x = F.pad(x, (0, 0, 0, 0, self._pad, self._pad + missing))
        output = x.new_empty(len(x) // stride - 1, width, self._channels)
        for start, stop in blocks(len(output), max(1, ROWS // width)):
            rows = x[stride * start : stride * (stop + 1)].unflatten(0, (-1, stride)).transpose(1, 2).flatten(2)
            output[start:stop] = F.gelu(self._next.fused_add(rows[1:], self._this(rows[:-1])))
        return output

    def _add_branches(self, x: Tensor) -> None:
        for branch in self._branches:
            branch.add_to(x)


class _Residual:
    """A residual branch: dilated convolution, norm, GELU, 1x1 convolution, norm, gated linear unit, scale.

    The input of the second norm is never computed. Its mean and variance over channels and time follow from the
    means and covariances of the few channels before the 1x1 convolution. Convolution and norm then multiply those
    channels, scaled, and two constant ones by fixed weights.
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
        covariance = hidden.transpose(1, 2) @ hidden / hidden.shape[1] - mean[:, :, None] * mean[:, None]
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


class _Decoder:
    """A decoder layer: gated convolution with context, transposed convolution, GELU except in the last."""

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

    def __call__(self, x: Tensor, skip: Tensor, length: int) -> tuple[Tensor, None]:
        """Map (length, width, channels) to (four times the length, width, fewer channels)."""
        frames, width = len(x), x.shape[1]
        output = x.new_empty(self._stride * (frames + 1), width, self._channels)
        rows = output.unflatten(0, (-1, self._stride))
        before = x.new_zeros(1, width, x.shape[2])
        for start, stop in blocks(frames + 1, max(1, ROWS // width)):  # the last row is the last frame's second half
            gated = self._apply_rewrite(x, skip, start, min(stop, frames))
            if stop > frames:
                gated = F.pad(gated, (0, 0, 0, 0, 0, 1))
            shifted = torch.cat([before, gated[:-1]])
            block = self._before.fused_add(shifted, self._this(gated)).unflatten(2, (self._stride, -1)).transpose(1, 2)
            rows[start:stop] = block if self._is_last else F.gelu(block)
            before = gated[-1:]
        stop = len(output) - self._pad if self._is_spectral else self._pad + length
        return output[self._pad : stop], None

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
