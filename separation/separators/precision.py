"""The numerical precision of a separator's networks, and the implementation that runs them.

"auto" is "fp32" everywhere: on CPUs because its output equals upstream's to more than 120 dB, on GPUs because torch by
default computes convolutions and recurrent layers in TF32, which rounds their inputs to 10 bits of mantissa. With that
default, stems agreed with a CPU's to 66 to 86 dB; the agreement without TF32 has not been measured.
"tf32" allows this on NVIDIA GPUs, for all matrix products.

The table compares "bf16" with "fp32" on two cores of an AMD EPYC (avx512_bf16, without AMX). Agreement is the energy of
the fp32 stems over that of the difference; time is the ratio of the CPU times.

====================================== ============ =======
network                                agreement    time
====================================== ============ =======
open-unmix-compact, 20 s of a song     40 to 56 dB  0.9
demucs-compact, 20 s of a song         45 to 50 dB  1.1
Demucs, 64 channels, 30 s              47 to 52 dB  0.4
Hybrid Demucs, 30 s                    41 to 46 dB  0.7
RoFormer, four stems, 5 s              44 dB        0.7
====================================== ============ =======

The ranges are over the stems. The last three networks have random weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from separation.models import onednn

__all__ = ["PRECISIONS", "Estimator", "apply_precision", "batch_seconds", "check_precision", "waveform_estimator"]

PRECISIONS = ("auto", "fp32", "tf32", "bf16")

#: A function from mixtures, (channels, time) each, to the estimates of all sources, (sources, channels, time) each.
Estimator = Callable[[Sequence[Tensor]], list[Tensor]]


def check_precision(precision: str, device: torch.device) -> str:
    """Return the precision to use, which is "fp32" for "auto".

    Raises
    ------
    ValueError
        If `precision` is not one of :data:`PRECISIONS`, or the device does not support it.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "bf16" and device.type == "cpu" and not onednn.has_bfloat16():
        raise ValueError("this CPU has no bfloat16 arithmetic: use precision fp32")
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(f"TF32 is arithmetic of NVIDIA GPUs, not of {device.type}: use precision fp32")
    return "fp32" if precision == "auto" else precision


def batch_seconds(device: torch.device) -> float:
    """Return the seconds of audio that networks process in one batch; a GPU that lacks the memory halves batches."""
    return 80.0 if device.type == "cuda" else 40.0


def apply_precision(network: nn.Module, precision: str, device: torch.device) -> nn.Module:
    """Move a network to its device and run its linear and recurrent layers in a precision, in place.

    Parameters
    ----------
    network : nn.Module
        A network in evaluation mode; its inputs and outputs stay float32.
    precision : str
        One of :data:`PRECISIONS`. "bf16" rounds weights and signals of those layers to 8 bits of mantissa.
    device : torch.device

    Raises
    ------
    ValueError
        See :func:`check_precision`.
    """
    precision = check_precision(precision, device)
    network = network.to(device)
    if precision == "bf16":
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.LSTM | nn.Linear):
                    setattr(parent, name, _Bfloat16Layer(child))
    return network


def waveform_estimator(
    network: nn.Module, convert: Callable[[Any, torch.dtype], Estimator], precision: str, device: torch.device
) -> Estimator:
    """Return the fastest implementation of a network that maps a waveform to waveforms.

    On a CPU with oneDNN, `convert` is called with the network, which it consumes, and "bf16" applies to all but the
    resampling, the spectrograms, attention and the innermost layers of Hybrid Demucs. No convolution is computed in
    bfloat16, since oneDNN's are wrong for some shapes on CPUs with AMX. Elsewhere the network itself runs, and "bf16"
    is autocast.

    Raises
    ------
    ValueError
        See :func:`check_precision`.
    """
    precision = check_precision(precision, device)
    network = network.eval().to(device)
    if device.type == "cpu" and onednn.is_available():
        return convert(network, torch.bfloat16 if precision == "bf16" else torch.float32)
    return _PlainEstimator(network, precision == "bf16", device)


class _PlainEstimator:
    """Inference of the unmodified network; consecutive mixtures of equal length form one batch."""

    def __init__(self, network: nn.Module, bfloat16: bool, device: torch.device) -> None:
        self._network, self._bfloat16, self._device = network, bfloat16, device

    def __call__(self, mixtures: Sequence[Tensor]) -> list[Tensor]:
        autocast = torch.autocast(self._device.type, torch.bfloat16) if self._bfloat16 else contextlib.nullcontext()
        with torch.inference_mode(), autocast:
            same_length = [list(group) for _, group in groupby(mixtures, key=lambda mixture: mixture.shape)]
            return [estimate for group in same_length for estimate in self._estimate(group)]

    def _estimate(self, mixtures: list[Tensor]) -> list[Tensor]:
        """Process mixtures of one length as a batch, or in two halves if the GPU's memory does not suffice."""
        try:
            return list(self._network(torch.stack(mixtures)).float())
        except torch.OutOfMemoryError:
            if len(mixtures) == 1:
                raise
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        half = len(mixtures) // 2
        return self._estimate(mixtures[:half]) + self._estimate(mixtures[half:])


class _Bfloat16Layer(nn.Module):
    """A layer computed in bfloat16, with float32 inputs and outputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Any:
        y = self.layer(x.to(torch.bfloat16))
        return (y[0].float(), *y[1:]) if isinstance(y, tuple) else y.float()
