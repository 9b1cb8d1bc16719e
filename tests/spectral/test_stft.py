"""The transform against its definition, and back again."""

from __future__ import annotations

import math

import pytest
import torch

from separation.spectral.stft import InverseStft, StftConfig, frames_between, istft, stft

CONFIGS = [StftConfig(), StftConfig(n_fft=512, hop_length=128), StftConfig(n_fft=300, hop_length=70)]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("length", [2049, 4095, 4096, 4097, 10007, 12345])
def test_the_inverse_reconstructs_signals_of_any_length(length: int, config: StftConfig) -> None:
    waveform = noise(2, length)
    X = stft(waveform, config)
    assert X.shape == (2, config.n_bins, length // config.hop_length + 1)
    result = istft(X, config, length=length)
    assert result.shape == waveform.shape
    assert (result - waveform).abs().max() < 1e-5


def test_half_overlap_loses_precision_only_at_window_ends() -> None:
    config = StftConfig(n_fft=512, hop_length=256)
    waveform = noise(2, 4095)
    error = (istft(stft(waveform, config), config, length=4095) - waveform).abs()
    assert error[:, :-64].max() < 1e-5
    assert error.max() < 0.01


@pytest.mark.parametrize(
    "shape",
    [
        (3000,),
        (2, 3000),
        (4, 2, 3000),
        (1, 4, 2, 3000),
    ],
)
def test_leading_axes_are_kept(shape: tuple[int, ...]) -> None:
    config = StftConfig(n_fft=512, hop_length=128)
    waveform = noise(*shape)
    X = stft(waveform, config)
    assert X.shape == (*shape[:-1], 257, 24)
    assert torch.allclose(istft(X, config, length=3000), waveform, atol=1e-5)
    alone = waveform.reshape(-1, 3000)[-1:]
    assert torch.allclose(X.reshape(-1, 257, 24)[-1:], stft(alone, config), atol=1e-5)


@pytest.mark.parametrize("frame", [0, 3, 8])
def test_a_frame_is_a_centred_windowed_fourier_transform(frame: int) -> None:
    n_fft, hop, length = 64, 16, 130
    waveform = noise(1, length).double()
    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / n_fft) for n in range(n_fft)]  # periodic: n_fft, not n_fft - 1
    mirrored = [abs(i) if i < length else 2 * (length - 1) - i for i in range(-n_fft // 2, length + n_fft // 2)]
    samples = [float(waveform[0, i]) for i in mirrored[frame * hop : frame * hop + n_fft]]
    expected = [
        sum(
            w * x * complex(math.cos(2 * math.pi * k * n / n_fft), -math.sin(2 * math.pi * k * n / n_fft))
            for n, (w, x) in enumerate(zip(window, samples, strict=True))
        )
        for k in range(n_fft // 2 + 1)
    ]
    X = stft(waveform, StftConfig(n_fft=n_fft, hop_length=hop))
    assert torch.allclose(X[0, :, frame], torch.tensor(expected, dtype=torch.complex128), atol=1e-12)


def test_the_precision_of_the_input_is_kept() -> None:
    config = StftConfig(n_fft=512, hop_length=128)
    assert stft(noise(1, 1000).double(), config).dtype == torch.complex128
    assert istft(stft(noise(1, 1000).double(), config), config, length=1000).dtype == torch.float64
    assert stft(noise(1, 1000), config).dtype == torch.complex64


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"n_fft": 1}, "n_fft"), ({"hop_length": 0}, "hop_length"), ({"n_fft": 512, "hop_length": 257}, "hop_length")],
)
def test_settings_without_an_inverse_are_refused(settings: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        StftConfig(**settings)


# -- a few frames at a time ------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("length", [4096, 4097, 8192, 10007])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_blockwise_frames_equal_those_of_the_whole(step: int, length: int, config: StftConfig) -> None:
    waveform = noise(2, length)
    whole = stft(waveform, config)
    reads: list[int] = []

    def read(start: int, stop: int) -> torch.Tensor:
        assert 0 <= start < stop <= length
        reads.append(stop - start)
        return waveform[:, start:stop]

    frames = whole.shape[-1]
    parts = [frames_between(read, length, first, min(first + step, frames), config) for first in range(0, frames, step)]
    assert torch.allclose(torch.cat(parts, -1), whole, atol=1e-5)
    assert max(reads) <= config.n_fft + step * config.hop_length  # no more than they need


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("length", [4096, 10007])
@pytest.mark.parametrize("step", [1, 2, 5, 1000])
def test_the_blockwise_inverse_equals_the_inverse(step: int, length: int, config: StftConfig) -> None:
    X = noise(3, 2, config.n_bins, length // config.hop_length + 1) * (1 + 1j)
    expected = istft(X, config, length=length)
    inverse = InverseStft(config, length)
    frames = X.shape[-1]
    blocks = [inverse(X[..., first : first + step], last=first + step >= frames) for first in range(0, frames, step)]
    assert torch.allclose(torch.cat(blocks, -1), expected, atol=1e-5)
    assert all(block.shape[-1] for block in blocks[4:-1])  # what is finished is handed out
