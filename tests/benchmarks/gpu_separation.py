"""Separation on a GPU: time, memory and agreement with the CPU of every neural method."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from separation.separators import create
from separation.separators.base import Separator
from tests.benchmarks.separation import PAIRS, write_weights
from tests.conftest import snr

RATE = 44100
NETWORKS = ("open-unmix", "spleeter", "demucs", "hybrid-demucs", "htdemucs", "roformer")
PRECISIONS = ("fp32", "tf32", "bf16")
SPLEETER: dict[str, Any] = {"filters": [16, 32, 64, 128, 256, 512], "n_frames": 512}


def measure_separation(device: torch.device, *, small: bool, deadline: float) -> dict[str, Any]:
    """Return the measurements of every network with random weights of the released size, until the deadline."""
    lengths = (3.0,) if small else (60.0, 600.0)
    found: dict[str, Any] = {}
    for name in ("open-unmix", "spleeter") if small else NETWORKS:
        if time.monotonic() > deadline:
            found[name] = {"skipped": "the time is over"}
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                found[name] = _measure(name, Path(folder), device, lengths, deadline)
        except (ImportError, torch.OutOfMemoryError) as error:
            found[name] = {"skipped": str(error).splitlines()[0]}
    return found


def _measure(
    name: str, folder: Path, device: torch.device, lengths: tuple[float, ...], deadline: float
) -> dict[str, Any]:
    method, options = _write_model(name, folder)
    build: dict[str, Any] = {"model": str(folder), "options": options}
    start = time.monotonic()
    separator = create(method, device=device.type, **build)
    loading = time.monotonic() - start
    first, _ = _time(separator, lengths[0], device)  # kernels are chosen and loaded once
    result: dict[str, Any] = {f"{lengths[0]:g} s with loading": {"seconds": loading + first}}
    factor = first / lengths[0]
    for seconds in lengths:
        if time.monotonic() + factor * seconds > deadline:
            result[f"{seconds:g} s"] = {"skipped": "the time is over"}
            continue
        spent, memory = _time(separator, seconds, device)
        factor = spent / seconds
        result[f"{seconds:g} s"] = {"seconds": spent, "real_time_factor": factor, "gpu_megabytes": memory}
    excerpt = noise(min(12.0, lengths[0]))
    exact = create(method, device="cpu", **build).separate(excerpt)
    for precision in PRECISIONS if device.type == "cuda" else ():
        other = create(method, device="cuda", precision=precision, **build)
        result[f"agreement_{precision}_db"] = snr(other.separate(excerpt), exact)
    return result


def _time(separator: Separator, seconds: float, device: torch.device) -> tuple[float, float | None]:
    """Return the seconds that a separation takes, and the peak of the GPU's memory in megabytes."""
    mixture, cuda = noise(seconds), device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    start = time.monotonic()
    for _ in separator.stream(mixture):
        pass
    return time.monotonic() - start, torch.cuda.max_memory_allocated(device) / 2**20 if cuda else None


def _write_model(name: str, folder: Path) -> tuple[str, dict[str, object]]:
    """Write random weights; return the method and its options."""
    if name != "spleeter":
        write_weights(name, folder)
        method, _, options = PAIRS[name]
        return method, options
    from separation.models.spleeter import SpleeterUNet
    from tests.models.helpers import randomise
    from tests.separators.helpers import write_model

    sources = ("vocals", "accompaniment")
    networks = {source: randomise(SpleeterUNet(), seed) for seed, source in enumerate(sources)}
    write_model(folder, "spleeter", networks, SPLEETER, sources=sources)
    return "spleeter", {}


def noise(seconds: float, seed: int = 0) -> Tensor:
    """Return seeded stereo noise with an RMS of 0.1."""
    return 0.1 * torch.randn(2, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))
