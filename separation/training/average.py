"""An exponential moving average of weights, updated in a few operations."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

__all__ = ["WeightAverage"]


class WeightAverage(AveragedModel):
    """The average of a module's parameters and buffers over its training steps; `module` holds it.

    The update of :class:`torch.optim.swa_utils.AveragedModel` reads a counter and copies it to the device in every
    step, and so waits for a GPU. This one does not.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    @torch.no_grad()
    def update(self, model: nn.Module, *, first: bool) -> None:
        """Move the average towards the weights of `model`, or copy them at the `first` step. Counters are copied."""
        average, current = ([*module.parameters(), *module.buffers()] for module in (self.module, model))
        pairs = list(zip(average, current, strict=True))
        floats = [] if first else [pair for pair in pairs if pair[0].is_floating_point()]
        if floats:
            own, new = zip(*floats, strict=True)
            assert self.multi_avg_fn is not None
            self.multi_avg_fn(own, new, 0)  # an average with constant decay ignores the number of steps
        for own_tensor, new_tensor in pairs:
            if first or not own_tensor.is_floating_point():
                own_tensor.copy_(new_tensor)
        self.n_averaged += 1
