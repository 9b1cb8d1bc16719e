"""Augmentations equal their formulas, for one excerpt and for a batch; pitch shifting keeps level and alignment."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from separation.audio.files import read
from separation.datasets.augmentation import (
    apply_tilt,
    channel_matrix,
    impulse_response,
    pitch_shift_length,
    reverberate,
    shift_in_time,
    shuffle_sources,
)
from tests.conftest import SAMPLES, relative_error, snr
from tests.datasets.helpers import pitch_shift

RATE = 44100
Step = Callable[[Tensor, Tensor], Tensor]


def mixed_channels(audio: Tensor, *, gain: Tensor, width: Tensor, swapped: Tensor) -> Tensor:
    return channel_matrix(gain, width, swapped, channels=audio.shape[-2]) @ audio


def apply_gain(audio: Tensor, gain: Tensor) -> Tensor:
    return mixed_channels(audio, gain=gain, width=torch.ones_like(gain), swapped=torch.zeros_like(gain).bool())


def set_width(audio: Tensor, width: Tensor) -> Tensor:
    return mixed_channels(audio, gain=torch.ones_like(width), width=width, swapped=torch.zeros_like(width).bool())


def swap_channels(audio: Tensor, swapped: Tensor) -> Tensor:
    one = torch.ones(swapped.shape)
    return mixed_channels(audio, gain=one, width=one, swapped=swapped)


#: Each step with a parameter, the value that changes nothing, and six that do.
STEPS = [
    pytest.param(apply_gain, 1.0, [0.25, -1.25, 0.0, 2.0, -1.0, 0.5], id="gain"),
    pytest.param(swap_channels, False, [True, False, True, True, False, True], id="swap"),
    pytest.param(set_width, 1.0, [0.0, 1.4, 0.5, 0.1, 2.0, 0.9], id="width"),
    pytest.param(apply_tilt, 0.0, [-0.5, 0.5, 0.1, -0.9, 0.49, -0.1], id="tilt"),
]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sine(frequency: float, samples: int) -> Tensor:
    return 0.5 * torch.sin(2 * math.pi * frequency / RATE * torch.arange(samples, dtype=torch.float64)).float()


def test_a_gain_scales_and_its_sign_is_the_polarity() -> None:
    sound = torch.tensor([[1.0, -2, 3], [4, 5, -6]])
    expected = torch.tensor([[-0.5, 1, -1.5], [-2, -2.5, 3]])
    assert torch.equal(apply_gain(sound, torch.tensor(-0.5)), expected)


def test_swapping_exchanges_left_and_right() -> None:
    sound = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    assert torch.equal(swap_channels(sound, torch.tensor(True)), torch.tensor([[4.0, 5, 6], [1, 2, 3]]))


@pytest.mark.parametrize("width", [0.0, 0.5, 1.4])
def test_width_scales_the_side_and_leaves_the_middle(width: float) -> None:
    left, right = sound = noise(2, 100)
    widened = set_width(sound, torch.tensor(width))
    assert torch.allclose(widened[0] + widened[1], left + right, atol=1e-6)
    assert torch.allclose(widened[0] - widened[1], width * (left - right), atol=1e-6)


@pytest.mark.parametrize("tilt", [-0.5, 0.3])
def test_tilt_is_a_filter_of_two_taps(tilt: float) -> None:
    sound = noise(2, 100)
    expected = [np.convolve(channel, [1, tilt])[:100] / np.sqrt(1 + tilt**2) for channel in sound.double().numpy()]
    np.testing.assert_allclose(apply_tilt(sound, torch.tensor(tilt)), expected, atol=1e-6)


def test_a_negative_tilt_thins_the_low_end_and_keeps_the_level_of_noise() -> None:
    impulse = torch.zeros(2, 44100)
    impulse[:, 1000] = 1
    level = 20 * torch.fft.rfft(apply_tilt(impulse, torch.tensor(-0.5))[0]).abs().log10()  # a bin per Hz
    assert float(level[100]) == pytest.approx(-7, abs=0.05)
    assert float(level[22050]) == pytest.approx(2.55, abs=0.05)
    assert float((10 ** (level / 10)).mean()) == pytest.approx(1, abs=1e-3)


def test_an_impulse_response_is_the_direct_sound_and_noise_that_falls_by_60_db() -> None:
    response = impulse_response(0.5, -6, 7, channels=2, sample_rate=8000)
    assert response.shape == (2, 4000)
    assert response[:, 0].tolist() == [1, 1]
    tail = response[:, 1:].double()
    assert (10 * tail.square().sum(-1).log10()).tolist() == pytest.approx([-6, -6], abs=1e-3)
    level = 10 * tail.square().mean(0)[:3900].reshape(39, 100).mean(-1).log10()  # in steps of 12.5 ms
    slope = np.polyfit((np.arange(39) + 0.5) * 0.0125, level.numpy(), 1)[0]
    assert slope == pytest.approx(-60 / 0.5, rel=0.02)


def test_impulse_responses_differ_by_seed_and_channel() -> None:
    one, again, other = (impulse_response(0.1, -6, seed, channels=2, sample_rate=8000) for seed in (1, 1, 2**53 - 1))
    assert torch.equal(one, again)
    for a, b in ((one[0], one[1]), (one[0], other[0])):
        assert abs(float(torch.corrcoef(torch.stack([a[1:], b[1:]]))[0, 1])) < 0.2


@pytest.mark.parametrize("frames", [1, 2, 30, 129, 500])
def test_reverb_is_convolution_without_the_tail(frames: int) -> None:
    sound, response = noise(2, 100), noise(2, frames, seed=1)
    expected = [
        np.convolve(*pair)[:100] for pair in zip(sound.double().numpy(), response.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(reverberate(sound, response), expected, atol=1e-4)
    assert torch.equal(sound, noise(2, 100))


def test_shift_cuts_every_source_at_its_start() -> None:
    sound = noise(3, 2, 50)
    cut = shift_in_time(sound, torch.tensor([0, 7, 30]), 20)
    assert torch.equal(cut, torch.stack([sound[0, :, :20], sound[1, :, 7:27], sound[2, :, 30:]]))


def test_shuffle_takes_every_source_from_the_given_item() -> None:
    sources = noise(3, 2, 2, 10)
    shuffled = shuffle_sources(sources, torch.tensor([[2, 0], [0, 2], [1, 1]]))
    expected = torch.stack([sources[[2, 0, 1], 0], sources[[0, 2, 1], 1]], 1)
    assert torch.equal(shuffled, expected)


def test_shuffle_is_a_permutation() -> None:
    sources = noise(8, 3, 2, 10)
    order = torch.stack([torch.randperm(8, generator=torch.Generator().manual_seed(i)) for i in range(3)], 1)
    shuffled = shuffle_sources(sources, order)
    assert not torch.equal(shuffled, sources)
    for source in range(3):
        before, after = (sorted(map(bytes, each[:, source].numpy())) for each in (sources, shuffled))
        assert after == before


@pytest.mark.parametrize(("step", "neutral", "values"), STEPS)
def test_the_neutral_value_changes_nothing(step: Step, neutral: float, values: list[float]) -> None:
    sound = noise(2, 100)
    assert torch.allclose(step(sound, torch.tensor(neutral)), sound, rtol=0, atol=1e-6)
    assert not torch.allclose(step(sound, torch.tensor(values[0])), sound, rtol=0, atol=0.1)


@pytest.mark.parametrize(("step", "neutral", "values"), STEPS)
def test_a_batch_is_augmented_item_by_item(step: Step, neutral: float, values: list[float]) -> None:
    sound, parameter = noise(3, 2, 2, 100), torch.tensor(values).reshape(3, 2)
    together = step(sound, parameter)
    assert together.shape == sound.shape
    for item in range(3):
        for source in range(2):
            assert torch.equal(together[item, source], step(sound[item, source], parameter[item, source]))


def test_a_batch_is_shifted_item_by_item() -> None:
    sound, start = noise(3, 2, 2, 50), torch.tensor([[0, 30], [4, 5], [29, 1]])
    together = shift_in_time(sound, start, 20)
    assert together.shape == (3, 2, 2, 20)
    for item in range(3):
        assert torch.equal(together[item], shift_in_time(sound[item], start[item], 20))
        assert torch.equal(together[item, 1], shift_in_time(sound[item, 1], start[item, 1], 20))


@pytest.mark.parametrize(("step", "neutral", "values"), STEPS)
def test_the_input_is_not_modified(step: Step, neutral: float, values: list[float]) -> None:
    sound, parameter = noise(2, 100), torch.tensor(values[0])
    step(sound, parameter).mul_(2)
    assert torch.equal(sound, noise(2, 100))
    assert torch.equal(parameter, torch.tensor(values[0]))


def test_shift_and_pitch_shift_do_not_modify_the_input() -> None:
    sound = noise(3, 2, 2, 9000)
    given = sound.clone()
    shift_in_time(given, torch.zeros(3, 2, dtype=torch.int64), 5000).mul_(2)
    shuffle_sources(given, torch.zeros(3, 2, dtype=torch.int64)).mul_(2)
    pitch_shift(given, semitones=1, tempo=1.0, length=500).mul_(2)
    pitch_shift(given, semitones=0, tempo=1.0, length=500).mul_(2)
    assert torch.equal(given, sound)


def repitched(sound: Tensor, *, semitones: float, tempo: float, length: int = RATE) -> Tensor:
    result = pitch_shift(sound, semitones=semitones, tempo=tempo, length=length)
    assert result.shape == (*sound.shape[:-1], length)
    assert result.dtype == torch.float32
    return result


def frequency_of(sound: Tensor) -> float:
    """Return the frequency of a sine in Hz: the peak of its spectrum."""
    inner = sound[4000:-4000]
    spectrum = torch.fft.rfft(inner * torch.hann_window(len(inner)), 1 << 18)
    return float(spectrum.abs().argmax()) * RATE / (1 << 18)


def two_bursts(samples: int) -> Tensor:
    """Of 10 ms, around 10000 and 30000 samples."""
    sound = torch.zeros(samples)
    for place in (10000, 30000):
        sound[place - 220 : place + 220] = sine(1000, 440)
    return sound


def middle(sound: Tensor) -> float:
    """Where the energy lies, in samples."""
    energy = sound.double().square()
    return float((energy * torch.arange(len(sound))).sum() / energy.sum())


def decibels(result: Tensor, reference: Tensor) -> float:
    return 20 * math.log10(float(result.std() / reference.std()))


@pytest.mark.parametrize(
    ("semitones", "tempo", "expected"),
    [(12, 1.0, 880), (-12, 1.0, 220), (2, 0.9, 493.88), (-2, 1.1, 392.0), (0, 1.1, 440), (0, 0.9, 440)],
)
def test_pitch_depends_on_semitones_only(semitones: float, tempo: float, expected: float) -> None:
    sound = sine(440, pitch_shift_length(RATE, tempo=tempo))[None]
    assert frequency_of(repitched(sound, semitones=semitones, tempo=tempo)[0]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("semitones", "tempo"), [(12, 1.0), (2, 1.0), (-2, 1.0), (0, 1.1), (0, 0.9), (2, 1.1)])
def test_times_of_events_depend_on_tempo_only(semitones: float, tempo: float) -> None:
    sound = two_bursts(pitch_shift_length(RATE, tempo=tempo))
    result = repitched(sound[None], semitones=semitones, tempo=tempo)[0]
    between = round(20000 / tempo)
    places = [middle(result[:between]), between + middle(result[between:])]
    assert places == pytest.approx([10000 / tempo, 30000 / tempo], abs=0.02 * RATE)


@pytest.mark.parametrize(("semitones", "tempo"), [(12, 1.0), (1, 1.0), (-2, 0.88), (2, 1.12), (0, 0.88)])
def test_pitch_shifting_keeps_the_level_of_a_sine(semitones: float, tempo: float) -> None:
    sound = sine(440, pitch_shift_length(RATE, tempo=tempo))[None]
    result = repitched(sound, semitones=semitones, tempo=tempo)[:, 4000:-4000]
    assert decibels(result, sound) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("source", ["vocals", "drums"])
@pytest.mark.parametrize(("semitones", "tempo"), [(2, 1.0), (-2, 0.88)])
def test_pitch_shifting_keeps_the_level_of_music(source: str, semitones: float, tempo: float) -> None:
    sound = read(SAMPLES / "night-drive" / f"{source}.ogg", start=3.0, duration=2.7).waveform
    result = repitched(sound, semitones=semitones, tempo=tempo, length=2 * RATE)
    assert decibels(result, sound[:, : round(2 * RATE * tempo)]) == pytest.approx(0, abs=1)


def test_no_semitones_at_the_same_tempo_are_no_change() -> None:
    sound = noise(2, 2, pitch_shift_length(5000, tempo=1.0))
    assert relative_error(repitched(sound, semitones=0, tempo=1.0, length=5000), sound[..., :5000]) < 1e-5


def test_sources_stay_aligned() -> None:
    one = noise(pitch_shift_length(5000, tempo=1.1))
    sound = torch.stack([torch.stack([one, -one]), torch.stack([0.5 * one, one])])
    result = repitched(sound, semitones=2, tempo=1.1, length=5000)
    alone = repitched(one[None], semitones=2, tempo=1.1, length=5000)[0]
    expected = torch.stack([torch.stack([alone, -alone]), torch.stack([0.5 * alone, alone])])
    assert relative_error(result, expected) < 1e-3


@pytest.mark.parametrize(("length", "tempo", "expected"), [(1000, 1.0, 9192), (1000, 1.1, 10112), (999, 0.9, 8272)])
def test_pitch_shift_length(length: int, tempo: float, expected: int) -> None:
    assert pitch_shift_length(length, tempo=tempo) == expected


@pytest.mark.parametrize("semitones", [-24, 0, 24])
@pytest.mark.parametrize("tempo", [0.5, 1.12, 1.5])
def test_one_sample_too_few_is_refused(semitones: float, tempo: float) -> None:
    needed = pitch_shift_length(3000, tempo=tempo)
    result = repitched(noise(1, needed), semitones=semitones, tempo=tempo, length=3000)
    assert result[0, -100:].std() > 0.05  # there is sound up to the end
    with pytest.raises(RuntimeError, match="must match"):
        pitch_shift(noise(1, needed - 1), semitones=semitones, tempo=tempo, length=3000)


def test_additional_samples_change_nothing() -> None:
    sound = noise(1, 20000)
    needed = pitch_shift_length(3000, tempo=1.1)
    expected = pitch_shift(sound[:, :needed], semitones=2, tempo=1.1, length=3000)
    assert torch.equal(pitch_shift(sound, semitones=2, tempo=1.1, length=3000), expected)


def test_the_end_sounds_as_if_the_excerpt_went_on() -> None:
    sound = sine(440, 40000)[None]
    short = pitch_shift(sound, semitones=1, tempo=1.05, length=8000)[:, 4000:]
    assert snr(short, pitch_shift(sound, semitones=1, tempo=1.05, length=16000)[:, 4000:8000]) > 30
