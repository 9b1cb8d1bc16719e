"""Load training batches, each drawn from its own seed."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from separation.datasets.excerpts import to_device
from separation.datasets.sampler import MixSampler

__all__ = ["BatchLoader", "batch_seed"]


def batch_seed(seed: int, step: int, rank: int = 0) -> int:
    """Return the seed of all random numbers in a step of a process."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))


class BatchLoader:
    """An iterator of batches in the order of their seeds; a thread mixes one batch ahead.

    On a GPU, the thread launches its work on a stream of its own, next to that of the training step. It starts a batch
    when the step before the last one is done, which bounds the memory of batches and the lead of the host.
    """

    def __init__(self, sampler: MixSampler, seeds: Iterable[int], *, size: int, device: torch.device) -> None:
        self.sampler = sampler
        self.seeds = iter(seeds)
        self.size = size
        self.device = device
        self.ahead: queue.Queue[_Batch | BaseException] = queue.Queue(maxsize=1)
        self.stopped = threading.Event()
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.steps: queue.Queue[torch.cuda.Event] = queue.Queue()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> BatchLoader:
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopped.set()
        while self.thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self.ahead.get(timeout=0.05)

    def __next__(self) -> Tensor:
        """Return the next batch on the device; the previous one's step has been launched."""
        if self.stream is not None:
            self.steps.put(torch.cuda.current_stream(self.device).record_event())
        batch = self.ahead.get()
        if isinstance(batch, BaseException):
            raise batch
        if batch.ready is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(batch.ready)
            batch.samples.record_stream(stream)  # its memory is not reused before the step is done
        return batch.samples

    def _mix(self, seed: int) -> _Batch:
        generator = torch.Generator().manual_seed(seed)
        with torch.cuda.stream(self.stream):  # None is no stream: a CPU's case
            samples = to_device(self.sampler.batch(self.sampler.draw(self.size, generator)), self.device)
            return _Batch(samples, None if self.stream is None else self.stream.record_event())

    def _run(self) -> None:
        for number, seed in enumerate(self.seeds):
            try:
                if self.stream is not None and number >= 2:
                    self._wait_for_step()
                batch: _Batch | BaseException = self._mix(seed)
            except BaseException as error:
                batch = error
            while not self.stopped.is_set():
                with contextlib.suppress(queue.Full):
                    self.ahead.put(batch, timeout=0.1)
                    break
            if self.stopped.is_set() or isinstance(batch, BaseException):
                return

    def _wait_for_step(self) -> None:
        while not self.stopped.is_set():
            with contextlib.suppress(queue.Empty):
                self.steps.get(timeout=0.1).synchronize()
                return


class _Batch(NamedTuple):
    """A batch on the device, and the event after which its samples can be used; None on a CPU."""

    samples: Tensor
    ready: torch.cuda.Event | None
