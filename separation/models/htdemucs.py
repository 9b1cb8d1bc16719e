"""HT-Demucs: Hybrid Demucs with a transformer across its two branches in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from separation.models.cross_transformer import CrossTransformer

__all__ = ["DecoderLayer", "EncoderLayer", "HTDemucs"]


class HTDemucs(nn.Module):
    """A network from the waveform of a mixture to the waveforms of its sources.

    Two U-Nets process the waveform and the spectrogram, whose real and imaginary parts are channels. Their outputs are
    added. The names of the parameters are those of the released files.

    Parameters
    ----------
    sources : sequence of str
    audio_channels : int
        Number of channels of the mixture.
    channels, growth : int
        Channels of the outermost layer, and their ratio from layer to layer.
    nfft : int
        Length of the STFT's frames, with a hop of a quarter of it.
    depth, kernel_size, stride : int
        Number of layers of each branch; kernel and stride of their convolutions. The kernel must be twice the stride.
    context : int
        Neighbours on each side that the gated convolutions of the decoders include.
    freq_emb, emb_scale : float
        Weight of the frequency embedding after the first layer, and a constant factor on its parameters.
    dconv_mode, dconv_depth, dconv_comp : int
        Residual branches: their place (bit 0: encoders, bit 1: decoders), their number per layer, and the ratio of
        the channels outside to those inside.
    bottom_channels : int
        Channels of the transformer; 0 for those of the innermost layer.
    t_layers, t_heads, t_hidden_scale, t_cross_first, t_max_period, t_weight_pos_embed
        See :class:`CrossTransformer`.
    segment_length : int
        Number of samples of the training segments. Shorter inputs are padded to it with zeros.

    References
    ----------
    Rouard, Massa, Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023, arXiv:2211.08553.
    """

    def __init__(
        self,
        sources: Sequence[str],
        *,
        audio_channels: int = 2,
        channels: int = 48,
        growth: int = 2,
        nfft: int = 4096,
        depth: int = 4,
        kernel_size: int = 8,
        stride: int = 4,
        context: int = 1,
        freq_emb: float = 0.2,
        emb_scale: float = 10,
        dconv_mode: int = 1,
        dconv_depth: int = 2,
        dconv_comp: int = 8,
        bottom_channels: int = 0,
        t_layers: int = 5,
        t_heads: int = 8,
        t_hidden_scale: float = 4.0,
        t_cross_first: bool = False,
        t_max_period: float = 10000.0,
        t_weight_pos_embed: float = 1.0,
        segment_length: int = 343980,
    ) -> None:
        super().__init__()
        _check_shape(nfft, depth, kernel_size, stride)
        self.sources = list(sources)
        self.nfft, self.hop_length = nfft, nfft // 4
        self.segment_length = segment_length
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.tencoder, self.tdecoder = nn.ModuleList(), nn.ModuleList()
        for index in range(depth):
            width = channels * growth**index
            for freq, encoder, decoder in (
                (True, self.encoder, self.decoder),
                (False, self.tencoder, self.tdecoder),
            ):
                outer = (2 if freq else 1) * audio_channels if index == 0 else width // growth
                residual = (dconv_depth, dconv_comp)
                branches = residual if dconv_mode & 1 else None
                encoder.append(EncoderLayer(outer, width, kernel_size, stride, freq=freq, branches=branches))
                outer *= len(self.sources) if index == 0 else 1
                branches = residual if dconv_mode & 2 else None
                layer = DecoderLayer(
                    width, outer, kernel_size, stride, context, freq=freq, branches=branches, last=index == 0
                )
                decoder.insert(0, layer)
        self.freq_emb = _FrequencyEmbedding(nfft // 2 // stride, channels, emb_scale) if freq_emb else None
        self.freq_emb_scale = freq_emb
        self.bottom_channels = bottom_channels
        if bottom_channels:
            self.channel_upsampler = nn.Conv1d(width, bottom_channels, 1)
            self.channel_downsampler = nn.Conv1d(bottom_channels, width, 1)
            self.channel_upsampler_t = nn.Conv1d(width, bottom_channels, 1)
            self.channel_downsampler_t = nn.Conv1d(bottom_channels, width, 1)
        self.crosstransformer = CrossTransformer(
            bottom_channels or width,
            layers=t_layers,
            heads=t_heads,
            hidden_scale=t_hidden_scale,
            cross_first=t_cross_first,
            max_period=t_max_period,
            position_weight=t_weight_pos_embed,
        )

    def keep_source(self, source: str) -> None:
        """Reduce the network to one of its sources, dropping the other rows of the last layers."""
        index, n_sources = self.sources.index(source), len(self.sources)
        for layer in (self.decoder[-1], self.tdecoder[-1]):
            convolution: Any = layer.conv_tr
            width = convolution.out_channels // n_sources
            rows = slice(index * width, (index + 1) * width)
            convolution.weight = nn.Parameter(convolution.weight.detach()[:, rows].clone())
            convolution.bias = nn.Parameter(convolution.bias.detach()[rows].clone())
            convolution.out_channels = width
        self.sources = [source]

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate (batch, channels, time) into (batch, sources, channels, time)."""
        length = mixture.shape[-1]
        mixture = F.pad(mixture, (0, max(0, self.segment_length - length)))
        spectrum = torch.view_as_real(self.spectrogram(mixture)).permute(0, 1, 4, 2, 3).flatten(1, 2)
        mean, std = _level(spectrum)
        wave_mean, wave_std = _level(mixture)
        x, wave = self._forward_unet((spectrum - mean) / (1e-5 + std), (mixture - wave_mean) / (1e-5 + wave_std))
        x = (x * std + mean).unflatten(1, (len(self.sources), -1, 2)).permute(0, 1, 2, 4, 5, 3)
        estimates = (wave * wave_std + wave_mean).unflatten(1, (len(self.sources), -1))
        estimates = estimates + self.waveform(torch.view_as_complex(x.contiguous()), mixture.shape[-1])
        return estimates[..., :length]

    def _forward_unet(self, x: Tensor, wave: Tensor) -> tuple[Tensor, Tensor]:
        skips, wave_skips, lengths = [], [], []
        for index, (encode, encode_wave) in enumerate(zip(self.encoder, self.tencoder, strict=True)):
            lengths.append(wave.shape[-1])
            x, wave = encode(x), encode_wave(wave)
            if index == 0 and self.freq_emb is not None:
                x = x + self.freq_emb_scale * self.freq_emb.weight.T[:, :, None]
            skips.append(x)
            wave_skips.append(wave)
        x, wave = self._forward_bottom(x, wave)
        for decode, decode_wave in zip(self.decoder, self.tdecoder, strict=True):
            x = decode(x, skips.pop(), x.shape[-1])
            wave = decode_wave(wave, wave_skips.pop(), lengths.pop())
        return x, wave

    def _forward_bottom(self, x: Tensor, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the transformer to (batch, channels, bins, frames) and (batch, channels, time)."""
        bins = x.shape[2]
        x = x.flatten(2)
        if self.bottom_channels:
            x, wave = self.channel_upsampler(x), self.channel_upsampler_t(wave)
        x, wave = self.crosstransformer(x.unflatten(2, (bins, -1)).permute(0, 3, 2, 1), wave.transpose(1, 2))
        x, wave = x.permute(0, 3, 2, 1).flatten(2), wave.transpose(1, 2)
        if self.bottom_channels:
            x, wave = self.channel_downsampler(x), self.channel_downsampler_t(wave)
        return x.unflatten(2, (bins, -1)), wave

    def spectrogram(self, x: Tensor) -> Tensor:
        """Return the STFT (..., nfft / 2, frames) with one frame per hop, without the Nyquist bin."""
        hop = self.hop_length
        n_frames = -(-x.shape[-1] // hop)
        padding = hop // 2 * 3
        after = padding + n_frames * hop - x.shape[-1]
        missing = max(0, after + 1 - x.shape[-1])  # reflection fails for inputs shorter than the padding
        x = F.pad(F.pad(x, (0, missing)), (padding, after - missing), mode="reflect")
        window = torch.hann_window(self.nfft, device=x.device)
        spectrum = torch.stft(x.flatten(0, -2), self.nfft, hop, window=window, normalized=True, return_complex=True)
        return spectrum[:, :-1, 2 : 2 + n_frames].unflatten(0, x.shape[:-1])

    def waveform(self, spectrum: Tensor, length: int) -> Tensor:
        """Return the waveforms (..., length) of spectrograms as :meth:`spectrogram` computes them."""
        hop = self.hop_length
        padding = hop // 2 * 3
        padded = F.pad(spectrum.flatten(0, -3), (2, 2, 0, 1))
        window = torch.hann_window(self.nfft, device=spectrum.device)
        total = hop * -(-length // hop) + 2 * padding
        x = torch.istft(padded, self.nfft, hop, window=window, normalized=True, length=total)
        return x[:, padding : padding + length].unflatten(0, spectrum.shape[:-2])


def _check_shape(nfft: int, depth: int, kernel_size: int, stride: int) -> None:
    if kernel_size != 2 * stride or stride % 2:
        raise ValueError(f"the kernel must be twice an even stride, got {kernel_size} and {stride}")
    if (nfft // 2) % stride**depth or nfft // 2 // stride ** (depth - 1) <= kernel_size:
        raise ValueError(f"an nfft of {nfft} is too small for a depth of {depth}")


def _level(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of each item of a batch."""
    dims = list(range(1, x.dim()))
    return x.mean(dims, keepdim=True), x.std(dims, keepdim=True)


class EncoderLayer(nn.Module):
    """An encoder layer: strided convolution, GELU, residual branches, gated 1x1 convolution."""

    norm1 = norm2 = nn.Identity()  # norms are used only in layers deeper than those of HT-Demucs

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, *, freq: bool, branches: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.freq, self.stride, self.kernel_size, self.pad = freq, stride, kernel, kernel // 4
        if freq:
            self.conv: nn.Module = nn.Conv2d(inputs, outputs, (kernel, 1), (stride, 1), (self.pad, 0))
            self.rewrite: nn.Module = nn.Conv2d(outputs, 2 * outputs, 1)
        else:
            self.conv = nn.Conv1d(inputs, outputs, kernel, stride, self.pad)
            self.rewrite = nn.Conv1d(outputs, 2 * outputs, 1)
        self.dconv = ResidualBranches(outputs, *branches) if branches else None

    def forward(self, x: Tensor) -> Tensor:
        if not self.freq:
            x = F.pad(x, (0, -x.shape[-1] % self.stride))
        y = _apply_branches(F.gelu(self.conv(x)), self.dconv)
        return F.glu(self.rewrite(y), dim=1)


class DecoderLayer(nn.Module):
    """A decoder layer: gated convolution with context, residual branches, transposed convolution, GELU."""

    norm1 = norm2 = nn.Identity()

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        context: int,
        *,
        freq: bool,
        branches: tuple[int, int] | None,
        last: bool,
    ) -> None:
        super().__init__()
        self.freq, self.stride, self.kernel_size, self.pad, self.last = freq, stride, kernel, kernel // 4, last
        if freq:
            self.conv_tr: nn.Module = nn.ConvTranspose2d(inputs, outputs, (kernel, 1), (stride, 1))
            self.rewrite: nn.Module = nn.Conv2d(inputs, 2 * inputs, 1 + 2 * context, padding=context)
        else:
            self.conv_tr = nn.ConvTranspose1d(inputs, outputs, kernel, stride)
            self.rewrite = nn.Conv1d(inputs, 2 * inputs, 1 + 2 * context, padding=context)
        self.dconv = ResidualBranches(inputs, *branches) if branches else None

    def forward(self, x: Tensor, skip: Tensor, length: int) -> Tensor:
        """Map the sum of `x` and `skip` to the outer layer; `length` is the length of the waveform there."""
        y = _apply_branches(F.glu(self.rewrite(x + skip), dim=1), self.dconv)
        z = self.conv_tr(y)
        z = z[..., self.pad : -self.pad, :] if self.freq else z[..., self.pad : self.pad + length]
        return z if self.last else F.gelu(z)


class ResidualBranches(nn.Module):
    """Residual branches of dilated convolutions along time."""

    def __init__(self, channels: int, depth: int, compression: int) -> None:
        super().__init__()
        hidden = channels // compression
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(channels, hidden, 3, dilation=2**index, padding=2**index),
                nn.GroupNorm(1, hidden),
                nn.GELU(),
                nn.Conv1d(hidden, 2 * channels, 1),
                nn.GroupNorm(1, 2 * channels),
                nn.GLU(1),
                _Scale(channels),
            )
            for index in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return x


def _apply_branches(x: Tensor, branches: nn.Module | None) -> Tensor:
    """Apply residual branches along the last axis, to each frequency of a spectrogram separately."""
    if branches is None:
        return x
    if x.dim() == 3:
        return branches(x)
    batch, _, bins, _ = x.shape
    return branches(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, bins)).transpose(1, 2)


class _Scale(nn.Module):
    """A learned scale per channel of (batch, channels, time)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), 1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale[:, None] * x


class _FrequencyEmbedding(nn.Module):
    """A learned vector per frequency, whose parameters are stored divided by a constant."""

    def __init__(self, bins: int, channels: int, scale: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(bins, channels)
        self._scale = scale

    @property
    def weight(self) -> Tensor:
        return self.embedding.weight * self._scale
