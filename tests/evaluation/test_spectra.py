"""Sums over spectra equal those of torch's transform of the whole signal."""

from __future__ import annotations

import operator

import pytest
import torch
from torch import Tensor

from separation.evaluation.signals import ArraySignals
from separation.evaluation.spectra import Frames, reduce_spectra


@pytest.mark.parametrize("window", ["hann", "rectangular"])
@pytest.mark.parametrize("padding", ["constant", "reflect"])
@pytest.mark.parametrize("time", [129, 300, 5000, 70_001])
def test_energies_equal_those_of_torch(window: str, padding: str, time: int, generator: torch.Generator) -> None:
    x = torch.randn(2, 3, time, generator=generator, dtype=torch.float64)
    frames = Frames(n_fft=256, hop_length=64, window=window, padding=padding)

    def energy(X: Tensor) -> Tensor:
        return X.abs().square().sum((1, 2))

    found = reduce_spectra(energy, [ArraySignals(x)], frames, operator.add)
    weights = torch.hann_window(256, dtype=torch.float64) if window == "hann" else torch.ones(256, dtype=torch.float64)
    expected = torch.stft(x.flatten(0, 1), 256, 64, window=weights, pad_mode=padding, return_complex=True)
    assert expected.shape[-1] == frames.count(time)
    torch.testing.assert_close(found, expected.abs().square().sum(-1).unflatten(0, (2, 3)).sum(1))


def test_a_signal_that_is_too_short_to_be_mirrored_is_refused() -> None:
    frames = Frames(n_fft=256, hop_length=64, padding="reflect")
    with pytest.raises(ValueError, match="128 samples is too short"):
        reduce_spectra(lambda X: 0, [ArraySignals(torch.zeros(1, 1, 128))], frames, max)


def test_infinite_samples_are_refused() -> None:
    broken = torch.zeros(1, 1, 5000)
    broken[..., 4000] = torch.inf
    with pytest.raises(ValueError, match="NaN or infinite"):
        reduce_spectra(lambda X: 0, [ArraySignals(broken)], Frames(), max)
