"""The mixture as the baseline."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from separation.separators.mixture import Mix


def test_every_stem_is_a_quarter_of_the_mixture(lopsided_song: Tensor) -> None:
    method = Mix()
    assert method.sources == ("vocals", "drums", "bass", "other")
    stems = method.separate(lopsided_song)
    assert stems.shape == (4, *lopsided_song.shape)
    for stem in stems:
        assert torch.equal(stem, lopsided_song / 4)
    assert torch.equal(stems.sum(0), lopsided_song)


@pytest.mark.parametrize("frames", [1, 2, 1000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_length_and_number_of_channels(channels: int, frames: int) -> None:
    mixture = torch.rand(channels, frames)
    separator = Mix().at(sample_rate=8000, channels=channels)
    assert separator.sample_rate == 8000
    assert torch.equal(separator.separate(mixture), (mixture / 4).expand(4, -1, -1))
