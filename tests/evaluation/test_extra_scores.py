"""Bleedless, fullness, L1 freq, Aura STFT and log-WMSE, against the repository that defines them."""

from __future__ import annotations

import json
import math

import librosa
import numpy as np
import pytest
import soxr
import torch

from separation.evaluation.extra_scores import extra_scores
from separation.evaluation.metrics import (
    EXTRA_METRICS,
    FRAME_METRICS,
    METRIC_UNITS,
    TRACK_METRICS,
    parse_metrics,
)
from separation.evaluation.signals import ArraySignals
from separation.evaluation.spectral_scores import mel_filters
from tests.conftest import ROOT
from tests.evaluation.extra_metric_cases import RATE, cases

GOLDEN = json.loads((ROOT / "tests" / "golden" / "extra_metrics.json").read_text(encoding="utf-8"))["scores"]
CASES = cases()


def signals(*waves: np.ndarray) -> ArraySignals:
    return ArraySignals(torch.from_numpy(np.stack(waves)))


def score(
    reference: np.ndarray, estimate: np.ndarray, mixture: np.ndarray, *, rate: int = RATE, names: tuple[str, ...]
) -> dict[str, float]:
    found = extra_scores(names, signals(reference), signals(estimate), signals(mixture), rate)
    return {name: float(values[0]) for name, values in found.items()}


@pytest.mark.parametrize("case", CASES)
def test_scores_equal_those_of_the_training_repository(case: str) -> None:
    """Theirs are computed in float32, whose rounding reaches 1e-4 of the value."""
    found = score(*CASES[case], names=EXTRA_METRICS)
    assert found == pytest.approx(GOLDEN[case], rel=1e-4, abs=1e-4)


def test_several_sources_are_scored_as_each_alone() -> None:
    chosen = [CASES[name] for name in ("leaky", "mixture", "silent reference")]
    mixture = signals(chosen[0][2])
    together = extra_scores(
        EXTRA_METRICS, signals(*(c[0] for c in chosen)), signals(*(c[1] for c in chosen)), mixture, RATE
    )
    for row, (reference, estimate, mix) in enumerate(chosen):
        alone = score(reference, estimate, mix, names=EXTRA_METRICS)
        assert {name: float(values[row]) for name, values in together.items()} == pytest.approx(alone, rel=1e-9)


def test_the_blocks_do_not_change_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    waves = [wave[:, :50_000] for wave in CASES["leaky"]]
    usual = score(*waves, names=EXTRA_METRICS)
    monkeypatch.setattr("separation.evaluation.spectra._READ", 3)
    monkeypatch.setattr("separation.evaluation.spectra._GROUP", 2)
    monkeypatch.setattr("separation.evaluation.log_wmse._BLOCK", 1000)
    assert score(*waves, names=EXTRA_METRICS) == pytest.approx(usual, rel=1e-9)


@pytest.mark.parametrize(("rate", "expected"), [(16000, 13.148888), (48000, 12.893642)])
def test_log_wmse_at_other_rates_is_close_to_that_of_resampled_signals(rate: int, expected: float) -> None:
    """The package log-wmse-audio-quality 0.2.0 resamples the signals to 44.1 kHz."""
    reference, estimate, mixture = (soxr.resample(wave.T, RATE, rate).T for wave in CASES["leaky"])
    found = score(reference, estimate, mixture, rate=rate, names=("log_wmse",))["log_wmse"]
    assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("time", [1, 512, 513, 1024, 1025, 5000])
def test_short_signals_have_finite_scores_or_none(time: int) -> None:
    found = score(*(wave[:, :time] for wave in CASES["leaky"]), names=EXTRA_METRICS)
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {name for name, shortest in (("l1_freq", 1025), ("aura_stft", 513)) if time < shortest}


@pytest.mark.parametrize(("rate", "n_fft", "count"), [(44100, 4096, 512), (16000, 1024, 40), (8000, 512, 20)])
def test_mel_filters_equal_librosas(rate: int, n_fft: int, count: int) -> None:
    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=count, dtype=np.float64)
    np.testing.assert_allclose(mel_filters(rate, n_fft, count), expected, atol=1e-12)


def test_every_metric_is_described_in_two_sentences() -> None:
    assert tuple(METRIC_UNITS) == FRAME_METRICS + TRACK_METRICS + EXTRA_METRICS
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    table = [row.strip("| ").split(" | ") for row in page.splitlines() if row.count(" | ") == 4]
    rows = {name: rest for name, *rest in table}
    for metric, unit in METRIC_UNITS.items():
        documented, _, hears, misses = rows[metric]
        assert documented == (unit or "-")
        assert all(text.endswith(".") and ". " not in text for text in (hears, misses))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("all", EXTRA_METRICS),
        ("fullness, bleedless", ("bleedless", "fullness")),
        ("SDR,log_wmse", ("log_wmse",)),
    ],
)
def test_metrics_are_parsed_in_the_order_of_the_table(text: str, expected: tuple[str, ...]) -> None:
    assert parse_metrics(text) == expected


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown metric 'bleed': --metrics takes all, or a list of bleedless"):
        parse_metrics("fullness,bleed")
