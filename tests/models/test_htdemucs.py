"""HT-Demucs against upstream's network with the same random weights."""

from __future__ import annotations

from typing import Any

import demucs.htdemucs
import pytest
import torch
from torch import nn

from separation.models.htdemucs import HTDemucs
from tests.models.helpers import with_active_branches

SOURCES = ["drums", "bass", "other", "vocals"]
SHAPES: dict[str, dict[str, Any]] = {
    "all parts": {
        "channels": 8,
        "nfft": 1024,
        "depth": 3,
        "dconv_mode": 3,
        "t_layers": 3,
        "t_heads": 2,
        "bottom_channels": 24,
    },
    "cross first": {"channels": 8, "t_layers": 2, "t_cross_first": True},
    "decoder branches only": {"channels": 8, "nfft": 1024, "depth": 2, "dconv_mode": 2, "t_layers": 1, "freq_emb": 0},
}


def pair(segment: float, **shape: Any) -> tuple[nn.Module, HTDemucs]:
    torch.manual_seed(0)
    theirs = with_active_branches(demucs.htdemucs.HTDemucs(SOURCES, segment=segment, **shape))
    ours = HTDemucs(SOURCES, segment_length=int(segment * 44100), **shape).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@torch.inference_mode()
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("length", [22050, 17001, 1])
def test_the_output_equals_upstreams(shape: str, length: int) -> None:
    theirs, ours = pair(0.5, **SHAPES[shape])
    mixture = 0.1 * torch.randn(2, 2, length, generator=torch.Generator().manual_seed(1))
    expected = theirs(mixture)
    assert expected.abs().max() > 1e-5
    torch.testing.assert_close(ours(mixture), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@torch.inference_mode()
def test_a_single_source_equals_its_row_of_the_full_output() -> None:
    _, network = pair(0.5, **SHAPES["all parts"])
    mixture = 0.1 * torch.randn(1, 2, 22050, generator=torch.Generator().manual_seed(1))
    every = network(mixture)
    network.keep_source("other")
    torch.testing.assert_close(network(mixture), every[:, 2:3], rtol=0, atol=1e-6)


@torch.inference_mode()
@pytest.mark.slow  # 42 million parameters on 7.8 s, twice
def test_the_released_size_equals_upstreams() -> None:
    theirs, ours = pair(7.8, bottom_channels=512, dconv_mode=3)
    mixture = 0.1 * torch.randn(1, 2, 343980, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(mixture), theirs(mixture), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "shape", [{"depth": 5}, {"nfft": 1000}, {"kernel_size": 4}, {"bottom_channels": 30}, {"t_heads": 5}]
)
def test_impossible_shapes_are_refused(shape: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|too small"):
        HTDemucs(SOURCES, channels=8, **shape)
