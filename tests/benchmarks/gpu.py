"""A check of everything that runs on a GPU, in at most eight minutes: training, separation, BSSEval.

    python -m tests.benchmarks.gpu [--device cuda] [--small] [--only training separation evaluation]

It needs no data: all input is synthetic, and networks have the released sizes with random weights. What a machine lacks
is skipped, and a part that fails leaves the others. Standard output gets one JSON document with a verdict for every
figure that has a threshold, standard error a table. The exit code is 1 if a threshold is missed or a part fails.
``--small`` takes less than a minute on a CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from separation.evaluation.bss_eval import Scores
from separation.evaluation.metrics import FRAME_METRICS
from tests.benchmarks.gpu_parts import attempt, failures, finite, verdicts
from tests.benchmarks.gpu_separation import RATE, measure_separation, noise
from tests.benchmarks.gpu_training import measure_training
from tests.benchmarks.machine import describe

LIMIT = 480.0  # seconds after which the remaining parts are skipped


def evaluation(device: torch.device, *, small: bool) -> dict[str, Any]:
    """Return the seconds that BSSEval takes on both devices, and the differences of the scores."""
    from separation.evaluation.bss_eval import bss_eval
    from separation.evaluation.signals import ArraySignals

    seconds = 3.0 if small else 240.0
    references = torch.stack([noise(seconds, seed=number) for number in range(4)])
    references[1, :, :RATE] = 0  # the scores of this second are undefined
    estimates = references + 0.3 * references.roll(1, 0) + 0.1 * noise(seconds, seed=4)
    both = [ArraySignals(x) for x in (references, estimates)]
    times, scores = {}, {}
    for kind in ("cpu", device.type):
        start = time.monotonic()
        scores[kind] = bss_eval(*both, device=kind)
        times[kind] = time.monotonic() - start
    return {"audio_seconds": seconds, "seconds": times, **compare_scores(scores["cpu"], scores[device.type])}


def compare_scores(expected: Scores, found: Scores) -> dict[str, Any]:
    """Return whether the same frames are undefined, and the largest difference of each metric over the others in dB.

    The difference is None if no frame has scores of both.
    """
    same, largest = True, {}
    for metric in FRAME_METRICS:
        one, other = (getattr(scores, metric).cpu() for scores in (expected, found))
        same = same and torch.equal(one.isfinite(), other.isfinite())
        differences = (one - other).abs()[one.isfinite() & other.isfinite()]
        largest[metric] = float(differences.max()) if len(differences) else None
    return {"same_undefined": same, "largest_difference_db": largest}


def check(device: torch.device, *, small: bool, only: list[str]) -> dict[str, Any]:
    """Return the JSON document."""
    start = time.monotonic()
    deadline = start + LIMIT
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "training": lambda: measure_training(device, small=small, steps=2 if small else 30, deadline=start + LIMIT / 2),
        "evaluation": lambda: evaluation(device, small=small),
        "separation": lambda: measure_separation(device, small=small, deadline=deadline - 30),
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    document: dict[str, Any] = {"what": "check of a GPU", **describe(), "device": name}
    for part, measure in parts.items():
        if part in only:
            late = time.monotonic() > deadline - 60
            document[part] = {"skipped": "the time is over"} if late else attempt(measure)
    document["verdicts"] = verdicts(document)
    document["failures"] = failures(document)
    result: dict[str, Any] = finite(document)
    return result


def table(document: dict[str, Any]) -> str:
    """Format the measurements as lines of a name and a number."""
    lines = []

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name} / {key}" if name else key, inner)
        elif value is not None:
            lines.append(f"{name:<60} {value:.4g}" if isinstance(value, float) else f"{name:<60} {value}")

    add("", {key: value for key, value in document.items() if key not in ("what", "failures")})
    return "\n".join([*lines, *(f"failed: {line}" for line in document.get("failures", ()))])


def main() -> None:
    parser = argparse.ArgumentParser(description="Check a GPU.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", nargs="+", default=["training", "evaluation", "separation"])
    args = parser.parse_args()
    document = check(torch.device(args.device), small=args.small or args.device == "cpu", only=args.only)
    print(table(document), file=sys.stderr)
    print(json.dumps(document, indent=1))
    sys.exit(bool(document["failures"]))


if __name__ == "__main__":
    main()
