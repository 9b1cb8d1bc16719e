"""Whether a processor can be trusted with half precision."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["check_autocast_accuracy"]

_ROUNDING = 0.1  # relative; bfloat16 rounds to 0.4 %, and a wrong kernel returns another signal


def check_autocast_accuracy(objective: nn.Module, inputs: tuple[Tensor, ...], precision: torch.dtype) -> None:
    """Compare every convolution and linear layer's output in `precision` with that in float32, on one batch.

    Libraries of a processor's fast paths have bugs that rounding does not explain: oneDNN's bfloat16
    convolutions of 16 input channels and stride 4, for one, are wrong on processors with AMX, and a
    network learns to make up for it, so that its loss falls while it becomes useless everywhere else.

    Raises
    ------
    ValueError
        Naming the first layer that is computed wrongly.
    """
    looked_at = copy.deepcopy(objective)  # batch norm would count this batch twice
    for name, module in looked_at.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(_Comparison(name, precision))
    device = inputs[0].device.type
    with torch.no_grad(), torch.autocast(device, precision):
        looked_at(*inputs)


class _Comparison:
    def __init__(self, name: str, precision: torch.dtype) -> None:
        self.name, self.precision = name, precision

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        with torch.autocast(output.device.type, enabled=False):
            exact = module.forward(inputs[0].float())
        error = float((output.float() - exact).norm() / exact.norm().clamp_min(1e-12))
        if error > _ROUNDING:
            kind = str(self.precision).removeprefix("torch.")
            raise ValueError(
                f"this processor computes {self.name} ({module}) wrongly in {kind}: "
                f'its output is off by {100 * error:.0f} %. Train with precision = "fp32"'
            )
