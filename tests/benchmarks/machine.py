"""What all benchmarks say and measure: the machine, versions, memory."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

__all__ = ["anonymous_memory", "describe", "peak_memory"]


def describe() -> dict[str, object]:
    """Machine and versions, for the table."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), None)
    return {
        "machine": {
            "threads": torch.get_num_threads(),
            "cpus": os.cpu_count(),
            "processor": processor or platform.machine(),
        },
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }


def anonymous_memory(process: int | str = "self") -> float:
    """Megabytes that a process holds, without mapped files."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return float(line.split()[1]) / 1024
    raise OSError("this kernel does not tell RssAnon")


@contextmanager
def peak_memory() -> Iterator[dict[str, float]]:
    """What is held at most while the block runs, beyond what was held before, in megabytes."""
    before, found, over = anonymous_memory(), {"megabytes": 0.0}, threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            found["megabytes"] = max(found["megabytes"], anonymous_memory() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
