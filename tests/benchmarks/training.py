"""Training: our loop against upstream's data loader and step, on the same clips with the same settings.

    python -m tests.benchmarks.training --root MUSDB18 [--steps 6] [--rounds 3]

Each side trains the published Open-Unmix recipe (hidden 512, batch 16 of 6 s, float32, one target) for a few
steps in a process of its own, in turn; standard output gets one JSON document. Memory is the peak of what
the process holds beyond its imports, mapped files not counted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.benchmarks.machine import describe, peak_memory

TARGET = "vocals"


def ours(root: Path, steps: int) -> dict[str, float]:
    """Examples per second, share of the time spent waiting for data, peak memory."""
    from separation.training.setup import build_trainer

    with tempfile.TemporaryDirectory() as folder, peak_memory() as memory:
        trainer = build_trainer("open-unmix", roots=[root], out=Path(folder) / "run", target=TARGET)
        trainer.validation = []  # whole tracks, which upstream's step does not hold either
        times, waits = [time.monotonic()], []
        for report in trainer.train():
            times.append(time.monotonic())
            waits.append(report.waiting)
            if report.step == steps + 1:
                break
    seconds = [b - a for a, b in itertools.pairwise(times[1:])]  # the first step is a warm-up
    return {
        "examples_per_second": 16 * len(seconds) / sum(seconds),
        "waiting": waits[-1],
        "megabytes": memory["megabytes"],
    }


def upstream(root: Path, steps: int) -> dict[str, float]:
    """The same through `openunmix`'s own data set, model and transforms, put together as its training script does."""
    from openunmix import data, model, transforms

    augmentations = data.aug_from_str(["gain", "channelswap"])
    with peak_memory() as memory:
        tracks = data.MUSDBDataset(
            root=str(root), target=TARGET, source_augmentations=augmentations, random_track_mix=True, seq_duration=6.0
        )
        loader = torch.utils.data.DataLoader(tracks, batch_size=16, shuffle=True, num_workers=0)
        encoder = torch.nn.Sequential(
            transforms.make_filterbanks(n_fft=4096, n_hop=1024, sample_rate=44100)[0], transforms.ComplexNorm()
        )
        network = model.OpenUnmix(nb_bins=2049, max_bin=1487, hidden_size=512)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-5)
        network.train()
        times, loading = [time.monotonic()], 0.0
        batches = iter(loader)
        for step in range(steps + 1):
            began = time.monotonic()
            mixture, target = next(batches)
            loading += (time.monotonic() - began) if step else 0.0
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(network(encoder(mixture)), encoder(target))
            loss.backward()
            optimizer.step()
            times.append(time.monotonic())
    seconds = [b - a for a, b in itertools.pairwise(times[1:])]
    return {
        "examples_per_second": 16 * len(seconds) / sum(seconds),
        "waiting": loading / sum(seconds),
        "megabytes": memory["megabytes"],
    }


def compare(root: Path, *, steps: int, rounds: int) -> dict[str, object]:
    """Both sides in turn, `rounds` times, each time in a fresh process."""
    results: dict[str, list[dict[str, float]]] = {"ours": [], "upstream": []}
    for number in range(rounds):
        for side, found in results.items():
            print(f"round {number + 1} of {rounds}: {side}", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", "tests.benchmarks.training", "--root", str(root), "--steps", str(steps)]
            output = subprocess.run([*command, "--side", side], check=True, stdout=subprocess.PIPE).stdout
            found.append(json.loads(output.splitlines()[-1]))
    ratios = [
        a["examples_per_second"] / b["examples_per_second"]
        for a, b in zip(results["ours"], results["upstream"], strict=True)
    ]
    medians = {
        side: {key: statistics.median(result[key] for result in found) for key in found[0]}
        for side, found in results.items()
    }
    return {
        "what": "published Open-Unmix recipe, one target, batch 16 of 6 s, float32, CPU",
        **describe(),
        "median": medians,
        "speed_ratio": {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)},
        "memory_ratio": medians["ours"]["megabytes"] / medians["upstream"]["megabytes"],
        "rounds": results,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Our training loop against upstream's.")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["ours", "upstream"])
    args = parser.parse_args()
    if args.side:
        print(json.dumps((ours if args.side == "ours" else upstream)(args.root, args.steps)))
    else:
        print(json.dumps(compare(args.root, steps=args.steps, rounds=args.rounds), indent=1))


if __name__ == "__main__":
    main()
