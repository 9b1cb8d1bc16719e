"""A batch mixed excerpt by excerpt, and pitch shifting frame by frame: what the batched operations must compute."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from separation.datasets.augmentation import FRAME, HOP, SEARCH, apply_tilt, impulse_response, reverberate
from separation.datasets.sampler import MixParameters, MixSampler
from tests.datasets.helpers import read_excerpt

MARGIN = 4 * FRAME


def looped_batch(sampler: MixSampler, draw: MixParameters) -> Tensor:
    """Return the batch of `draw`, shape (batch, sources, channels, time)."""
    items = torch.stack([_item(sampler, draw, row) for row in range(len(draw.recording))])
    if not sampler.config.shuffle_groups:
        return items
    order = draw.order.tolist()
    return torch.stack([torch.stack([items[item, s] for s, item in enumerate(row)]) for row in order])


def _item(sampler: MixSampler, draw: MixParameters, row: int) -> Tensor:
    length = sampler.length + round(sampler.config.shift * sampler.store.sample_rate)
    semitones, tempo = float(draw.semitones[row]), float(draw.tempo[row])
    repitched = semitones != 0 or tempo != 1
    read = -int(-(length + MARGIN) * tempo // 1) if repitched else length
    sources = torch.stack([_source(sampler, draw, row, s, read) for s in range(len(sampler.store.sources))])
    if repitched:
        sources = looped_pitch_shift(sources, semitones=semitones, tempo=tempo, length=length)
    cuts = []
    for source, wave in enumerate(sources):
        start = int(float(draw.shift[row, source]) * (length - sampler.length + 1))
        cuts.append(wave[:, start : start + sampler.length])
    return torch.stack(cuts)


def _source(sampler: MixSampler, draw: MixParameters, row: int, source: int, length: int) -> Tensor:
    total = torch.zeros(sampler.store.samples.shape[-1], length)
    for take, index in enumerate(draw.recording[row, source].tolist()):
        if index >= 0:
            total = total + _take(sampler, draw, (row, source, take), length)
    return total


def _take(sampler: MixSampler, draw: MixParameters, at: tuple[int, int, int], length: int) -> Tensor:
    store = sampler.store
    recording = store.recordings[int(draw.recording[at])]
    slack = recording.frames - length
    start = int(draw.start[at] * (abs(slack) + 1)) * (1 if slack >= 0 else -1)
    audio = read_excerpt(store, recording, at[1], start, length)
    coin, decay, level = draw.reverb[at].tolist()
    if coin < sampler.config.reverb.get(recording.collection, 0.0):
        room = (0.3 + 1.7 * decay, -18 + 14 * level, int(decay * 2**53))
        audio = reverberate(audio, impulse_response(*room, channels=len(audio), sample_rate=store.sample_rate))
    audio = apply_tilt(audio, draw.tilt[at])
    mean = audio.mean(0)
    audio = mean + draw.width[at] * (audio - mean)
    return draw.gain[at] * (audio.flip(0) if draw.swapped[at] else audio)


def looped_pitch_shift(audio: Tensor, *, semitones: float, tempo: float, length: int) -> Tensor:
    """Stretch by WSOLA with a direct correlation for every frame, then resample to ``length + MARGIN`` samples."""
    pitch, flat = 2 ** (semitones / 12), audio.reshape(-1, audio.shape[-1])
    stretched = _stretch(flat, tempo / pitch)[:, : round((length + MARGIN) * pitch)]
    spectrum = torch.fft.rfft(stretched)
    spectrum = F.pad(spectrum, (0, (length + MARGIN) // 2 + 1 - spectrum.shape[-1]))
    resampled = torch.fft.irfft(spectrum, length + MARGIN) * ((length + MARGIN) / stretched.shape[-1])
    return resampled[:, :length].reshape(*audio.shape[:-1], length)


def _stretch(rows: Tensor, rate: float) -> Tensor:
    guide = rows.sum(0)
    n_frames = int(rows.shape[-1] / rate) // HOP + 1
    rows, guide = (F.pad(x, (FRAME, 2 * FRAME + SEARCH)) for x in (rows, guide))
    stretched = rows.new_zeros(len(rows), (n_frames + 1) * HOP + FRAME)
    position = FRAME - HOP
    for number in range(n_frames + 1):
        if number:
            target = guide[position + HOP : position + HOP + FRAME]
            first = max(0, FRAME - HOP + round(number * HOP * rate) - SEARCH)
            position = first + _best_match(guide[first : first + 2 * SEARCH + FRAME], target)
        start = number * HOP
        stretched[:, start : start + FRAME] += rows[:, position : position + FRAME] * torch.hann_window(FRAME)
    return stretched[:, HOP:]


def _best_match(region: Tensor, target: Tensor) -> int:
    correlation = F.conv1d(region[None, None], target[None, None])[0, 0]
    energy = F.avg_pool1d(region[None, None].square(), len(target), 1)[0, 0]
    return int((correlation / energy.clamp_min(1e-9).sqrt()).argmax())
