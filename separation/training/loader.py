"""Load training batches, each drawn from its own seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

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
    when the step before the last one is done, which bounds the memory of batches and the lead of the host.
    """

    def __init__(self, sampler: MixSampler, seeds: Iterable[int], *, size: int, device: torch.device) -> None:
        self.sampler, self.seeds, self.size, self.device = sampler, iter(seeds), size, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self.ahead: deque[Future[tuple[Tensor, torch.cuda.Event | None]]] = deque()

    def __enter__(self) -> BatchLoader:
        self._start(None)
        self._start(None)
        return self

    def __exit__(self, *exception: object) -> None:
        self.thread.shutdown(cancel_futures=True)

    def __next__(self) -> Tensor:
        """Return the next batch on the device; the previous one's step has been launched."""
        step = torch.cuda.current_stream(self.device).record_event() if self.stream is not None else None
        samples, ready = self.ahead.popleft().result()
        self._start(step)
        if ready is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(ready)
            samples.record_stream(stream)  # its memory is not reused before the step is done
        return samples

    def _start(self, step: torch.cuda.Event | None) -> None:
        """Let the thread mix one more batch, if there is one, after a step."""
        for seed in self.seeds:
            self.ahead.append(self.thread.submit(self._mix, seed, step))
            break

    def _mix(self, seed: int, step: torch.cuda.Event | None) -> tuple[Tensor, torch.cuda.Event | None]:
        if step is not None:
            step.synchronize()
        generator = torch.Generator().manual_seed(seed)
        with torch.cuda.stream(self.stream):  # None is no stream: a CPU's case
            samples = to_device(self.sampler.batch(self.sampler.draw(self.size, generator)), self.device)
            return samples, None if self.stream is None else self.stream.record_event()
