"""Augmentations of excerpts before they are mixed, each a deterministic function of audio and parameters.

Parameters are tensors whose shape equals the leading dimensions of the audio: scalars for a single excerpt. In a
batch, every item is augmented independently of the others, and all of them by the same few operations. Neutral values
(gain 1, tilt 0, width 1) leave an item unchanged. Nothing waits for the audio's device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.datasets.excerpts import to_device

__all__ = [
    "apply_matrix",
    "apply_tilt",
    "channel_matrix",
    "impulse_response",
    "pitch_shift_batch",
    "pitch_shift_length",
    "reverberate",
    "shift_in_time",
    "shuffle_sources",
]

FRAME, HOP, SEARCH = 2048, 1024, 512  # frame length, hop length and search radius of the time stretch, in samples
_MARGIN = 4 * FRAME  # extra samples at the end of a pitch-shifted excerpt, for overlap and search


def channel_matrix(gain: Tensor, width: Tensor, swapped: Tensor, *, channels: int) -> Tensor:
    """Return the matrix that applies gain, stereo width and exchange of channels to audio (..., channels, time).

    Parameters
    ----------
    gain : Tensor, shape (...)
        Factor; a negative one also inverts polarity.
    width : Tensor, shape (...)
        Factor of the side signal, the difference from the mean of the channels: 0 is mono, 1 changes nothing.
    swapped : Tensor, shape (...), bool
        Whether to reverse the order of the channels.

    Returns
    -------
    Tensor, shape (..., channels, channels)
        To be multiplied with the audio from the left.
    """
    width = width[..., None, None]
    matrix = width * torch.eye(channels) + (1 - width) / channels
    return gain[..., None, None] * torch.where(swapped[..., None, None], matrix.flip(-2), matrix)


def apply_matrix(matrix: Tensor, audio: Tensor, *, out: Tensor) -> None:
    """Write the product of matrices (..., channels, channels) and audio (..., channels, time) to `out`.

    On a CPU, sums of products of rows take a third of the time of a product of matrices this small.
    """
    if audio.device.type != "cpu":
        torch.matmul(matrix, audio, out=out)
        return
    for row in range(audio.shape[-2]):
        torch.mul(audio[..., 0, :], matrix[..., row, 0, None], out=out[..., row, :])
        for column in range(1, audio.shape[-2]):
            out[..., row, :].addcmul_(audio[..., column, :], matrix[..., row, column, None])


def apply_tilt(audio: Tensor, tilt: Tensor) -> Tensor:
    """Tilt the spectrum with the filter ``y[n] = (x[n] + tilt x[n-1]) / sqrt(1 + tilt²)``, tilt in (-1, 1).

    Negative values attenuate low frequencies, positive ones high frequencies. At -0.5, the lowest
    frequencies lose 7 dB and the highest gain 2.5 dB.
    """
    tilt = tilt[..., None, None]
    scale = 1 / torch.sqrt(1 + tilt**2)
    tilted = scale * audio
    tilted[..., 1:].addcmul_(scale * tilt, audio[..., :-1])
    return tilted


def impulse_response(decay: float, level: float, seed: int, *, channels: int, sample_rate: int) -> Tensor:
    """Return the impulse response of a room: the direct sound, and noise that decays exponentially.

    Parameters
    ----------
    decay : float
        Time in seconds within which the noise falls by 60 dB.
    level : float
        Energy of the noise relative to the direct sound in dB.
    seed : int
        Seed of the noise, which differs between the channels.

    Returns
    -------
    Tensor, shape (channels, round(decay * sample_rate))
    """
    num_samples = max(2, round(decay * sample_rate))
    noise = torch.randn(channels, num_samples, generator=torch.Generator().manual_seed(seed))
    noise *= torch.exp(math.log(1e-3) * torch.arange(num_samples) / num_samples)
    noise[:, 0] = 0
    noise *= 10 ** (level / 20) / noise.square().sum(-1, keepdim=True).sqrt()
    noise[:, 0] = 1
    return noise


def reverberate(audio: Tensor, response: Tensor) -> Tensor:
    """Convolve audio (..., channels, time) with impulse responses (..., channels, taps), cut off at its length."""
    length = audio.shape[-1]
    n_fft = 1 << (length + response.shape[-1] - 1).bit_length()
    spectrum = torch.fft.rfft(audio, n_fft) * torch.fft.rfft(response, n_fft)
    return torch.fft.irfft(spectrum, n_fft)[..., :length]


def shift_in_time(audio: Tensor, start: Tensor, length: int) -> Tensor:
    """Cut `length` samples from audio (..., channels, time), starting at sample `start` (...) of each source.

    Upstream's Demucs trains with shifts of up to 1 s.
    """
    rows = audio.reshape(-1, *audio.shape[-2:])
    windows = rows.unfold(-1, length, 1).transpose(1, 2)  # a view, (rows, positions, channels, length)
    cut = windows[torch.arange(len(rows), device=audio.device), start.reshape(-1)]
    return cut.reshape(*audio.shape[:-1], length)


def shuffle_sources(sources: Tensor, order: Tensor) -> Tensor:
    """Exchange each source among the items of a batch, as in Demucs's remixing.

    Parameters
    ----------
    sources : Tensor, shape (batch, sources, channels, time)
    order : Tensor, shape (batch, sources), int64
        The item from which each source is taken; every column is a permutation of the items.
    """
    return sources.gather(0, order[..., None, None].expand_as(sources))


def pitch_shift_length(length: int, *, tempo: float) -> int:
    """Return the number of input samples that :func:`pitch_shift_batch` needs for `length` output samples."""
    return math.ceil((length + _MARGIN) * tempo)


def pitch_shift_batch(audio: Tensor, *, semitones: Tensor, tempo: Tensor, length: int) -> Tensor:
    """Change pitch and tempo of every item of a batch, independently of each other.

    WSOLA stretches time, and resampling then turns part of the stretch into a change of pitch. All rows of an item
    are cut at the same positions and stay aligned.

    Parameters
    ----------
    audio : Tensor, shape (items, rows, time)
        As many samples as the item with the fastest tempo needs; those that an item does not need are ignored.
    semitones, tempo : Tensor, shape (items,)
        On the CPU.

    Returns
    -------
    Tensor, shape (items, rows, `length`)

    References
    ----------
    Verhelst, Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality
    time-scale modification of speech", ICASSP 1993.
    """
    needed = torch.tensor([pitch_shift_length(length, tempo=value) for value in tempo.tolist()])
    n_samples = int(needed.max())
    ignored = torch.arange(n_samples, device=audio.device) >= to_device(needed, audio.device)[:, None, None]
    audio = audio[..., :n_samples].masked_fill(ignored, 0)
    stretched = _stretch(audio, tempo.double() / 2 ** (semitones.double() / 12), needed)
    shifted = audio.new_empty(*audio.shape[:-1], length)
    for value in semitones.unique().tolist():
        items = to_device((semitones == value).nonzero()[:, 0], audio.device)
        in_length = round((length + _MARGIN) * 2 ** (value / 12))
        shifted[items] = _resample(stretched[items, :, :in_length], length + _MARGIN)[..., :length]
    return shifted


def _stretch(audio: Tensor, rate: Tensor, needed: Tensor) -> Tensor:
    """Stretch the items of audio (items, rows, time) to play `rate` (items,) times faster at the same pitch, by WSOLA.

    Each frame is taken from the position near its nominal one where it best continues the frame before. The positions
    of an item maximise the normalised correlation of the sum of its rows. `needed` (items,) is the length of the items.
    """
    n_frames = int((needed / rate).long().max()) // HOP + 1
    audio = F.pad(audio, (FRAME, 2 * FRAME + SEARCH))
    guide = audio.sum(1)
    firsts = (torch.arange(n_frames + 1) * HOP * rate[:, None]).round().long() + (FRAME - HOP - SEARCH)
    firsts.clamp_(0, guide.shape[-1] - FRAME - HOP - 2 * SEARCH)  # frames after the end of an item are discarded
    positions = _best_positions(guide, to_device(firsts, audio.device))
    item = torch.arange(len(audio), device=audio.device)[:, None]
    frames = audio.unfold(-1, FRAME, 1).transpose(1, 2)[item, positions]  # (items, frames, rows, FRAME)
    frames *= torch.hann_window(FRAME, device=audio.device)
    # The first frame starts one hop early, so that two frames overlap at every sample.
    stretched = frames[:, 1:, :, :HOP] + frames[:, :-1, :, HOP:]
    return stretched.transpose(1, 2).reshape(*audio.shape[:2], -1)


def _best_positions(guide: Tensor, firsts: Tensor) -> Tensor:
    """Return the position of every frame in signals (items, time), at most 2 SEARCH after `firsts` (items, frames)."""
    n_fft = 2 * FRAME  # circular correlation of FRAME with FRAME + 2 SEARCH samples does not wrap around at these lags
    item = torch.arange(len(guide), device=guide.device)
    regions = guide.unfold(-1, FRAME + 2 * SEARCH, 1)[item[:, None], firsts]
    energy = F.pad(regions.double().square().cumsum(-1), (1, 0))
    energy = (energy[..., FRAME:] - energy[..., :-FRAME]) / FRAME
    scale = energy.clamp_min(1e-9).rsqrt().float()
    spectra = torch.fft.rfft(regions, n_fft)
    windows = guide.unfold(-1, FRAME, 1)
    position = torch.full_like(item, FRAME - HOP)
    positions = [position]
    for number in range(1, firsts.shape[1]):
        target = windows[item, position + HOP]  # the natural continuation of the last frame
        spectrum = spectra[:, number] * torch.fft.rfft(target, n_fft).conj()
        correlation = torch.fft.irfft(spectrum, n_fft)[:, : 2 * SEARCH + 1] * scale[:, number]
        position = firsts[:, number] + correlation.argmax(-1)
        positions.append(position)
    return torch.stack(positions, 1)


def _resample(audio: Tensor, out_length: int) -> Tensor:
    """Resample audio (..., time) to another length, by cutting or padding its spectrum."""
    spectrum = torch.fft.rfft(audio)
    spectrum = F.pad(spectrum, (0, out_length // 2 + 1 - spectrum.shape[-1]))
    return torch.fft.irfft(spectrum, out_length) * (out_length / audio.shape[-1])
