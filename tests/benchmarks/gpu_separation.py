"""Separation on a GPU: time, memory and agreement with the CPU of every neural method and of the presets."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from separation.models.spleeter import SpleeterUNet
from separation.separators import create
from separation.separators.base import Separator
from tests.benchmarks.gpu_parts import attempt
from tests.benchmarks.separation import PAIRS, write_weights
from tests.conftest import snr
from tests.models.helpers import randomise
from tests.separators.helpers import write_model, write_tiny

RATE = 44100
NETWORKS = ("open-unmix", "spleeter", "demucs", "hybrid-demucs", "htdemucs", "roformer")
PRESETS = ("best-offline", "fast")  # with the models that come with the project
PRECISIONS = ("fp32", "tf32", "bf16")
SPLEETER: dict[str, Any] = {"filters": [16, 32, 64, 128, 256, 512], "n_frames": 512}


def measure_separation(device: torch.device, *, small: bool, deadline: float) -> dict[str, Any]:
    """Return the measurements of every network and preset until the deadline, each with its error if it fails.

    Networks have random weights of the released size, or are tiny if `small`.
    """
    found: dict[str, Any] = {}
    for name in (*NETWORKS, *PRESETS):
        late = time.monotonic() > deadline
        found[name] = (
            {"skipped": "the time is over"}
            if late
            else attempt(partial(_measure, name, device, small=small, deadline=deadline))
        )
    return found


def _measure(name: str, device: torch.device, *, small: bool, deadline: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        method, build = _write_model(name, Path(folder), small=small)
        start = time.monotonic()
        separator = create(method, device=device.type, **build)
        loading = time.monotonic() - start
        result = _times(separator, (3.0,) if small else (60.0, 600.0), device, loading, deadline)
        if device.type == "cuda":
            result |= attempt(partial(_agreement, method, build))  # the times stay if it fails
    return result


def _times(
    separator: Separator, lengths: tuple[float, ...], device: torch.device, loading: float, deadline: float
) -> dict[str, Any]:
    """Return time and memory for each length; "seconds_with_loading" includes the choice of kernels, made once."""
    first, _ = _time(separator, lengths[0], device)
    steady, memory = _time(separator, lengths[0], device)
    once = loading + max(0.0, first - steady)
    result: dict[str, Any] = {}
    for seconds in lengths:
        if time.monotonic() + steady * seconds / lengths[0] > deadline:
            result[f"{seconds:g} s"] = {"skipped": "the time is over"}
            continue
        spent, memory = (steady, memory) if seconds == lengths[0] else _time(separator, seconds, device)
        result[f"{seconds:g} s"] = {
            "seconds": spent,
            "seconds_with_loading": spent + once,
            "real_time_factor": spent / seconds,
            "gpu_megabytes": memory,
        }
    return result


def _agreement(method: str, build: dict[str, Any]) -> dict[str, float]:
    """Return the level of the difference between the stems of GPU and CPU below the signal in dB, by precision."""
    excerpt = noise(12.0)
    exact = create(method, device="cpu", **build).separate(excerpt)
    found = {}
    for precision in PRECISIONS:
        other = create(method, device="cuda", precision=precision, **build)
        found[f"agreement_{precision}_db"] = snr(other.separate(excerpt).cpu(), exact)
    return found


def _time(separator: Separator, seconds: float, device: torch.device) -> tuple[float, float | None]:
    """Return the seconds that a separation takes, and the peak of the GPU's memory in megabytes."""
    mixture, cuda = noise(seconds), device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    start = time.monotonic()
    for _ in separator.stream(mixture):
        pass
    return time.monotonic() - start, torch.cuda.max_memory_allocated(device) / 2**20 if cuda else None


def _write_model(name: str, folder: Path, *, small: bool) -> tuple[str, dict[str, Any]]:
    """Write random weights, unless it is a preset; return the method, and its model and options for `create`."""
    if name in PRESETS:
        return name, {}
    if small:
        return name, {"model": str(write_tiny(folder, name))}
    if name != "spleeter":
        write_weights(name, folder)
        method, _, options = PAIRS[name]
        return method, {"model": str(folder), "options": options}
    sources = ("vocals", "accompaniment")
    networks = {source: randomise(SpleeterUNet(), seed) for seed, source in enumerate(sources)}
    write_model(folder, "spleeter", networks, SPLEETER, sources=sources)
    return name, {"model": str(folder)}


def noise(seconds: float, seed: int = 0) -> Tensor:
    """Return seeded stereo noise with an RMS of 0.1."""
    return 0.1 * torch.randn(2, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))
