"""museval with its function replaced by ours: what its own tests ask for still holds.

The modes that this project has no use for, filters per frame and the older "sources" version, stay museval's.
Its own tests are `test_bsseval` and `test_regression`; these ask the same and more, since the answers of the
function that was replaced are there to compare with.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import musdb
import museval
import museval.metrics
import numpy as np
import pytest
import torch

from separation.evaluation.bss_eval import bss_eval
from separation.evaluation.signals import ArraySignals

METRICS = ("SDR", "ISR", "SIR", "SAR")
original = museval.metrics.bss_eval
calls: list[tuple[int, ...]] = []


def bss_eval_replacement(
    references: np.ndarray,
    estimates: np.ndarray,
    window: float = 88200,
    hop: float = 66150,
    compute_permutation: bool = False,
    filters_len: int = 512,
    framewise_filters: bool = False,
    bsseval_sources_version: bool = False,
) -> Any:
    """museval's signature and its checks of the input, our numbers; (sources, time, channels) in."""
    modes = {
        "compute_permutation": compute_permutation,
        "filters_len": filters_len,
        "framewise_filters": framewise_filters,
        "bsseval_sources_version": bsseval_sources_version,
    }
    if framewise_filters or bsseval_sources_version or filters_len != 512 or not references.size:
        return original(references, estimates, window=window, hop=hop, **modes)
    references, estimates = (x if x.ndim == 3 else np.atleast_2d(x)[..., None] for x in (references, estimates))
    museval.metrics.validate(references, estimates)
    calls.append(references.shape)
    time = references.shape[1]
    scores = bss_eval(
        *(ArraySignals(torch.from_numpy(x.transpose(0, 2, 1).copy())) for x in (references, estimates)),
        window=int(min(window, time)),
        hop=int(hop),
        permute=compute_permutation,
    )
    order = np.array(scores.permutation)[:, None].repeat(scores.SDR.shape[1], 1)
    return (*(getattr(scores, name).numpy() for name in METRICS), order)


@pytest.fixture(scope="module")
def track(musdb_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The first clip, in a folder of its own: musdb opens every file of a folder."""
    folder = tmp_path_factory.mktemp("clip")
    path = min((musdb_root / "test").glob("*.stem.mp4"))
    (folder / "test").mkdir()
    (folder / "test" / path.name).symlink_to(path)
    return musdb.DB(root=str(folder), subsets=["test"])[0]


@pytest.fixture(autouse=True)
def replace_bss_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    calls.clear()
    monkeypatch.setattr(museval.metrics, "bss_eval", bss_eval_replacement)


def random_pair(sources_version: bool) -> tuple[np.ndarray, np.ndarray]:
    """Uniform numbers, which are far from zero in the mean, as museval tests with."""
    random = np.random.default_rng(0)
    shape = (2, 2000) if sources_version else (2, 2000, 2)
    return random.random(shape), random.random(shape)


@pytest.mark.parametrize("framewise", [False, True])
@pytest.mark.parametrize("sources_version", [False, True])
def test_scores_of_random_sources_equal_museval(framewise: bool, sources_version: bool) -> None:
    pair = random_pair(sources_version)
    modes = {"framewise_filters": framewise, "bsseval_sources_version": sources_version, "window": 2000, "hop": 2000}
    *ours, order = museval.metrics.bss_eval(*pair, **modes)
    *theirs, expected = original(*pair, **modes)
    np.testing.assert_array_equal(order, expected)
    for mine, his in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, his, atol=1e-6, rtol=0)
    assert bool(calls) == (not framewise and not sources_version)


@pytest.mark.parametrize("framewise", [False, True])
def test_empty_input_gives_empty_scores(framewise: bool) -> None:
    with pytest.warns(UserWarning):
        output = museval.metrics.bss_eval(np.array([]), np.array([]), framewise_filters=framewise)
    assert np.allclose(output, np.array([]))


@pytest.mark.parametrize("framewise", [False, True])
def test_museval_refuses_silent_estimates(framewise: bool) -> None:
    references, _ = random_pair(False)
    with pytest.raises(ValueError, match="zero"):
        museval.metrics.bss_eval(references, np.zeros_like(references), framewise_filters=framewise)


@pytest.mark.parametrize(
    "name", ["bss_eval_sources", "bss_eval_images", "bss_eval_sources_framewise", "bss_eval_images_framewise"]
)
def test_museval_wrappers_return_finite_scores(name: str) -> None:
    pair = random_pair(sources_version="sources" in name)
    found = getattr(museval.metrics, name)(*pair)
    assert all(np.isfinite(values).all() for values in found)


def test_eval_mus_track_scores_a_musdb18_track(track: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its regression test: noise for vocals and accompaniment of one clip."""
    random = np.random.default_rng(0)
    estimates = {target: random.random(track.audio.shape) for target in ("vocals", "accompaniment")}
    ours = museval.eval_mus_track(track, estimates)
    assert calls
    assert ours.validate() is None
    monkeypatch.setattr(museval.metrics, "bss_eval", original)
    theirs = museval.eval_mus_track(track, estimates)
    mine, his = (json.loads(store.json)["targets"] for store in (ours, theirs))
    assert [target["name"] for target in mine] == [target["name"] for target in his] == ["vocals", "accompaniment"]
    for a, b in zip(mine, his, strict=True):
        for name in METRICS:
            first, second = ([frame["metrics"][name] for frame in target["frames"]] for target in (a, b))
            np.testing.assert_allclose(first, second, atol=2e-5, rtol=0)


def test_one_estimate_has_no_scores(track: Any) -> None:
    with pytest.warns(UserWarning):
        scores = museval.eval_mus_track(track, {"vocals": np.random.default_rng(0).random(track.audio.shape)})
    assert json.loads(scores.json)["targets"] == []
