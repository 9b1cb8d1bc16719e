"""Inference of torchaudio's Hybrid Demucs on oneDNN's matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from separation.models.onednn import one_per_core
from separation.models.onednn_hybrid_layers import Decoder, Encoder, level

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
        """Separate mixtures (channels, time) into (sources, channels, time) each; see :func:`one_per_core`."""
        return one_per_core(self._separate, mixtures)

    def _separate(self, mixture: Tensor) -> Tensor:
        network, length = self._network, mixture.shape[-1]
        spectrum = torch.view_as_real(network._spec(mixture[None])[0])  # (channels, frequency, time, 2)
        spectrum_level, wave_level = level(spectrum), level(mixture)
        x = ((spectrum - spectrum_level[0]) / (1e-5 + spectrum_level[1])).permute(1, 2, 0, 3).flatten(2).to(self._dtype)
        wave = ((mixture - wave_level[0]) / (1e-5 + wave_level[1])).T[:, None].to(self._dtype)
        x, wave = self._forward_unet(x.contiguous(), wave.contiguous())

        wave = wave[:, 0].float() * wave_level[1] + wave_level[0]
        stems = wave.T.contiguous().view(len(network.sources), -1, length)
        parts = x.unflatten(2, (len(network.sources), -1, 2))
        # One by one: the spectrograms of all stems would dominate the memory.
        for index, stem in enumerate(stems):
            part = (parts[:, :, index].float() * spectrum_level[1] + spectrum_level[0]).permute(2, 0, 1, 3).contiguous()
            stem += network._ispec(torch.view_as_complex(part)[None], length)[0]
        return stems

    def _forward_unet(self, x: Tensor, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Run both branches, joined from the waveform's last encoder to its first decoder."""
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


def _crop_kernel(convolution: Any) -> None:
    """Remove the kernel rows that only cover padding in a layer with a single frequency."""
    centre = convolution.kernel_size[0] // 2
    convolution.weight = nn.Parameter(convolution.weight.detach()[:, :, centre : centre + 1].contiguous())
    convolution.padding = (0, convolution.padding[1])


def _is_supported(layer: Any) -> bool:
    """Return True for the outer layers, which have no LSTM, no attention and no norms outside the residual branches."""
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
            Encoder(layer, dtype) if _is_supported(layer) else _AdaptedEncoder(layer, dtype) for layer in encoder
        ]
        self.decoder: list[Any] = [
            Decoder(layer, dtype) if _is_supported(layer) else _AdaptedDecoder(layer, dtype) for layer in decoder
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
    """An encoder layer of torchaudio's, with the interface of `Encoder`."""

    def __call__(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        if inject is not None:
            inject = inject.float().flatten(0, 1).T[None]
        return self._from_torchaudio(self._layer(self._to_torchaudio(x), inject), x)


class _AdaptedDecoder(_Adapter):
    """A decoder layer of torchaudio's, with the interface of `Decoder`."""

    def __call__(self, x: Tensor, skip: Tensor | None, length: int) -> tuple[Tensor, Tensor | None]:
        output, before = self._layer(
            self._to_torchaudio(x), None if skip is None else self._to_torchaudio(skip), length
        )
        splits_branches = self._layer.freq and not self._layer.pad
        return self._from_torchaudio(output, x), self._from_torchaudio(before, x) if splits_branches else None
