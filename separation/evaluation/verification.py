"""Verify the scores of a track with museval itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from separation.evaluation.bss_eval import Scores
from separation.evaluation.metrics import FRAME_METRICS
from separation.evaluation.signals import Signals

__all__ = ["require_museval", "summarise_verifications", "verify_scores"]

_USUAL = 100.0  # dB: the scores of nearly perfect estimates are rounding errors, and not compared


def require_museval() -> None:
    """Raise ValueError if museval is not installed, or lacks a program that it needs."""
    try:
        import museval.metrics  # noqa: F401
    except ImportError as error:
        raise ValueError("--verify needs museval: in the project's folder, run pip install '.[verify]'") from error
    except RuntimeError as error:  # stempeg, which museval imports, looks for ffmpeg and ffprobe
        raise ValueError("--verify needs the program ffmpeg, which museval looks for") from error


def verify_scores(
    scores: Scores, references: Signals, estimates: Signals, rate: int, *, permute: bool = False
) -> dict[str, Any]:
    """Compute the scores of BSSEval v4 with museval, and compare.

    museval holds whole signals in memory: about 1 GB for each minute of four stereo sources.

    Parameters
    ----------
    scores : Scores
        The scores to be verified.
    references, estimates : Signals, shape (sources, channels, time)
    rate : int
        Sample rate in Hz, which is also the frame length in samples.
    permute : bool
        Whether the estimates were assigned to sources by their scores.

    Returns
    -------
    dict
        "museval_version"; "frames", the number of frames compared; "only_one", the number of frames in which only one
        of the two has scores; "largest_difference", metric -> dB, over the scores below 100 dB, None if there are
        none. Where museval has no scores, "error" says why, and the others are missing.
    """
    document: dict[str, Any] = {"museval_version": version("museval")}
    if references.shape != estimates.shape:
        return document | {"error": "museval needs an estimate for every reference"}
    from museval.metrics import bss_eval

    arrays = [signals.read(0, signals.shape[2]).permute(0, 2, 1).numpy() for signals in (references, estimates)]
    try:
        *values, _ = bss_eval(*arrays, window=rate, hop=rate, compute_permutation=permute)
    except ValueError as error:  # a source is silent throughout
        return document | {"error": f"museval refuses the track: {error}"}
    theirs = dict(zip(FRAME_METRICS, values, strict=True))
    ours = {name: getattr(scores, name).numpy() for name in FRAME_METRICS}
    one_missing = np.isnan(ours["SDR"]) != np.isnan(theirs["SDR"])
    return document | {
        "frames": int(theirs["SDR"].shape[1]),
        "only_one": int(one_missing.any(0).sum()),
        "largest_difference": {name: _largest(ours[name], theirs[name]) for name in FRAME_METRICS},
    }


def _largest(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    usual = np.isfinite(ours) & np.isfinite(theirs) & (np.abs(theirs) < _USUAL)
    return float(np.abs(ours - theirs)[usual].max()) if usual.any() else None


def summarise_verifications(verifications: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine the documents of several tracks.

    Returns
    -------
    dict
        "tracks", the number of tracks compared; "refused", the number of those that museval does not score; "frames",
        "only_one" and "largest_difference" over all tracks.
    """
    compared = [one for one in verifications if "error" not in one]
    differences = {
        name: [one["largest_difference"][name] for one in compared if one["largest_difference"][name] is not None]
        for name in FRAME_METRICS
    }
    return {
        "museval_version": verifications[0]["museval_version"] if verifications else version("museval"),
        "tracks": len(compared),
        "refused": len(verifications) - len(compared),
        "frames": sum(one["frames"] for one in compared),
        "only_one": sum(one["only_one"] for one in compared),
        "largest_difference": {name: max(found, default=None) for name, found in differences.items()},
    }
