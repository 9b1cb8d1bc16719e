"""What is done to excerpts before they are mixed: each step one function of the sound and its parameters.

Nothing here draws anything. Parameters come as tensors whose shape is the leading part of the
sound's: one excerpt takes scalars, and a batch is changed item by item as each would be alone. The
neutral value of each (gain 1, tilt 0, width 1, ...) leaves an item as it is.
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

FRAME, HOP, SEARCH = 2048, 1024, 512  # samples, of the time stretch
_MARGIN = 4 * FRAME  # samples at the end of a repitched excerpt that are not its own


def apply_gain(sound: Tensor, gain: Tensor) -> Tensor:
    """Scale; a negative gain turns the polarity as well. (..., channels, time), (...) -> (..., channels, time)."""
    return sound * gain[..., None, None]


def swap_channels(sound: Tensor, swapped: Tensor) -> Tensor:
    """Left for right where `swapped` is True. (..., channels, time), (...) -> (..., channels, time)."""
    return torch.where(swapped[..., None, None], sound.flip(-2), sound)


def set_width(sound: Tensor, width: Tensor) -> Tensor:
    """Scale what differs between the channels: 0 is mono, 1 changes nothing. (..., channels, time), (...)."""
    centre = sound.mean(-2, keepdim=True)
    return centre + width[..., None, None] * (sound - centre)


def apply_tilt(sound: Tensor, tilt: Tensor) -> Tensor:
    """Tip the spectrum: ``y[n] = (x[n] + tilt x[n-1]) / sqrt(1 + tilt²)``, tilt in (-1, 1).

    Negative values thin out the low end, positive ones the high end; at -0.5 the low end loses 7 dB and
    the very top gains 2.5.
    """
    tilt = tilt[..., None, None]
    share = 1 / torch.sqrt(1 + tilt**2)
    tipped = share * sound
    tipped[..., 1:].addcmul_(share * tilt, sound[..., :-1])
    return tipped


def impulse_response(decay: float, level: float, seed: int, *, channels: int, sample_rate: int) -> Tensor:
    """A room: the direct sound, and noise that falls by 60 dB within `decay` seconds.

    Parameters
    ----------
    level : float
        Energy of the noise relative to the direct sound, dB.
    seed : int
        Of the noise, which differs between the channels.

    Returns
    -------
    Tensor, shape (channels, round(decay * sample_rate))
    """
    frames = max(2, round(decay * sample_rate))
    noise = torch.randn(channels, frames, generator=torch.Generator().manual_seed(seed))
    noise *= torch.exp(math.log(1e-3) * torch.arange(frames) / frames)
    noise[:, 0] = 0
    noise *= 10 ** (level / 20) / noise.square().sum(-1, keepdim=True).sqrt()
    noise[:, 0] = 1
    return noise


def reverberate(sound: Tensor, response: Tensor) -> Tensor:
    """Put a sound into a room, the tail cut off: (channels, time), (channels, frames) -> (channels, time)."""
    length = sound.shape[-1]
    points = 1 << (length + response.shape[-1] - 1).bit_length()
    spectrum = torch.fft.rfft(sound, points) * torch.fft.rfft(response.to(sound.device), points)
    return torch.fft.irfft(spectrum, points)[..., :length]


def shift_in_time(sound: Tensor, start: Tensor, length: int) -> Tensor:
    """Cut `length` samples, from a place of its own for every source: (..., channels, time) -> (..., channels, length).

    `start` (...) counts samples from the beginning; upstream's Demucs trains with up to 1 s.
    """
    places = start[..., None, None] + torch.arange(length, device=sound.device)
    return sound.gather(-1, places.expand(*sound.shape[:-1], length))


def shuffle_sources(sources: Tensor, order: Tensor) -> Tensor:
    """Exchange each source among the items of a batch: remixing.

    Shape
    -----
    sources : (batch, sources, channels, time)
    order : (batch, sources), int64
        The item from which that source is taken; every column is a permutation of the items.
    """
    return sources.gather(0, order[..., None, None].expand_as(sources))


def pitch_shift_length(length: int, *, tempo: float) -> int:
    """How many samples :func:`pitch_shift` must be given to return `length`."""
    return math.ceil((length + _MARGIN) * tempo)


def pitch_shift(sound: Tensor, *, semitones: float, tempo: float, length: int) -> Tensor:
    """Change pitch and tempo, each without the other: (..., channels, time) -> (..., channels, `length`).

    Time is stretched by WSOLA, and resampling turns part of the stretch into pitch; all channels and
    sources of `sound` are cut at the same places and stay in step.

    Raises
    ------
    ValueError
        If there are fewer than :func:`pitch_shift_length` samples.

    References
    ----------
    Verhelst, Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality
    time-scale modification of speech", ICASSP 1993.
    """
    needed = pitch_shift_length(length, tempo=tempo)
    if sound.shape[-1] < needed:
        raise ValueError(f"repitching to {length} samples needs {needed}, got {sound.shape[-1]}")
    pitch = 2 ** (semitones / 12)
    flat = sound[..., :needed].reshape(-1, needed)
    stretched = _stretch(flat, tempo / pitch)[:, : int(needed * pitch / tempo)]
    return _resample(stretched, pitch)[..., :length].reshape(*sound.shape[:-1], length)


def _stretch(rows: Tensor, rate: float) -> Tensor:
    """Play the rows (rows, time) `rate` times faster at their pitch: overlapping frames from where they fit best."""
    guide = rows.sum(0)
    count = int(rows.shape[-1] / rate) // HOP + 1
    rows, guide = (F.pad(x, (FRAME, 2 * FRAME + SEARCH)) for x in (rows, guide))
    window = torch.hann_window(FRAME, device=rows.device)
    stretched = rows.new_zeros(len(rows), (count + 1) * HOP + FRAME)
    place = FRAME - HOP  # the first frame begins one hop early, so that all samples lie under two frames
    for number in range(count + 1):
        if number:
            goal = guide[place + HOP : place + HOP + FRAME]  # what would follow if nothing were stretched
            first = max(0, FRAME - HOP + round(number * HOP * rate) - SEARCH)
            place = first + _best_fit(guide[first : first + 2 * SEARCH + FRAME], goal)
        start = number * HOP
        stretched[:, start : start + FRAME] += rows[:, place : place + FRAME] * window
    return stretched[:, HOP:]


def _best_fit(area: Tensor, goal: Tensor) -> int:
    """Where in `area` lies what resembles `goal` most, by normalised correlation."""
    correlation = F.conv1d(area[None, None], goal[None, None])[0, 0]
    energy = F.avg_pool1d(area[None, None].square(), len(goal), 1)[0, 0]
    return int((correlation / energy.clamp_min(1e-9).sqrt()).argmax())


def _resample(sound: Tensor, speed: float) -> Tensor:
    """Play `speed` times faster, through the spectrum of the whole piece."""
    frames = sound.shape[-1]
    resampled = round(frames / speed)
    spectrum = torch.fft.rfft(sound)
    wanted = resampled // 2 + 1
    if wanted <= spectrum.shape[-1]:
        spectrum = spectrum[..., :wanted]
    else:
        spectrum = torch.nn.functional.pad(spectrum, (0, wanted - spectrum.shape[-1]))
    return torch.fft.irfft(spectrum, resampled) * (resampled / frames)
