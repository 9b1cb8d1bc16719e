"""The numerical precision of a separator's networks, and the implementation that runs them.

"auto" is "fp32" everywhere: on CPUs because its output equals upstream's to more than 120 dB, on GPUs because nothing
else has been measured there. The table compares "bf16" with "fp32" on two cores of an AMD EPYC (avx512_bf16, without
AMX). Agreement is the energy of the fp32 stems over that of the difference, time the ratio of the CPU times.

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
from typing import Any

import torch
from torch import Tensor, nn

from separation.models import onednn

__all__ = ["PRECISIONS", "Estimator", "apply_precision", "check_precision", "waveform_estimator"]

PRECISIONS = ("auto", "fp32", "bf16")

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
    return "fp32" if precision == "auto" else precision


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
    """Inference of the unmodified network; mixtures of equal length form one batch."""

    def __init__(self, network: nn.Module, bfloat16: bool, device: torch.device) -> None:
        self._network, self._bfloat16, self._device = network, bfloat16, device

    def __call__(self, mixtures: Sequence[Tensor]) -> list[Tensor]:
        autocast = torch.autocast(self._device.type, torch.bfloat16) if self._bfloat16 else contextlib.nullcontext()
        with torch.inference_mode(), autocast:
            if len({mixture.shape for mixture in mixtures}) == 1:
                return list(self._network(torch.stack(list(mixtures))).float())
            return [self._network(mixture[None])[0].float() for mixture in mixtures]


class _Bfloat16Layer(nn.Module):
    """A layer computed in bfloat16, with float32 inputs and outputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Any:
        y = self.layer(x.to(torch.bfloat16))
        return (y[0].float(), *y[1:]) if isinstance(y, tuple) else y.float()
