"""The Wiener filter, against norbert on music: on white noise a wrong filter looks right."""

from __future__ import annotations

from typing import Any

import norbert
import numpy as np
import pytest
import torch
from torch import Tensor

from separation.spectral.masks import apply_mixture_phase
from separation.spectral.wiener import expectation_maximization, wiener
from tests.conftest import relative_error


def first_estimates(X: Tensor, sources: int = 4) -> Tensor:
    """Magnitudes V, (sources, channels, bins, frames): random shares of the mixture's, which overlap and do not sum."""
    generator = torch.Generator().manual_seed(7)
    return X.abs() * torch.rand(sources, *X.shape, generator=generator, dtype=torch.float64)


def to_norbert(tensor: Tensor) -> np.ndarray:
    """(..., channels, bins, frames) -> (frames, bins, channels, ...), double precision, a copy."""
    turned = tensor.permute(*reversed(range(tensor.dim())))
    return turned.to(torch.complex128 if tensor.is_complex() else torch.float64).numpy().copy()


def from_norbert(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).permute(3, 2, 1, 0)


def norbert_wiener(V: Tensor, X: Tensor, *, iterations: int, softmask: bool) -> Tensor:
    return from_norbert(norbert.wiener(to_norbert(V), to_norbert(X), iterations, use_softmask=softmask, eps=1e-10))


#: What is done to the stereo mixture (2, bins, frames), and the level it is then at.
LAYOUTS = {
    "stereo": lambda X: X,
    "one channel": lambda X: X[:1],
    "mono in both channels": lambda X: X[:1].repeat(2, 1, 1),
    "three channels": lambda X: torch.cat([X, X[:1] + 0.5j * X[1:]]),
    "quiet stereo": lambda X: X * 1e-4,  # not scaled down, and eps is heard
}


# -- the filter against norbert ----------------------------------------------------------------------


@pytest.mark.parametrize("softmask", [False, True], ids=["magnitudes", "softmask"])
@pytest.mark.parametrize("iterations", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_double_precision_equals_norbert(music: Tensor, layout: str, iterations: int, softmask: bool) -> None:
    X = LAYOUTS[layout](music)[:, :: 4 if layout == "three channels" else 1]  # that one takes its time
    V = first_estimates(X)
    ours = wiener(V, X, iterations=iterations, softmask=softmask)
    theirs = norbert_wiener(V, X, iterations=iterations, softmask=softmask)
    # From mono estimates the second iteration's covariances are singular up to sqrt(eps): norbert's rounding is
    # amplified a hundred thousand times, in whichever order the sums are taken.
    assert relative_error(ours, theirs) <= (1e-11 if layout.startswith("mono") and iterations == 2 else 1e-12)


@pytest.mark.parametrize("iterations", [1, 2])
def test_mono_estimates_of_a_mono_mixture_equal_norbert(music: Tensor, iterations: int) -> None:
    X = music[:1].repeat(2, 1, 1)
    V = first_estimates(X)[:, :1].repeat(1, 2, 1, 1)
    ours = wiener(V, X, iterations=iterations)
    theirs = norbert_wiener(V, X, iterations=iterations, softmask=False)
    # Every covariance has rank one: against 80-bit arithmetic norbert is off by up to 4e-10 itself, and so are we.
    assert relative_error(ours, theirs) <= 2e-9
    torch.testing.assert_close(ours[:, 0], ours[:, 1], rtol=1e-6, atol=1e-9)
    single = wiener(V.float(), X.to(torch.complex64), iterations=iterations)
    assert relative_error(single, ours) <= 2e-7  # where arithmetic in float32 keeps 22 dB


@pytest.mark.parametrize("softmask", [False, True], ids=["magnitudes", "softmask"])
@pytest.mark.parametrize("iterations", [1, 2])
@pytest.mark.parametrize("layout", ["stereo", "one channel", "mono in both channels", "quiet stereo"])
def test_single_precision_input_is_filtered_in_double_precision(
    music: Tensor, layout: str, iterations: int, softmask: bool
) -> None:
    X = LAYOUTS[layout](music).to(torch.complex64)
    V = first_estimates(X).float()
    ours = wiener(V, X, iterations=iterations, softmask=softmask)
    assert ours.dtype == torch.complex64
    theirs = norbert_wiener(V, X, iterations=iterations, softmask=softmask)
    assert relative_error(ours, theirs) <= 2e-7


def test_norberts_default_eps_gives_norberts_result(music: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    V = first_estimates(music)
    theirs = from_norbert(norbert.wiener(to_norbert(V), to_norbert(music), 1, use_softmask=False))
    monkeypatch.setattr("separation.spectral.wiener._EPS", float(np.finfo(np.float64).eps))
    assert relative_error(wiener(V, music), theirs) <= 1e-12


def test_the_residual_is_one_more_source_of_the_filter(music: Tensor) -> None:
    V = first_estimates(music, sources=2)
    estimates = apply_mixture_phase(V, music)
    estimates = torch.cat([estimates, music[None] - estimates.sum(0, keepdim=True)])
    scale = max(1.0, float(music.abs().max()) / 10)
    theirs, _, _ = norbert.expectation_maximization(
        to_norbert(estimates / scale), to_norbert(music / scale), 1, eps=1e-10
    )
    ours = wiener(V, music, residual=True)
    assert ours.shape == (3, *music.shape)
    assert relative_error(ours, from_norbert(theirs) * scale) <= 1e-12


def test_expectation_maximization_from_true_sources_equals_norbert(stems: Tensor) -> None:
    X = stems.sum(0)
    scale = max(1.0, float(X.abs().max()) / 10)
    theirs, _, _ = norbert.expectation_maximization(to_norbert(stems / scale), to_norbert(X / scale), 1, eps=1e-10)
    ours = expectation_maximization(stems, X)
    assert relative_error(ours, from_norbert(theirs) * scale) <= 1e-9  # mono bass and drums: rank one, as above


# -- what it promises beside -------------------------------------------------------------------------


@pytest.mark.parametrize("window", [50, 1])
@pytest.mark.parametrize("layout", ["stereo", "three channels"])
def test_windows_are_filtered_independently(music: Tensor, layout: str, window: int) -> None:
    X = LAYOUTS[layout](music)[:, ::4]
    V = first_estimates(X)
    alone = [
        wiener(V[..., first : first + window], X[..., first : first + window])
        for first in range(0, X.shape[-1], window)
    ]
    windowed = wiener(V, X, window=window)
    assert relative_error(windowed, torch.cat(alone, dim=-1)) <= 1e-12
    assert relative_error(windowed, wiener(V, X)) > 1e-3  # it does matter


def test_a_window_longer_than_the_signal_has_no_effect(music: Tensor) -> None:
    V = first_estimates(music)
    assert torch.equal(wiener(V, music, window=1000), wiener(V, music))


@pytest.mark.parametrize("layout", ["stereo", "one channel", "three channels"])
def test_the_arguments_are_not_modified(music: Tensor, layout: str) -> None:
    X = LAYOUTS[layout](music)[:, ::16].clone()
    V = first_estimates(X)
    Y = apply_mixture_phase(V, X)
    before = X.clone(), V.clone(), Y.clone()
    for iterations in (0, 1, 2):
        wiener(V, X, iterations=iterations, softmask=iterations == 0, residual=True).mul_(0)
        wiener(V, X, iterations=iterations, softmask=iterations == 1).mul_(0)
        result = expectation_maximization(Y, X, iterations=iterations)
        result *= 0  # nor does what comes back share their memory
    for now, then in zip((X, V, Y), before, strict=True):
        assert torch.equal(now, then)


@pytest.mark.parametrize("layout", ["stereo", "one channel", "mono in both channels"])
def test_the_sources_sum_to_the_mixture(music: Tensor, layout: str) -> None:
    X = LAYOUTS[layout](music)
    for iterations in (1, 2):
        assert relative_error(wiener(first_estimates(X), X, iterations=iterations).sum(0), X) <= 0.01  # eps takes that
    assert relative_error(wiener(first_estimates(X), X, iterations=0).sum(0), X) > 0.1


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("layout", ["stereo", "one channel", "mono in both channels"])
def test_silent_bins_and_frames_are_finite_and_stay_silent(music: Tensor, layout: str, dtype: torch.dtype) -> None:
    X = LAYOUTS[layout](music).to(dtype).clone()
    X[:, 100:130] = 0  # bins that are silent throughout
    X[..., 40:80] = 0  # frames, as between two songs
    X[0, 10] = 0  # and a bin in one channel only
    V = first_estimates(X).to(X.real.dtype)
    ways: list[dict[str, Any]] = [{"iterations": 0}, {"iterations": 2}, {"softmask": True}, {"residual": True}]
    for options in [*ways, {"window": 40}]:
        Y = torch.view_as_real(wiener(V, X, **options))
        assert Y.isfinite().all(), options
        assert (Y[..., 100:130, :, :] == 0).all(), options
        assert (Y[..., 40:80, :] == 0).all(), options
        assert (Y[..., 200, :, :] != 0).any(), options


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_silent_mixture_gives_silent_sources_for_any_estimates(channels: int) -> None:
    X = torch.zeros(channels, 5, 7, dtype=torch.complex64)
    V = torch.rand(4, channels, 5, 7, generator=torch.Generator().manual_seed(0))
    ways: list[dict[str, Any]] = [{"iterations": 1}, {"iterations": 2}, {"iterations": 0, "softmask": True}]
    for options in ways:
        assert (wiener(V, X, **options) == 0).all(), options
    assert (wiener(0 * V, X, iterations=0) == 0).all()


def test_without_iterations_the_initial_estimates_are_returned(music: Tensor) -> None:
    V = first_estimates(music)
    torch.testing.assert_close(
        wiener(V, music, iterations=0), torch.polar(V, music.angle().expand_as(V)), rtol=1e-12, atol=1e-12
    )
    shared = V / V.sum(0) * music
    torch.testing.assert_close(wiener(V, music, iterations=0, softmask=True), shared, rtol=1e-6, atol=1e-9)


def test_invalid_arguments_are_named(music: Tensor) -> None:
    V = first_estimates(music)
    with pytest.raises(ValueError, match=r"expected \(sources, channels, bins, frames\).*\(4, 2, 257, 119\)"):
        wiener(V[..., :-1], music)
    with pytest.raises(ValueError, match=r"expected \(sources, channels, bins, frames\)"):
        expectation_maximization(music, music)
    with pytest.raises(ValueError, match="iterations must be 0 or more, got -1"):
        wiener(V, music, iterations=-1)
    with pytest.raises(ValueError, match="window must be at least 1 frame, got 0"):
        wiener(V, music, window=0)
