"""Whole processes: starting up, separating with the classical methods, scoring and evaluating.

    python -m tests.benchmarks.processes --root MUSDB18 [--before FOLDER_OF_AN_EARLIER_CHECKOUT] [--rounds 3]

Both versions run every command in turn, with the same packages. Standard output gets one JSON document with elapsed
seconds, processor seconds and the peak of the resident memory, standard error a table of their medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.evaluation import write_stems
from tests.benchmarks.machine import describe
from tests.benchmarks.separation import write_music
from tests.conftest import ROOT

FIGURES = ("seconds", "processor_seconds", "megabytes")

#: A small process between this one and the command: a new process inherits the peak memory of the one that starts it.
LAUNCHER = """
import json, os, sys, time
start = time.monotonic()
process = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
found = {"seconds": time.monotonic() - start, "processor_seconds": usage.ru_utime + usage.ru_stime}
with open(sys.argv[1], "w") as file:
    json.dump(found | {"megabytes": usage.ru_maxrss / 1024}, file)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


def measure(arguments: list[str], *, checkout: Path, caches: Path) -> dict[str, float]:
    """Run Python with `arguments` in a checkout; return elapsed and processor seconds and the peak memory in MB.

    Raises RuntimeError with its output if the process fails.
    """
    environment = os.environ | dict.fromkeys(("SEPARATION_HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"), str(caches))
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "usage.json"
        command = [sys.executable, "-S", "-c", LAUNCHER, str(result), sys.executable, *arguments]
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed in {checkout}: {done.stderr.strip()}")
        usage: dict[str, float] = json.loads(result.read_text())
    return usage


def commands(root: Path, inputs: Path, out: Path) -> dict[str, list[str]]:
    """Return the arguments of every measured process; stems and scores are written below a new folder."""
    separate = ["-m", "separation", "separate", str(inputs / "song.wav"), "--method"]
    evaluate = ["-m", "separation", "evaluate", "--root", str(root), "--subset", "test", "--method", "mix"]
    score = ["-m", "separation", "score", str(inputs / "references"), str(inputs / "estimates")]
    return {
        "import torch": ["-c", "import torch"],
        "separate mix, 20 s": [*separate, "mix", "--out", str(out / "mix")],
        "separate hpss, 20 s, new caches": [*separate, "hpss", "--out", str(out / "first")],
        "separate hpss, 20 s, again": [*separate, "hpss", "--out", str(out / "again")],
        "score, 120 s": score,
        "evaluate mix, test clips": [*evaluate, "--out", str(out / "scores")],
    }


def compare(root: Path, checkouts: dict[str, Path], rounds: int) -> dict[str, object]:
    """Return the JSON document: the figures of every command, by version, of all rounds and their medians."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name)
        write_music(root, 20, inputs / "song.wav")
        write_stems(root, 120, inputs)
        for number in range(rounds):
            folders = {side: inputs / f"{side} {number}" for side in checkouts}
            jobs = {side: commands(root, inputs, folder) for side, folder in folders.items()}
            for command in jobs["now"]:
                for side, checkout in checkouts.items():
                    print(f"round {number + 1}: {command}, {side}", file=sys.stderr, flush=True)
                    caches = folders[side] / "caches"
                    usage = measure(jobs[side][command], checkout=checkout, caches=caches)
                    found.setdefault(command, {}).setdefault(side, []).append(usage)
    medians = {command: {side: _medians(usages) for side, usages in sides.items()} for command, sides in found.items()}
    return {
        "what": "whole processes, in turn: elapsed and processor seconds, peak resident memory in MB",
        **describe(),
        "rounds": rounds,
        "medians": medians,
        "all": found,
    }


def _medians(usages: list[dict[str, float]]) -> dict[str, float]:
    return {figure: statistics.median(usage[figure] for usage in usages) for figure in FIGURES}


def table(medians: dict[str, dict[str, dict[str, float]]]) -> str:
    """Format the medians: a line for each command and version."""
    lines = [f"{'':40}{'elapsed':>12}{'processor':>12}{'memory':>12}"]
    for command, sides in medians.items():
        for side, usage in sides.items():
            name = f"{command}, {side}" if len(sides) > 1 else command
            cells = f"{usage['seconds']:>10.2f} s{usage['processor_seconds']:>10.2f} s{usage['megabytes']:>9.0f} MB"
            lines.append(f"{name:<40}{cells}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of whole processes.")
    parser.add_argument("--root", type=Path, required=True, help="a folder with MUSDB18; its 7 s clips are enough")
    parser.add_argument("--before", type=Path, help="an earlier checkout to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    before = {"before": args.before.resolve()} if args.before else {}
    document = compare(args.root.resolve(), {**before, "now": ROOT}, args.rounds)
    print(table(document["medians"]), file=sys.stderr)  # type: ignore[arg-type]
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
