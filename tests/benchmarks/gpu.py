"""A check of everything that runs on a GPU, in at most eight minutes: training, separation, BSSEval.

    python -m tests.benchmarks.gpu [--device cuda] [--small] [--only training separation evaluation]

It needs no data: all input is synthetic, and networks have the released sizes with random weights. What a machine lacks
is skipped. Standard output gets one JSON document, standard error a table. ``--small`` takes seconds on a CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from tests.benchmarks.gpu_separation import measure_separation, noise
from tests.benchmarks.gpu_training import measure_training
from tests.benchmarks.machine import describe

LIMIT = 480.0  # seconds after which the remaining parts are skipped


def evaluation(device: torch.device, *, small: bool) -> dict[str, Any]:
    """Return the seconds that BSSEval takes on both devices, and the largest difference of the scores in dB."""
    from separation.evaluation.bss_eval import bss_eval
    from separation.evaluation.signals import ArraySignals

    seconds = 3.0 if small else 240.0
    references = torch.stack([noise(seconds, seed=number) for number in range(4)])
    both = [ArraySignals(x) for x in (references, references + 0.3 * references.roll(1, 0))]
    times, scores = {}, {}
    for kind in ("cpu", device.type):
        start = time.monotonic()
        scores[kind] = bss_eval(*both, device=kind)
        times[kind] = time.monotonic() - start
    difference = (scores["cpu"].SDR - scores[device.type].SDR).abs()
    return {"audio_seconds": seconds, "seconds": times, "largest_difference_db": float(difference.nan_to_num().max())}


def check(device: torch.device, *, small: bool, only: list[str]) -> dict[str, Any]:
    """Return the JSON document."""
    deadline = time.monotonic() + LIMIT
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "training": lambda: measure_training(device, small=small, steps=2 if small else 30),
        "evaluation": lambda: evaluation(device, small=small),
        "separation": lambda: measure_separation(device, small=small, deadline=deadline - 30),
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    document: dict[str, Any] = {"what": "check of a GPU", **describe(), "device": name}
    for part, measure in parts.items():
        if part in only:
            late = time.monotonic() > deadline - 60
            document[part] = {"skipped": "the time is over"} if late else measure()
    return document


def table(document: dict[str, Any]) -> str:
    """Format the measurements as lines of a name and a number."""
    lines = []

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name} / {key}" if name else key, inner)
        elif value is not None:
            lines.append(f"{name:<60} {value:.4g}" if isinstance(value, float) else f"{name:<60} {value}")

    add("", {key: value for key, value in document.items() if key != "what"})
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Check a GPU.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", nargs="+", default=["training", "evaluation", "separation"])
    args = parser.parse_args()
    document = check(torch.device(args.device), small=args.small or args.device == "cpu", only=args.only)
    print(table(document), file=sys.stderr)
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
