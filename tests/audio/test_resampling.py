"""Sample-rate conversion of exact length."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from separation.audio.resampling import Resampler
from tests.audio.helpers import RATE, RATES, chord, resample
from tests.conftest import snr


def tone(frequency: float, frames: int, rate: int) -> Tensor:
    return torch.sin(2 * torch.pi * frequency * torch.arange(frames, dtype=torch.float64) / rate).float()[None]


@pytest.mark.parametrize(("old", "new"), RATES)
def test_resampling_preserves_a_tone(old: int, new: int) -> None:
    frames = old // 4
    result = resample(tone(1000.0, frames, old), old, new)
    assert result.shape == (1, -(-frames * new // old))
    inside = slice(new // 50, -new // 50)  # the ends ring, as those of any cut tone do
    assert snr(result[:, inside], tone(1000.0, result.shape[1], new)[:, inside]) > 100


@pytest.mark.parametrize(("old", "new"), [(48000, 44100), (192000, 44100), (44100, 8000)])
def test_frequencies_above_the_new_nyquist_are_removed(old: int, new: int) -> None:
    result = resample(tone(0.53 * new, old // 4, old), old, new)
    assert result[:, new // 50 : -new // 50].abs().max() < 1e-6


@pytest.mark.parametrize(("old", "new"), RATES)
def test_blockwise_resampling_equals_resampling_the_whole(old: int, new: int) -> None:
    waveform = torch.from_numpy(chord(7919, 2, old).T.astype(np.float32))
    length = -(-7919 * new // old)
    stream = Resampler(2, old, new, frames=length)
    blocks = [stream(block) for block in waveform.split(1000, dim=1)[:-1]]
    blocks.append(stream(waveform[:, 7000:], last=True))
    assert torch.allclose(torch.cat(blocks, 1), resample(waveform, old, new), atol=1e-6)


def test_an_equal_rate_changes_nothing() -> None:
    waveform = torch.rand(2, 100)
    assert torch.equal(Resampler(2, RATE, RATE, frames=100)(waveform, last=True), waveform)


@pytest.mark.parametrize("rate", [8000, 48000, 192000])
def test_a_single_sample_can_be_resampled(rate: int) -> None:
    there = resample(torch.ones(1, 1), rate, RATE)
    assert there.shape == (1, max(1, -(-RATE // rate)))
    assert Resampler(1, RATE, rate, frames=1)(there, last=True).shape == (1, 1)
