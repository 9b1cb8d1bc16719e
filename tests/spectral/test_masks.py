"""Time-frequency masks."""

from __future__ import annotations

import torch
from torch import Tensor

from separation.spectral.masks import apply_mixture_phase, binary_mask, ratio_mask


def test_ratio_masks_sum_to_one(stems: Tensor) -> None:
    V = stems.abs()
    for power in (1.0, 2.0, 0.5):
        masks = ratio_mask(V, power=power)
        assert masks.min() >= 0
        assert masks.max() <= 1
        loud = (V**power).sum(0) > 1e-4
        torch.testing.assert_close(masks.sum(0)[loud], torch.ones(int(loud.sum()), dtype=V.dtype), rtol=0, atol=1e-5)
        torch.testing.assert_close(masks[0][loud] * (V**power).sum(0)[loud], V[0][loud] ** power, rtol=1e-5, atol=0)


def test_ratio_masks_of_silent_bins_are_zero() -> None:
    assert (ratio_mask(torch.zeros(4, 2, 3)) == 0).all()


def test_binary_masks_assign_each_bin_to_the_loudest_source(stems: Tensor) -> None:
    V = stems.abs()
    masks = binary_mask(V)
    assert masks.dtype == V.dtype
    assert ((masks == 0) | (masks == 1)).all()
    assert (masks.sum(0) == 1).all()
    assert torch.equal((masks * V).sum(0), V.max(0).values)
    assert (masks.mean((1, 2, 3)) > 0.01).all()  # nobody takes it all


def test_binary_masks_break_ties_by_source_order() -> None:
    assert binary_mask(torch.ones(3, 2)).tolist() == [[1, 1], [0, 0], [0, 0]]
    assert binary_mask(torch.tensor([[0.0], [2.0], [2.0]])).tolist() == [[0], [1], [0]]


def test_the_phase_of_a_silent_mixture_is_zero() -> None:
    X = torch.tensor([[[3 + 4j, 0, -2j]]], dtype=torch.complex64)
    Y = apply_mixture_phase(torch.tensor([[[[10.0, 7.0, 1.0]]]]), X)
    torch.testing.assert_close(Y, torch.tensor([[[[6 + 8j, 7 + 0j, -1j]]]], dtype=torch.complex64))
