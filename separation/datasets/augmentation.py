"""Augmentations of excerpts before they are mixed, each a deterministic function of audio and parameters.

Parameters are tensors whose shape equals the leading dimensions of the audio: scalars for a single excerpt. In a
batch, every item is augmented independently of the others. Neutral values (gain 1, tilt 0,
width 1) leave an item unchanged.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "apply_gain",
    "apply_tilt",
    "impulse_response",
    "pitch_shift",
    "pitch_shift_length",
    "reverberate",
    "set_width",
    "shift_in_time",
    "shuffle_sources",
    "swap_channels",
]

FRAME, HOP, SEARCH = 2048, 1024, 512  # frame length, hop length and search radius of the time stretch, in samples
_MARGIN = 4 * FRAME  # extra samples at the end of a pitch-shifted excerpt, for overlap and search


def apply_gain(audio: Tensor, gain: Tensor) -> Tensor:
    """Scale audio (..., channels, time) by gains (...); a negative gain also inverts polarity."""
    return audio * gain[..., None, None]


def swap_channels(audio: Tensor, swapped: Tensor) -> Tensor:
    """Reverse the channels of audio (..., channels, time) where `swapped` (...) is True."""
    return torch.where(swapped[..., None, None], audio.flip(-2), audio)


def set_width(audio: Tensor, width: Tensor) -> Tensor:
    """Scale the side signal of audio (..., channels, time) by widths (...): 0 is mono, 1 changes nothing."""
    mid = audio.mean(-2, keepdim=True)
    return mid + width[..., None, None] * (audio - mid)


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
    """Convolve audio (channels, time) with an impulse response (channels, taps), cut off at the audio's length."""
    length = audio.shape[-1]
    n_fft = 1 << (length + response.shape[-1] - 1).bit_length()
    spectrum = torch.fft.rfft(audio, n_fft) * torch.fft.rfft(response.to(audio.device), n_fft)
    return torch.fft.irfft(spectrum, n_fft)[..., :length]


def shift_in_time(audio: Tensor, start: Tensor, length: int) -> Tensor:
    """Cut `length` samples from audio (..., channels, time), starting at sample `start` (...) of each source.

    Upstream's Demucs trains with shifts of up to 1 s.
    """
    indices = start[..., None, None] + torch.arange(length, device=audio.device)
    return audio.gather(-1, indices.expand(*audio.shape[:-1], length))


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
    """Return the number of input samples that :func:`pitch_shift` needs for `length` output samples."""
    return math.ceil((length + _MARGIN) * tempo)


def pitch_shift(audio: Tensor, *, semitones: float, tempo: float, length: int) -> Tensor:
    """Change pitch and tempo independently: audio (..., channels, time) becomes (..., channels, `length`).

    WSOLA stretches time, and resampling then turns part of the stretch into a change of pitch. All channels
    and sources are cut at the same positions and stay aligned.

    Raises
    ------
    ValueError
        If `audio` has fewer than :func:`pitch_shift_length` samples.

    References
    ----------
    Verhelst, Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality
    time-scale modification of speech", ICASSP 1993.
    """
    needed = pitch_shift_length(length, tempo=tempo)
    if audio.shape[-1] < needed:
        raise ValueError(f"pitch shifting to {length} samples requires {needed} samples, got {audio.shape[-1]}")
    pitch = 2 ** (semitones / 12)
    flat = audio[..., :needed].reshape(-1, needed)
    stretched = _stretch(flat, tempo / pitch)[:, : int(needed * pitch / tempo)]
    return _resample(stretched, pitch)[..., :length].reshape(*audio.shape[:-1], length)


def _stretch(rows: Tensor, rate: float) -> Tensor:
    """Stretch signals (rows, time) to play `rate` times faster at the same pitch, by WSOLA.

    Each frame is taken from the position near its nominal one where it best continues the frame before.
    """
    guide = rows.sum(0)
    n_frames = int(rows.shape[-1] / rate) // HOP + 1
    rows, guide = (F.pad(x, (FRAME, 2 * FRAME + SEARCH)) for x in (rows, guide))
    window = torch.hann_window(FRAME, device=rows.device)
    stretched = rows.new_zeros(len(rows), (n_frames + 1) * HOP + FRAME)
    position = FRAME - HOP  # the first frame starts one hop early, so that two frames overlap at every sample
    for number in range(n_frames + 1):
        if number:
            target = guide[position + HOP : position + HOP + FRAME]  # the natural continuation of the last frame
            first = max(0, FRAME - HOP + round(number * HOP * rate) - SEARCH)
            position = first + _best_match(guide[first : first + 2 * SEARCH + FRAME], target)
        start = number * HOP
        stretched[:, start : start + FRAME] += rows[:, position : position + FRAME] * window
    return stretched[:, HOP:]


def _best_match(region: Tensor, target: Tensor) -> int:
    """Return the offset in `region` with the highest normalised correlation with `target`."""
    correlation = F.conv1d(region[None, None], target[None, None])[0, 0]
    energy = F.avg_pool1d(region[None, None].square(), len(target), 1)[0, 0]
    return int((correlation / energy.clamp_min(1e-9).sqrt()).argmax())


def _resample(audio: Tensor, speed: float) -> Tensor:
    """Resample audio to play `speed` times faster, by cutting or padding its spectrum."""
    in_length = audio.shape[-1]
    out_length = round(in_length / speed)
    spectrum = torch.fft.rfft(audio)
    spectrum = F.pad(spectrum, (0, out_length // 2 + 1 - spectrum.shape[-1]))
    return torch.fft.irfft(spectrum, out_length) * (out_length / in_length)
