"""A separator on audio of any sample rate, channel count and length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from separation.audio.channels import downmix
from separation.audio.signal import Audio, Signal
from separation.pipeline.run import run, target_mixture
from separation.separators import create
from separation.separators.two_stems import TwoStems
from tests.audio.helpers import delay_of
from tests.conftest import snr
from tests.pipeline.helpers import GAINS, Copies, noise, sound

RATES = [8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000]


@pytest.mark.parametrize("rate", RATES)
def test_stems_have_the_rate_length_and_alignment_of_the_mixture(rate: int) -> None:
    audio = sound(rate)
    before = audio.waveform.clone()
    stems = torch.cat(list(run(Copies(), audio)), dim=-1)
    assert torch.equal(audio.waveform, before)
    assert stems.shape == (4, 2, audio.frames)
    assert snr(stems.sum(0), audio.waveform) > 60
    for gain, stem in zip(GAINS, stems, strict=True):
        assert snr(stem, gain * audio.waveform) > 60
        assert delay_of(stem[0].numpy(), audio.waveform[0].numpy()) == 0


@pytest.mark.parametrize("frames", [1, 2, 3, 100, 4999, 5000, 5001, 10001])
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_any_number_of_frames_is_preserved(frames: int, rate: int) -> None:
    blocks = list(run(Copies(), sound(rate, frames=frames)))
    assert sum(block.shape[-1] for block in blocks) == frames
    assert all(block.shape[:2] == (4, 2) for block in blocks)


def test_blocks_are_yielded_while_the_separator_runs() -> None:
    blocks = run(Copies(failure=RuntimeError("broken")), sound())
    assert next(blocks).shape[-1] == 5000
    assert next(blocks).shape[-1] == 5000
    with pytest.raises(RuntimeError, match="broken"):
        next(blocks)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_mono_gives_mono_stems(rate: int) -> None:
    audio = sound(rate, 1)
    stems = torch.cat(list(run(Copies(), audio)), dim=-1)
    assert stems.shape == (4, 1, audio.frames)
    assert snr(stems.sum(0), audio.waveform) > 60


def test_a_stereo_separator_processes_mono_as_two_equal_channels() -> None:
    class LeftOnly(Copies):
        def _stream(self, mixture: Signal) -> Iterator[Tensor]:
            left, right = mixture.read(0, mixture.frames)
            assert torch.equal(left, right)
            yield self.gains * torch.stack([left, right]) * torch.tensor([[1.0], [0.0]])

    audio = sound(channels=1)
    assert torch.allclose(torch.cat(list(run(LeftOnly(), audio)), -1).sum(0), audio.waveform / 2, atol=1e-6)


@pytest.mark.parametrize("channels", range(3, 9))
def test_more_than_two_channels_are_mixed_down_for_a_stereo_separator(channels: int) -> None:
    audio = sound(channels=channels)
    stems = torch.cat(list(run(Copies(), audio)), dim=-1)
    assert torch.allclose(stems.sum(0), downmix(audio.waveform), atol=1e-6)
    assert torch.allclose(target_mixture(audio, Copies()).read(5, 99), downmix(audio.waveform)[:, 5:99], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_downmix_follows_the_channel_layout(channels: int) -> None:
    audio = replace(sound(channels=4), speakers=("FL", "FR", "FC", "BC"))
    mixture = target_mixture(audio, Copies(channels=channels)).read(0, audio.frames)
    left, right, centre, back = audio.waveform
    stereo = torch.stack([left, right]) + 0.5**0.5 * centre + 0.5 * back
    assert torch.allclose(mixture, stereo if channels == 2 else stereo.mean(0, keepdim=True), atol=1e-6)


@pytest.mark.parametrize("channels", [2, 6])
def test_a_mono_separator_gets_the_mean_of_the_stereo_mix(channels: int) -> None:
    audio = sound(channels=channels)
    stems = torch.cat(list(run(Copies(channels=1), audio)), dim=-1)
    assert stems.shape[1] == 1
    assert torch.allclose(stems.sum(0), downmix(audio.waveform).mean(0, keepdim=True), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [*RATES[:2], *RATES[-3:]])
def test_two_stems_sum_to_the_song_at_any_rate(rate: int, channels: int) -> None:
    """Noise fills the whole band, of which a network at 44.1 kHz knows a part only."""
    audio = replace(noise(frames=rate // 2, channels=channels), sample_rate=rate)
    separator = TwoStems(Copies(), "bass")
    stems = torch.cat(list(run(separator, audio)), dim=-1)
    mixture = target_mixture(audio, separator).read(0, audio.frames)
    torch.testing.assert_close(stems.sum(0), mixture, rtol=0, atol=1e-6)
    one = torch.cat(list(run(Copies(), audio)), dim=-1)[Copies.sources.index("bass")]
    assert torch.equal(stems[0], one)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("method", ["mix", "hpss", "ica"])
def test_methods_for_any_channels_and_rate_receive_the_signal_unchanged(method: str, channels: int) -> None:
    audio = noise(channels=channels)
    audio = Audio(waveform=audio.waveform, sample_rate=32000)
    stems = torch.cat(list(run(create(method), audio)), dim=-1)
    assert stems.shape[1:] == audio.waveform.shape
    assert snr(stems.sum(0), audio.waveform) > 100
