"""Load training batches, each drawn from its own seed."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from separation.datasets.sampler import MixSampler

__all__ = ["BatchLoader", "batch_seed"]


def batch_seed(seed: int, step: int, rank: int = 0) -> int:
    """Return the seed of all random numbers in a step of a process."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))


class BatchLoader:
    """An iterator of batches in the order of their seeds; on a CPU, a thread mixes one batch ahead."""

    def __init__(self, sampler: MixSampler, seeds: Iterable[int], *, size: int, device: torch.device) -> None:
        self.sampler = sampler
        self.seeds = iter(seeds)
        self.size = size
        self.device = device
        self.ahead: queue.Queue[Tensor | BaseException] = queue.Queue(maxsize=1)
        self.stopped = threading.Event()
        # A store on a GPU is mixed there, which is faster than copying batches to it.
        self.thread = threading.Thread(target=self._run, daemon=True) if sampler.store.device.type == "cpu" else None

    def __enter__(self) -> BatchLoader:
        if self.thread:
            self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopped.set()
        while self.thread and self.thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self.ahead.get(timeout=0.05)

    def __next__(self) -> Tensor:
        batch = self.ahead.get() if self.thread else self._mix(next(self.seeds))
        if isinstance(batch, BaseException):
            raise batch
        return batch.to(self.device, non_blocking=True)

    def _mix(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        batch = self.sampler.batch(self.sampler.draw(self.size, generator))
        return batch.pin_memory() if self.thread and self.device.type == "cuda" else batch

    def _run(self) -> None:
        for seed in self.seeds:
            try:
                batch: Tensor | BaseException = self._mix(seed)
            except BaseException as error:
                batch = error
            while not self.stopped.is_set():
                with contextlib.suppress(queue.Full):
                    self.ahead.put(batch, timeout=0.1)
                    break
            if self.stopped.is_set() or isinstance(batch, BaseException):
                return
