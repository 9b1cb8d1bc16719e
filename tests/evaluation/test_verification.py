"""Scores are compared with museval's own, and differences are reported."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from separation.evaluation.bss_eval import Scores, bss_eval
from separation.evaluation.signals import ArraySignals
from separation.evaluation.verification import require_museval, summarise_verifications, verify_scores

RATE = 4000
Pair = tuple[ArraySignals, ArraySignals]


@pytest.fixture(scope="module")
def pair() -> Pair:
    random = torch.Generator().manual_seed(1)
    references = 0.1 * torch.randn(2, 1, 3 * RATE, generator=random, dtype=torch.float64)
    hiss = 0.01 * torch.randn(references.shape, generator=random, dtype=torch.float64)
    return ArraySignals(references), ArraySignals(0.8 * references + 0.2 * references.sum(0) + hiss)


@pytest.fixture(scope="module")
def scores(pair: Pair) -> Scores:
    return bss_eval(*pair, window=RATE, hop=RATE)


def test_correct_scores_differ_by_rounding(pair: Pair, scores: Scores) -> None:
    found = verify_scores(scores, *pair, RATE)
    assert (found["museval_version"], found["frames"], found["only_one"]) == ("0.4.1", 3, 0)
    assert all(value < 1e-6 for value in found["largest_difference"].values())


def test_a_wrong_score_is_reported(pair: Pair, scores: Scores) -> None:
    wrong = scores.SIR.clone()
    wrong[1, 2] += 0.25
    missing = scores.SDR.clone()
    missing[:, 0] = torch.nan
    found = verify_scores(replace(scores, SIR=wrong, SDR=missing), *pair, RATE)
    assert found["largest_difference"]["SIR"] == pytest.approx(0.25, abs=1e-6)
    assert found["largest_difference"]["SAR"] < 1e-6
    assert found["only_one"] == 1


def test_scores_of_perfect_estimates_are_not_compared(pair: Pair) -> None:
    perfect = bss_eval(pair[0], pair[0], window=RATE, hop=RATE)
    found = verify_scores(perfect, pair[0], pair[0], RATE)
    assert found["largest_difference"]["SDR"] is None
    assert found["only_one"] == 0


def test_unnamed_estimates_are_verified_in_their_order(pair: Pair) -> None:
    swapped = ArraySignals(pair[1].samples.flip(0))
    found = verify_scores(
        bss_eval(pair[0], swapped, window=RATE, hop=RATE, permute=True), pair[0], swapped, RATE, permute=True
    )
    assert all(value < 1e-6 for value in found["largest_difference"].values())


def test_what_museval_refuses_is_an_error(pair: Pair, scores: Scores) -> None:
    silent = pair[0].samples.clone()
    silent[1] = 0
    assert "museval refuses the track" in verify_scores(scores, ArraySignals(silent), pair[1], RATE)["error"]
    fewer = ArraySignals(pair[1].samples[:1])
    assert verify_scores(scores, pair[0], fewer, RATE)["error"] == "museval needs an estimate for every reference"


def test_tracks_are_summarised() -> None:
    def one(**differences: float | None) -> dict[str, Any]:
        found = {"SDR": 0.0, "ISR": 0.0, "SIR": 0.0, "SAR": 0.0} | differences
        return {"museval_version": "0.4.1", "frames": 3, "only_one": 1, "largest_difference": found}

    document = summarise_verifications(
        [one(SDR=2e-9), one(SDR=1e-9, ISR=None), {"museval_version": "0.4.1", "error": "x"}]
    )
    assert (document["tracks"], document["refused"], document["frames"], document["only_one"]) == (2, 1, 6, 2)
    assert document["largest_difference"] == {"SDR": 2e-9, "ISR": 0.0, "SIR": 0.0, "SAR": 0.0}


def test_a_missing_museval_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_museval()
    monkeypatch.setitem(sys.modules, "museval", None)
    monkeypatch.setitem(sys.modules, "museval.metrics", None)
    with pytest.raises(ValueError, match=r"run pip install '\.\[verify\]'"):
        require_museval()


def test_a_missing_ffmpeg_is_an_error_that_names_it() -> None:
    """museval looks for it when it is imported, hence in a new process."""
    code = "from separation.evaluation.verification import require_museval; require_museval()"
    environment = os.environ | {"PATH": os.devnull}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("ValueError: --verify needs the program ffmpeg, which museval looks for\n")
