"""The precision of training, and detection of CPUs that compute wrongly in half precision."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["autocast_dtype", "check_autocast_accuracy"]

_MAX_ERROR = 0.1  # relative; bfloat16 rounds to 0.4 %, and the error of a wrong kernel is as large as its output


def autocast_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of a precision of :class:`~separation.training.config.TrainingConfig`; weights stay float32."""
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def check_autocast_accuracy(objective: nn.Module, inputs: tuple[Tensor, ...], precision: torch.dtype) -> None:
    """Compare the output of every convolution and linear layer in `precision` with float32, on one batch.

    CPU libraries have bugs with errors far above rounding. For example, oneDNN's bfloat16 convolutions with 16
    input channels and stride 4 are wrong on CPUs with AMX. A network learns to compensate for them, so that its
    loss falls while it becomes useless on any other machine.

    Raises
    ------
    ValueError
        If a layer is computed wrongly; the message names the first.
    """
    checked = copy.deepcopy(objective)  # keep the batch norm statistics of the original
    for name, module in checked.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(_CompareWithFloat32(name, precision))
    device = inputs[0].device.type
    with torch.no_grad(), torch.autocast(device, precision):
        checked(*inputs)


class _CompareWithFloat32:
    """A forward hook that raises ValueError if a layer's output is far from its float32 output."""

    def __init__(self, name: str, precision: torch.dtype) -> None:
        self.name, self.precision = name, precision

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        with torch.autocast(output.device.type, enabled=False):
            exact = module.forward(inputs[0].float())
        error = float((output.float() - exact).norm() / exact.norm().clamp_min(1e-12))
        if error > _MAX_ERROR:
            kind = str(self.precision).removeprefix("torch.")
            raise ValueError(
                f"this CPU computes {self.name} ({module}) wrongly in {kind}: "
                f'its output is off by {100 * error:.0f} %. Train with precision = "fp32"'
            )
