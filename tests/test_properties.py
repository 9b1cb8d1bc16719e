"""What holds for segments, masks and scores of any size."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from separation.evaluation.bss_eval import bss_eval
from separation.evaluation.signals import ArraySignals
from separation.separators.overlap_add import fade_window, overlap_add
from separation.spectral.masks import binary_mask, ratio_mask

#: The same examples every time.
few = settings(max_examples=30, deadline=None, derandomize=True, database=None)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@few
@given(length=st.integers(1, 3000), segment=st.integers(2, 800), step=st.floats(0.3, 1), channels=st.integers(1, 3))
def test_overlapping_segments_reconstruct_the_signal(length: int, segment: int, step: float, channels: int) -> None:
    hop = max(1, int(step * segment))
    starts = range(0, max(1, length - segment + hop), hop)
    whole = noise(channels, length)
    blocks = list(
        overlap_add(
            lambda start, stop: whole[:, start:stop],
            length,
            starts=starts,
            window=fade_window(segment, max(1, segment // 2)),
        )
    )
    assert torch.allclose(torch.cat(blocks, dim=-1), whole, atol=1e-5)


@few
@given(sources=st.integers(1, 5), bins=st.integers(1, 60), power=st.floats(0.5, 4), level=st.floats(-8, 8))
def test_masks_are_valid_for_any_magnitudes(sources: int, bins: int, power: float, level: float) -> None:
    magnitudes = noise(sources, bins).abs() * 10**level
    ratios = ratio_mask(magnitudes, power=power)
    assert bool(((ratios >= 0) & (ratios <= 1)).all())
    assert bool((ratios.sum(0) <= 1 + 1e-5).all())
    assert bool(((ratios[None] - ratios[:, None]) * (magnitudes[None] - magnitudes[:, None]) >= -1e-6).all())
    assert torch.equal(binary_mask(magnitudes).sum(0), torch.ones(bins))


@settings(few, max_examples=4)
@given(time=st.integers(2000, 3000), channels=st.integers(1, 2), gain=st.floats(0.01, 100), error=st.floats(0.01, 1))
def test_scores_do_not_depend_on_the_level(time: int, channels: int, gain: float, error: float) -> None:
    references = noise(2, channels, time).double()
    estimates = references + error * noise(2, channels, time, seed=1).double()
    plain = bss_eval(ArraySignals(references), ArraySignals(estimates), window=time)
    scaled = bss_eval(ArraySignals(gain * references), ArraySignals(gain * estimates), window=time)
    swapped = bss_eval(ArraySignals(references.flip(0)), ArraySignals(estimates.flip(0)), window=time)
    for metric in ("SDR", "ISR", "SIR", "SAR"):
        expected = getattr(plain, metric)
        assert bool(expected.isfinite().all())
        assert torch.allclose(getattr(scaled, metric), expected, atol=1e-6)
        assert torch.allclose(getattr(swapped, metric).flip(0), expected, atol=1e-6)
