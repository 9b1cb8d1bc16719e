"""Load training batches, each drawn from its own seed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
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
    """An iterator of batches in the order of their seeds; a thread mixes the next two.

    On a GPU, the thread launches its work on a stream of its own, next to that of the training step. It starts a batch
    when the third step before that of the batch is done, which bounds the memory of batches and the lead of the host.

    Attributes
    ----------
    waited_for_step : float
        Seconds for which the last call waited because a GPU was still busy with an earlier step.
    """

    def __init__(self, sampler: MixSampler, seeds: Iterable[int], *, size: int, device: torch.device) -> None:
        self.sampler, self.seeds, self.size, self.device = sampler, iter(seeds), size, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self.ahead: deque[Future[_Batch]] = deque()
        self.waited_for_step = 0.0

    def __enter__(self) -> BatchLoader:
        self._start(None)
        self._start(None)
        return self

    def __exit__(self, *exception: object) -> None:
        self.thread.shutdown(cancel_futures=True)

    def __next__(self) -> Tensor:
        """Return the next batch on the device; the previous one's step has been launched."""
        step = torch.cuda.current_stream(self.device).record_event() if self.stream is not None else None
        asked = time.monotonic()
        batch = self.ahead.popleft().result()
        self.waited_for_step = max(0.0, batch.begun - asked)
        self._start(step)
        if batch.ready is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(batch.ready)
            batch.samples.record_stream(stream)  # its memory is not reused before the step is done
        return batch.samples

    def _start(self, step: torch.cuda.Event | None) -> None:
        """Let the thread mix one more batch, if there is one, after a step."""
        for seed in self.seeds:
            self.ahead.append(self.thread.submit(self._mix, seed, step))
            break

    def _mix(self, seed: int, step: torch.cuda.Event | None) -> _Batch:
        begun = 0.0  # without a step to wait for, all waiting is for the batch
        if step is not None:
            step.synchronize()
            begun = time.monotonic()
        generator = torch.Generator().manual_seed(seed)
        with torch.cuda.stream(self.stream):  # None is no stream: a CPU's case
            samples = to_device(self.sampler.batch(self.sampler.draw(self.size, generator)), self.device)
            ready = None if self.stream is None else self.stream.record_event()
        return _Batch(samples, ready, begun)


class _Batch(NamedTuple):
    """A batch, the event after which a GPU holds it, and the time at which the step before it was done."""

    samples: Tensor
    ready: torch.cuda.Event | None
    begun: float
