"""A check of everything that runs on a GPU, in at most eight minutes: training, separation, BSSEval.

    python -m tests.benchmarks.gpu [--device cuda] [--small] [--only training separation evaluation]

It needs no data: all input is synthetic, and networks have the released sizes with random weights. What a machine lacks
is skipped. Standard output gets one JSON document, standard error a table. ``--small`` takes seconds on a CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.gpu_training import measure_training
from tests.benchmarks.machine import describe
from tests.conftest import snr

RATE = 44100
LIMIT = 480.0  # seconds after which the remaining parts are skipped
NETWORKS = ("open-unmix", "demucs", "hybrid-demucs", "htdemucs", "roformer")


def separation(device: torch.device, *, small: bool, deadline: float) -> dict[str, Any]:
    """Return time, memory and agreement with the CPU of every network with random weights of the released size."""
    lengths = (3.0,) if small else (60.0, 600.0)
    found: dict[str, Any] = {}
    for name in ("open-unmix",) if small else NETWORKS:
        try:
            found[name] = _separation(name, device, lengths, deadline)
        except (ImportError, torch.OutOfMemoryError) as error:
            found[name] = {"skipped": str(error).splitlines()[0]}
    return found


def _separation(name: str, device: torch.device, lengths: tuple[float, ...], deadline: float) -> dict[str, Any]:
    from separation.separators import create
    from tests.benchmarks.separation import PAIRS, write_weights

    method, _, options = PAIRS[name]
    cuda = device.type == "cuda"
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_weights(name, Path(folder))
        build = {"model": folder, "options": options}
        start = time.monotonic()
        separator = create(method, device=device.type, **build)  # type: ignore[arg-type]
        result["loading_seconds"] = time.monotonic() - start
        separator.separate(_noise(3.0))  # kernels are chosen and loaded once
        for seconds in lengths:
            if time.monotonic() > deadline:
                result[f"{seconds:g} s"] = {"skipped": "the time is over"}
                continue
            mixture = _noise(seconds)
            if cuda:
                torch.cuda.reset_peak_memory_stats(device)
            start = time.monotonic()
            for _ in separator.stream(mixture):
                pass
            spent = time.monotonic() - start
            result[f"{seconds:g} s"] = {
                "seconds": spent,
                "real_time_factor": spent / seconds,
                "gpu_megabytes": torch.cuda.max_memory_allocated(device) / 2**20 if cuda else None,
            }
        excerpt = _noise(min(12.0, lengths[0]))
        exact = create(method, device="cpu", **build).separate(excerpt)  # type: ignore[arg-type]
        for precision in ("fp32", "tf32", "bf16") if cuda else ():
            other = create(method, device="cuda", precision=precision, **build)  # type: ignore[arg-type]
            result[f"agreement_{precision}_db"] = snr(other.separate(excerpt), exact)
    return result


def evaluation(device: torch.device, *, small: bool) -> dict[str, Any]:
    """Return the seconds that BSSEval takes on both devices, and the largest difference of the scores in dB."""
    from separation.evaluation.bss_eval import bss_eval
    from separation.evaluation.signals import ArraySignals

    seconds = 3.0 if small else 240.0
    references = torch.stack([_noise(seconds, seed=number) for number in range(4)])
    both = [ArraySignals(x) for x in (references, references + 0.3 * references.roll(1, 0))]
    times, scores = {}, {}
    for kind in ("cpu", device.type):
        start = time.monotonic()
        scores[kind] = bss_eval(*both, device=kind)
        times[kind] = time.monotonic() - start
    difference = (scores["cpu"].SDR - scores[device.type].SDR).abs()
    return {"audio_seconds": seconds, "seconds": times, "largest_difference_db": float(difference.nan_to_num().max())}


def _noise(seconds: float, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(2, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def check(device: torch.device, *, small: bool, only: list[str]) -> dict[str, Any]:
    """Return the JSON document."""
    deadline = time.monotonic() + LIMIT
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "training": lambda: measure_training(device, small=small, steps=2 if small else 30),
        "evaluation": lambda: evaluation(device, small=small),
        "separation": lambda: separation(device, small=small, deadline=deadline - 60),
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
