"""Stems that sum to the mixture."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from separation.pipeline.consistency import MixtureConsistency
from tests.pipeline.helpers import Copies, noise, read_stem, separate


@pytest.mark.parametrize("block", [997, 5000, 100_000])
def test_stems_can_be_made_to_sum_to_the_mixture(tmp_path: Path, block: int) -> None:
    separator = Copies(gains=(0.4, 0.2, 0.1, 0.0), block=block)
    audio = noise()
    result = separate(audio, separator, tmp_path / "stems", sum_to_mixture=True, float32=True)
    stems = {source: read_stem(path).float() for source, path in result.stems.items()}
    torch.testing.assert_close(sum(stems.values()), audio.waveform, atol=1e-6, rtol=0)
    # Each gets the residual by its energy: 16 : 4 : 1 of what 0.7 leaves of the mixture, and silence gets nothing.
    torch.testing.assert_close(stems["vocals"], (0.4 + 0.3 * 16 / 21) * audio.waveform, atol=1e-5, rtol=0)
    assert float(stems["other"].abs().max()) < 1e-6
    assert json.loads(result.card.read_text())["sum_to_mixture"] is True


def test_a_selection_of_stems_cannot_sum_to_the_mixture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the stems can sum to the mixture only if all are written"):
        separate(noise(), Copies(), tmp_path / "stems", sum_to_mixture=True, stems=["vocals"])
    assert not (tmp_path / "stems").exists()


def test_the_residual_follows_the_stems_within_50_ms() -> None:
    """One stem ends where the next begins: its share of the residual decays with a time constant of 50 ms."""
    rate = 8000
    stems = torch.zeros(2, 1, 2 * rate, dtype=torch.float64)
    stems[0, :, :rate] = stems[1, :, rate:] = 0.5
    residual = 0.1
    adjusted = MixtureConsistency(2, rate)(stems.sum(0) + residual, stems)
    shares = (adjusted - stems)[:, 0] / residual
    torch.testing.assert_close(shares.sum(0), torch.ones(2 * rate, dtype=torch.float64))
    for seconds in (0.05, 0.25):
        assert float(shares[0, rate + round(seconds * rate)]) == pytest.approx(math.exp(-seconds / 0.05), rel=0.02)


def test_silent_stems_share_the_residual_equally(tmp_path: Path) -> None:
    result = separate(noise(), Copies(gains=(0.0,) * 4), tmp_path / "stems", sum_to_mixture=True, float32=True)
    for path in result.stems.values():
        torch.testing.assert_close(read_stem(path).float(), noise().waveform / 4, atol=1e-6, rtol=0)


def test_the_block_callback_receives_every_block(tmp_path: Path) -> None:
    heard: list[tuple[Tensor, Tensor]] = []
    audio = noise()
    result = separate(audio, Copies(block=3000), tmp_path / "stems", on_block=lambda *b: heard.append(b), float32=True)
    mixture, stems = (torch.cat(parts, dim=-1) for parts in zip(*heard, strict=True))
    torch.testing.assert_close(mixture, audio.waveform)
    for stem, path in zip(stems, result.stems.values(), strict=True):
        torch.testing.assert_close(stem, read_stem(path).float())
