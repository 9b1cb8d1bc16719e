"""uSDR and SI-SDR of whole tracks, on signals whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from separation.evaluation.signals import ArraySignals
from separation.evaluation.whole_track import whole_track_scores


def test_scaling_changes_usdr_but_not_si_sdr(generator: torch.Generator) -> None:
    source = torch.randn(1, 2, 50000, generator=generator, dtype=torch.float64)
    scores = whole_track_scores(ArraySignals(source), ArraySignals(0.5 * source))
    assert scores.usdr[0] == pytest.approx(6.0206, abs=1e-3)
    assert scores.si_sdr[0] > 150


def test_orthogonal_noise_gives_its_signal_to_noise_ratio(generator: torch.Generator) -> None:
    source = torch.zeros(1, 1, 40000, dtype=torch.float64)
    noise = torch.zeros_like(source)
    source[..., ::2], noise[..., 1::2] = 1.0, 0.1
    scores = whole_track_scores(ArraySignals(source), ArraySignals(3 * source + noise))
    assert scores.si_sdr[0] == pytest.approx(20 * np.log10(30), abs=1e-9)
    assert scores.usdr[0] == pytest.approx(-10 * np.log10(4 + 0.01), abs=1e-6)


def test_block_sums_equal_whole_sums(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    source, estimate = torch.randn(2, 2, 1, 30000, generator=generator, dtype=torch.float64)
    whole = whole_track_scores(ArraySignals(source), ArraySignals(estimate))
    monkeypatch.setattr("separation.evaluation.whole_track.BLOCK", 777)
    pieces = whole_track_scores(ArraySignals(source), ArraySignals(estimate))
    np.testing.assert_allclose(pieces.usdr, whole.usdr)
    np.testing.assert_allclose(pieces.si_sdr, whole.si_sdr)


def test_only_a_source_without_any_sound_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("separation.evaluation.whole_track.BLOCK", 100)
    signals = torch.zeros(3, 2, 1050)
    signals[1, 1, 1049] = -1e-30
    scores = whole_track_scores(ArraySignals(signals), ArraySignals(torch.ones(3, 2, 1050)))
    assert scores.silent_references.tolist() == [True, False, True]
    assert not scores.silent_estimates.any()
    assert whole_track_scores(ArraySignals(signals), ArraySignals(signals)).silent_estimates.tolist() == [
        True,
        False,
        True,
    ]
