"""Precision and recall of masks, with scikit-learn as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_score, recall_score

from separation.audio.files import read
from separation.evaluation.mask_scores import STEPS, MaskCurve, mask_scores
from separation.evaluation.signals import ArraySignals
from separation.evaluation.spectra import Frames
from separation.spectral.masks import binary_mask, ratio_mask
from tests.conftest import SAMPLES

SOURCES = ("vocals", "drums", "bass", "other")
SMALL = Frames(n_fft=512, hop_length=128)


@pytest.fixture(scope="module")
def stems() -> torch.Tensor:
    """3 s of the sample track, (sources, channels, time)."""
    paths = [next((SAMPLES / "night-drive").glob(f"{source}.*")) for source in SOURCES]
    return torch.stack([read(path, start=4, duration=3).waveform for path in paths])


@pytest.fixture(scope="module")
def leaky(stems: torch.Tensor) -> torch.Tensor:
    """Estimates with a third of the others in them."""
    return stems + (stems.sum(0) - stems) / 3 * torch.tensor([1.0, 0.6, 0.3, 1.4])[:, None, None]


def scores(references: torch.Tensor, estimates: torch.Tensor) -> list[MaskCurve]:
    return mask_scores(ArraySignals(references), ArraySignals(estimates), frames=SMALL)


def bins(x: torch.Tensor) -> torch.Tensor:
    """An independent transform, zeros at the ends, (sources, channels, bins, frames)."""
    flat = x.double().flatten(0, 1)
    window = torch.hann_window(512, dtype=torch.float64)
    found = torch.stft(flat, 512, 128, window=window, center=True, pad_mode="constant", return_complex=True)
    return found.unflatten(0, x.shape[:2])


def test_the_curve_equals_scikit_learns(stems: torch.Tensor, leaky: torch.Tensor) -> None:
    S, E = bins(stems), bins(leaky)
    loud = S.sum(0).abs()
    counted = loud > loud.max() / 1000
    ideal, share = binary_mask(S.abs()), ratio_mask(E.abs())
    for row, curve in enumerate(scores(stems, leaky)):
        truth, level = ideal[row][counted].numpy(), share[row][counted].numpy()
        assert curve.average_precision == pytest.approx(average_precision_score(truth, level), abs=1e-3)
        assert curve.prevalence == pytest.approx(truth.mean(), abs=1e-9)
        for threshold in (0.1, 0.25, 0.5, 0.8):
            precision, recall = curve.at(threshold)
            assert precision == pytest.approx(precision_score(truth, level >= threshold), abs=1e-4)
            assert recall == pytest.approx(recall_score(truth, level >= threshold), abs=1e-4)


def test_every_point_is_that_of_a_plain_computation(stems: torch.Tensor, leaky: torch.Tensor) -> None:
    """One threshold at a time, from all bins at once."""
    stems, leaky = stems[..., :30_000], leaky[..., :30_000]
    S, E, loud = bins(stems).abs(), bins(leaky).abs(), bins(stems).sum(0).abs()
    counted = loud > loud.max() / 1000
    share = (E / E.sum(0))[:, counted]
    ideal = S.argmax(0)[counted]
    for row, curve in enumerate(scores(stems, leaky)):
        mine = ideal == row
        assert curve.prevalence == float(mine.double().mean())
        assert len(curve.precision) == len(curve.recall) == STEPS + 1
        for point, threshold in enumerate(np.arange(STEPS + 1) / STEPS):
            chosen = share[row] >= threshold - 1e-9
            true = int((chosen & mine).sum())
            assert curve.precision[point] == (true / int(chosen.sum()) if chosen.any() else 1)
            assert curve.recall[point] == true / int(mine.sum())


@pytest.mark.parametrize("read, frames", [(10_000, 10_000), (7, 3), (10, 1)])
def test_the_pieces_do_not_change_a_count(
    stems: torch.Tensor, leaky: torch.Tensor, monkeypatch: pytest.MonkeyPatch, read: int, frames: int
) -> None:
    usual = scores(stems, leaky)
    monkeypatch.setattr("separation.evaluation.spectra._READ", read)
    monkeypatch.setattr("separation.evaluation.spectra._GROUP", frames)
    for one, other in zip(usual, scores(stems, leaky), strict=True):
        np.testing.assert_array_equal(one.precision, other.precision)
        np.testing.assert_array_equal(one.recall, other.recall)


def test_true_sources_score_high_and_the_mixture_scores_at_chance(stems: torch.Tensor) -> None:
    perfect = scores(stems, stems)
    nothing = scores(stems, stems.sum(0)[None].expand_as(stems) / 4)
    # Not 1: among four sources the loudest one's share can be 0.3 here, and 0.4 not be the loudest there.
    assert min(curve.average_precision for curve in perfect) > 0.96
    assert all(curve.at(0.5)[0] == 1 for curve in perfect)  # what has more than half is the loudest
    for curve in nothing:
        assert curve.average_precision == pytest.approx(curve.prevalence)
        assert curve.at(0.2) == pytest.approx((curve.prevalence, 1.0))
        assert curve.at(0.3) == (1.0, 0.0)  # nothing is chosen


def test_a_mask_value_equal_to_the_threshold_is_selected(stems: torch.Tensor) -> None:
    """Five estimates of a fifth each: whichever way 1/5 was rounded, 0.2 chooses every bin."""
    five = torch.cat([stems, stems[:1].roll(3000, -1)])  # no two are alike
    for curve in scores(five, stems.sum(0)[None].expand_as(five) / 5):
        assert curve.at(0.2) == pytest.approx((curve.prevalence, 1.0))
        assert curve.at(0.201) == (1.0, 0.0)


def test_noise_scores_at_chance(stems: torch.Tensor) -> None:
    noise = torch.randn(stems.shape, generator=torch.Generator().manual_seed(3))
    for curve in scores(stems, noise):
        assert curve.average_precision == pytest.approx(curve.prevalence, abs=0.02)


def test_recall_decreases_with_the_threshold(stems: torch.Tensor, leaky: torch.Tensor) -> None:
    for curve in scores(stems, leaky):
        assert (np.diff(curve.recall) <= 0).all()
        assert curve.recall[0] == 1
        assert curve.precision[0] == pytest.approx(curve.prevalence)


def test_inaudible_bins_are_ignored(stems: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 dB of other dynamics change which bins count; hiss far below changes nothing."""
    hiss = 1e-6 * torch.randn(stems.shape, generator=torch.Generator().manual_seed(0))
    clean, noisy = scores(stems, stems), scores(stems, stems + hiss)
    for one, other in zip(clean, noisy, strict=True):
        assert other.average_precision == pytest.approx(one.average_precision, abs=5e-3)
    monkeypatch.setattr("separation.evaluation.mask_scores._RANGE_DB", 20)
    assert scores(stems, stems)[0].prevalence != clean[0].prevalence


@pytest.mark.parametrize("time", [1, 127, 128, 513])
def test_short_signals_are_scored(time: int) -> None:
    sound = torch.randn(2, 1, time, generator=torch.Generator().manual_seed(1))
    for curve in scores(sound, sound):
        assert curve.average_precision == pytest.approx(1, abs=1e-9) or curve.prevalence == 0


def test_silence_has_no_curve() -> None:
    silence = torch.zeros(3, 2, 2000)
    for curve in scores(silence, silence):
        assert np.isnan(curve.average_precision)
        assert np.isnan(curve.recall).all()
        assert (curve.precision == 1).all()


def test_silent_stretches_are_not_counted(stems: torch.Tensor, leaky: torch.Tensor) -> None:
    padded = [torch.nn.functional.pad(signals, (20_480, 20_480)) for signals in (stems, leaky)]  # 160 hops
    for one, other in zip(scores(stems, leaky), scores(*padded), strict=True):
        assert other.average_precision == pytest.approx(one.average_precision, abs=1e-3)  # fades at the ends


def test_references_that_cancel_have_no_curve(stems: torch.Tensor) -> None:
    """Their sum is silent, so that no bin counts."""
    opposite = torch.stack([stems[0], -stems[0]])
    assert all(np.isnan(curve.average_precision) for curve in scores(opposite, opposite))


def test_a_silent_source_has_undefined_scores(stems: torch.Tensor, leaky: torch.Tensor) -> None:
    references = stems.clone()
    references[2] = 0
    curves = scores(references, leaky)
    assert np.isnan(curves[2].average_precision)
    assert curves[2].prevalence == 0
    assert all(np.isfinite(curves[row].average_precision) for row in (0, 1, 3))


def test_wrong_arguments_are_refused(stems: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="must have one shape"):
        scores(stems, stems[..., 1:])
    broken = stems.clone()
    broken[1, 0, 40_000] = torch.nan
    for references, estimates in ((stems, broken), (broken, stems)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            scores(references, estimates)
    with pytest.raises(ValueError, match=r"a threshold is in 0\.\.1, got 1\.5"):
        scores(stems, stems)[0].at(1.5)
