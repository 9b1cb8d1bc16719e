"""Data-parallel training: every process draws its own batches; the weights are the same in all processes."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

CPU = torch.device("cpu")

__all__ = ["ProcessGroup", "SharedBatchNorm", "join", "leave", "share_batch_norms", "without_gradient_averaging"]


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """The processes of a training run, as seen from one of them.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        Number of processes.
    device : torch.device
        Device of this process.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this is the first process, the only one that validates, writes files and prints."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module with its gradients averaged over the processes, if there are several."""
        if self.size == 1:
            return module
        share_batch_norms(module)
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)

    def mean(self, values: Tensor) -> Tensor:
        """Average a tensor over all processes."""
        if self.size > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.size
        return values

    def from_first(self, value: list[float]) -> list[float]:
        """Broadcast the first process's value to all processes."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


def without_gradient_averaging(module: nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Keep gradients local to this process, for all but the last part of a batch."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else contextlib.nullcontext()


def join(device: str) -> ProcessGroup:
    """Join the processes started by ``torchrun``, or run as the only one.

    Raises
    ------
    ValueError
        If there are more processes than GPUs, or if a GPU is requested and none is available.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, got {device!r}")
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if cuda and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device here: choose --device cpu or auto")
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    if cuda and local_rank >= torch.cuda.device_count():
        raise ValueError(
            f"process {local_rank + 1} of this machine has no GPU: there are {torch.cuda.device_count()}. "
            "Start fewer processes"
        )
    torch_device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size > 1 and not distributed.is_initialized():
        if cuda:
            torch.cuda.set_device(torch_device)
        # The other processes wait while the first validates on whole tracks.
        distributed.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(hours=4))
    return ProcessGroup(rank=int(os.environ.get("RANK", 0)), size=size, device=torch_device)


def leave(processes: ProcessGroup) -> None:
    """Leave the process group entered by :func:`join`."""
    if processes.size > 1 and distributed.is_initialized():
        distributed.destroy_process_group()


class SharedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation with the statistics of all processes' items; ``nn.SyncBatchNorm`` requires GPUs."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` of shape (items, features)."""
        if not self.training:
            return super().forward(x)
        dtype, x = x.dtype, x.float()
        count = all_reduce(x.new_full((1,), len(x)))
        mean = all_reduce(x.sum(0)) / count
        variance = all_reduce((x - mean).square().sum(0)) / count
        with torch.no_grad():
            assert (
                self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
            )
            momentum = self.momentum or 0.1
            self.running_mean += momentum * (mean - self.running_mean)
            self.running_var += momentum * (variance * count / (count - 1) - self.running_var)
            self.num_batches_tracked += 1
        return ((x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias).to(dtype)


def share_batch_norms(module: nn.Module) -> None:
    """Turn every ``BatchNorm1d`` in a module into a :class:`SharedBatchNorm`; parameters and names stay the same."""
    for child in module.modules():
        if type(child) is nn.BatchNorm1d:
            child.__class__ = SharedBatchNorm
