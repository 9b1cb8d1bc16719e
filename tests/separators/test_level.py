"""The bundled models at any level, polarity and offset of the mixture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from separation.audio.files import read
from separation.separators import create
from separation.separators.base import Separator
from tests.conftest import snr


@pytest.fixture(scope="module")
def mixture(sample: Path) -> Tensor:
    return read(sample / "mixture.flac", start=4.0, duration=2.0).waveform


@pytest.fixture(scope="module", params=["open-unmix", "demucs", "spleeter"])
def separator(request: pytest.FixtureRequest) -> Separator:
    return create(request.param)


@pytest.mark.parametrize("quiet", [1e-6, 1e-4, 1e-2])
def test_stems_scale_with_the_mixture(separator: Separator, mixture: Tensor, quiet: float) -> None:
    stems = separator.separate(1e2 * mixture)
    assert snr(separator.separate(quiet * mixture) / quiet, stems / 1e2) > 60


@pytest.mark.parametrize("quiet", [1e-4, 1e-3, 0.1])
def test_quiet_mixtures_score_as_well_as_loud_ones(
    separator: Separator, sample: Path, mixture: Tensor, quiet: float
) -> None:
    vocals = read(sample / "vocals.ogg", start=4.0, duration=2.0).waveform
    known = {"vocals": vocals, "accompaniment": mixture - vocals}
    sources = [
        known[name] if name in known else read(sample / f"{name}.ogg", start=4.0, duration=2.0).waveform
        for name in separator.sources
    ]
    ordinary, stems = separator.separate(mixture), separator.separate(quiet * mixture) / quiet
    for source, stem, expected in zip(sources, stems, ordinary, strict=True):
        assert snr(source, stem) > snr(source, expected) - 0.1


def test_opposite_polarity_of_channels_is_corrected(separator: Separator, mixture: Tensor) -> None:
    mono = mixture.mean(0)
    stems, inverted = separator.separate(torch.stack([mono, mono])), separator.separate(torch.stack([mono, -mono]))
    assert snr(inverted * torch.tensor([[1.0], [-1.0]]), stems) > 60


def test_a_silent_channel_does_not_affect_the_other(separator: Separator, mixture: Tensor) -> None:
    mono = mixture.mean(0)
    both = separator.separate(torch.stack([mono, mono]))
    one = separator.separate(torch.stack([mono, 0 * mono]))
    assert snr(one[:, 0], both[:, 0]) > 60
    assert one[:, 1].abs().max() == 0


def test_an_offset_is_shared_equally(separator: Separator, mixture: Tensor) -> None:
    offset = torch.tensor([[0.3], [-0.1]])
    stems, shifted = separator.separate(mixture), separator.separate(mixture + offset)
    assert snr(shifted - offset / len(stems), stems) > 50
    torch.testing.assert_close(shifted.sum(0).mean(1), (mixture + offset).mean(1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_is_shared_equally(separator: Separator, value: float) -> None:
    stems = separator.separate(torch.full((2, 44100), value))
    torch.testing.assert_close(stems, torch.full_like(stems, value / len(stems)), atol=1e-5, rtol=0)


def test_an_unknown_level_is_refused() -> None:
    for method in ("open-unmix", "demucs", "spleeter"):
        with pytest.raises(ValueError, match="level must be invariant or upstream, got 'loud'"):
            create(method, options={"level": "loud"})
