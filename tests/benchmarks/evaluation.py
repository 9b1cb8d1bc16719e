"""Evaluation: BSSEval v4 against museval, on the same music, one thread each.

    python -m tests.benchmarks.evaluation --root MUSDB18 [--seconds 30 240]

Four stereo stems of that length are put together from clips, and estimated by an imperfect oracle. Each side
scores them in a process of its own; standard output gets one JSON document. Memory is the peak of what the
process holds beyond the signals. "files" is ours reading its signals piece by piece, as `score` does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from tests.benchmarks.machine import describe, peak_memory

RATE = 44100
METRICS = ("SDR", "ISR", "SIR", "SAR")


def write_stems(root: Path, seconds: int, folder: Path) -> None:
    """References and estimates as 16-bit files: stems of clip after clip, each bleeding into the others."""
    from separation.datasets.musdb18 import SOURCES, tracks

    clips, length = [], 0
    for track in tracks(root):
        _, references, _ = track.read()
        clips.append(np.stack([references[source] for source in SOURCES]))
        length += clips[-1].shape[-1]
        if length >= seconds * RATE:
            break
    stems = np.concatenate(clips, -1)
    stems = np.tile(stems, (1, 1, -(-seconds * RATE // stems.shape[-1])))[..., : seconds * RATE]
    hiss = np.random.default_rng(0).normal(0, 1e-3, stems.shape)
    estimates = 0.7 * stems + 0.1 * np.roll(stems, 20, -1) + 0.15 * stems.sum(0) + hiss
    for name, signals in (("references", stems), ("estimates", estimates / 2)):
        (folder / name).mkdir()
        for source, signal in zip(SOURCES, signals, strict=True):
            soundfile.write(folder / name / f"{source}.wav", signal.T.clip(-1, 1), RATE, subtype="PCM_16")


def ours(folder: Path, *, files: bool = False) -> tuple[dict[str, float], np.ndarray]:
    from separation.evaluation.bss_eval import bss_eval
    from separation.evaluation.folder_scores import open_folders
    from separation.evaluation.signals import ArraySignals, Signals

    torch.set_num_threads(1)
    device = os.environ.get("BENCHMARK_DEVICE", "cpu")
    with open_folders(folder / "references", folder / "estimates") as opened:
        pair: list[Signals] = [opened.references, opened.estimates]
        if not files:
            pair = [ArraySignals(signals.read(0, signals.shape[2])) for signals in pair]
        with peak_memory() as memory:
            began, cpu = time.monotonic(), time.process_time()
            scores = bss_eval(*pair, window=opened.rate, hop=opened.rate, device=device)
            spent = time.process_time() - cpu, time.monotonic() - began
    values = np.stack([getattr(scores, name).numpy() for name in METRICS])
    return {"cpu_seconds": spent[0], "seconds": spent[1], "megabytes": memory["megabytes"]}, values


def upstream(folder: Path) -> tuple[dict[str, float], np.ndarray]:
    import museval.metrics

    paths = sorted((folder / "references").glob("*.wav"))
    references = np.stack([soundfile.read(path)[0] for path in paths])
    estimates = np.stack([soundfile.read(folder / "estimates" / path.name)[0] for path in paths])
    with peak_memory() as memory:
        began, cpu = time.monotonic(), time.process_time()
        *values, _ = museval.metrics.bss_eval(references, estimates, window=RATE, hop=RATE)
        spent = time.process_time() - cpu, time.monotonic() - began
    return {"cpu_seconds": spent[0], "seconds": spent[1], "megabytes": memory["megabytes"]}, np.stack(values)


def measure(side: str, folder: Path, device: str = "cpu") -> tuple[dict[str, float], np.ndarray]:
    """In a fresh process of one thread."""
    print(f"{side}, {device}", file=sys.stderr, flush=True)
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "tests.benchmarks.evaluation", "--side", side, "--folder", str(folder)]
    environment = os.environ | one | {"BENCHMARK_DEVICE": device}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout
    return json.loads(output.splitlines()[-1]), np.load(folder / f"{side}.npy")


def compare(root: Path, lengths: list[int]) -> dict[str, object]:
    """Both sides at every length."""
    rows = []
    for seconds in lengths:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_stems(root, seconds, folder)
            mine, values = measure("ours", folder)
            streamed, _ = measure("files", folder)
            his, expected = measure("upstream", folder)
            row = {"seconds": seconds, "ours": mine, "files": streamed, "museval": his}
            row |= _differences(values, expected)
            row["ratio"] = his["cpu_seconds"] / mine["cpu_seconds"]
            if torch.cuda.is_available():
                row["cuda"], _ = measure("ours", folder, "cuda")
            rows.append(row)
    return {
        "what": "BSSEval v4 of four stereo stems, one thread; ratio of processor seconds",
        **describe(),
        "lengths": rows,
        "memory_growth_megabytes": rows[-1]["files"]["megabytes"] - rows[0]["files"]["megabytes"],  # type: ignore[index]
    }


def _differences(ours: np.ndarray, theirs: np.ndarray) -> dict[str, object]:
    """Largest in dB per metric, of frames below 100 dB."""
    usual = np.isfinite(theirs) & (theirs < 100)
    apart = {name: float(np.abs(a - b)[m].max()) for name, a, b, m in zip(METRICS, ours, theirs, usual, strict=True)}
    return {"largest_difference_db": apart, "same_nan": bool((np.isnan(ours) == np.isnan(theirs)).all())}


def main() -> None:
    parser = argparse.ArgumentParser(description="Our BSSEval against museval.")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--seconds", type=int, nargs="+", default=[30, 240])
    parser.add_argument("--side", choices=["ours", "files", "upstream"])
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.side:
        spent, values = (
            upstream(args.folder) if args.side == "upstream" else ours(args.folder, files=args.side == "files")
        )
        np.save(args.folder / f"{args.side}.npy", values)
        print(json.dumps(spent))
    elif args.root:
        print(json.dumps(compare(args.root, args.seconds), indent=1))
    else:
        parser.error("say where MUSDB18 is: --root")


if __name__ == "__main__":
    main()
