"""Parts of the check of a GPU: one failure leaves the others, and figures are compared with their thresholds."""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from separation.weights.state_dict import CheckpointError

__all__ = ["attempt", "failures", "finite", "verdicts"]

BUSY = 0.9  #: the smallest share of the time in which training keeps the GPU busy
AGREEMENT = 100.0  #: dB, the smallest agreement of stems with those of the CPU, at the default precision
SCORES = 1e-5  #: dB, the largest difference of scores from those of the CPU


def attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a measurement, "skipped" if a package or a model is missing, or the "error" after any other failure."""
    try:
        return measure()
    except (ImportError, CheckpointError) as error:
        return {"skipped": _first_line(error)}
    except Exception as error:  # the other parts are still of use
        traceback.print_exc(file=sys.stderr)
        return {"error": f"{type(error).__name__}: {_first_line(error)}"}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def verdicts(document: dict[str, Any]) -> dict[str, Any]:
    """Return for each figure with a threshold its value, the threshold, and whether it passed; None if not measured."""
    found: dict[str, Any] = {}
    for recipe, part in _parts(document, "training"):
        found[f"busy share, training {recipe}"] = _at_least(part.get("ours", {}).get("busy"), BUSY)
    for method, part in _parts(document, "separation"):
        found[f"agreement in dB, {method}"] = _at_least(part.get("agreement_fp32_db"), AGREEMENT)
    scores = document.get("evaluation", {})
    for metric, value in scores.get("largest_difference_db", {}).items():
        found[f"difference in dB, {metric}"] = _verdict(value, "at_most", SCORES, value is not None and value <= SCORES)
    if "same_undefined" in scores:
        same = scores["same_undefined"]
        found["the same frames are undefined"] = _verdict(same, "equals", True, same)
    return found


def _parts(document: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((key, part) for key, part in document.get(name, {}).items() if isinstance(part, dict))


def _at_least(value: float | None, threshold: float) -> dict[str, Any]:
    passed = None if value is None else value >= threshold  # NaN does not pass
    return _verdict(value, "at_least", threshold, passed)


def _verdict(value: Any, kind: str, threshold: Any, passed: bool | None) -> dict[str, Any]:
    return {"value": value, kind: threshold, "passed": passed}


def failures(document: dict[str, Any]) -> list[str]:
    """Return a line for each figure that misses its threshold, and for each error."""
    missed = [f"{name}: {one['value']}" for name, one in document["verdicts"].items() if one["passed"] is False]
    return missed + _errors("", document)


def _errors(name: str, part: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {part['error']}"] if "error" in part else []
    for key, inner in part.items():
        if isinstance(inner, dict):
            lines += _errors(f"{name} / {key}" if name else key, inner)
    return lines


def finite(value: Any) -> Any:
    """Return a document for JSON, which has no NaN and no infinity: they become strings."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
