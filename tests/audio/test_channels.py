"""Down-mixing and changed channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from separation.audio import resampling
from separation.audio.channels import ChannelMix, downmix
from separation.audio.resampling import ResampledSignal
from separation.audio.signal import TensorSignal
from tests.audio.helpers import RATES, chord, resample

A = 0.7071067811865476  # -3 dB


#: What each channel, in WAVE order, adds to the left and to the right, worked out by hand from BS.775.
LEFT = {
    3: [1, 0, A],
    4: [1, 0, A, 0],
    5: [1, 0, A, A, 0],
    6: [1, 0, A, 0, A, 0],
    7: [1, 0, A, 0, 0.5, A, 0],
    8: [1, 0, A, 0, A, 0, A, 0],
}


RIGHT = {
    3: [0, 1, A],
    4: [0, 1, 0, A],
    5: [0, 1, A, 0, A],
    6: [0, 1, A, 0, 0, A],
    7: [0, 1, A, 0, 0.5, 0, A],
    8: [0, 1, A, 0, 0, A, 0, A],
}


@pytest.mark.parametrize("channels", range(3, 9))
def test_more_than_two_channels_are_downmixed_to_stereo(channels: int) -> None:
    stereo = downmix(torch.eye(channels))  # each channel alone, one after the other
    assert torch.allclose(stereo, torch.tensor([LEFT[channels], RIGHT[channels]], dtype=torch.float32))


@pytest.mark.parametrize("channels", [1, 2])
def test_mono_and_stereo_are_not_downmixed(channels: int) -> None:
    waveform = torch.rand(channels, 10)
    assert torch.equal(downmix(waveform), waveform)


@pytest.mark.parametrize(("old", "new"), RATES)
def test_a_resampled_signal_equals_resampling_the_whole(old: int, new: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_BLOCK", 1000)
    waveform = torch.from_numpy(chord(30000).T.astype(np.float32))
    expected = resample(waveform, old, new)
    signal = ResampledSignal(TensorSignal(waveform), old, new)
    assert (signal.channels, signal.frames) == tuple(expected.shape)
    end = signal.frames
    for start, stop in ((0, 10), (5, end // 2), (end // 3, end // 2 + 7), (end - 5, end), (0, end), (end, end)):
        assert torch.allclose(signal.read(start, stop), expected[:, start:stop], atol=1e-6)


def test_reading_back_by_less_than_a_second_reuses_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_BLOCK", 1000)
    reads: list[int] = []

    class Counted(TensorSignal):
        def read(self, start: int, stop: int) -> Tensor:
            reads.append(start)
            return super().read(start, stop)

    signal = ResampledSignal(Counted(torch.zeros(1, 300_000)), 48000, 44100)
    for start in range(0, 200_000, 20_000):
        signal.read(start, start + 30_000)
        signal.read(max(0, start - 40_000), start)
    assert reads == sorted(set(reads))  # every part once, one after the other


def test_a_channel_mix_converts_blocks_as_they_are_read() -> None:
    waveform = torch.arange(12.0).reshape(2, 6)
    signal = ChannelMix(TensorSignal(waveform), 1, lambda part: part.mean(0, keepdim=True))
    assert (signal.channels, signal.frames) == (1, 6)
    assert torch.equal(signal.read(2, 4), waveform[:, 2:4].mean(0, keepdim=True))
