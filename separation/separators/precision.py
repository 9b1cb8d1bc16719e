"""The numerical precision of a separator's networks, and the form in which they run.

"auto" is "fp32" everywhere: on CPUs because its output equals upstream's to more than 120 dB, on GPUs because nothing
else has been measured there. "bf16" against "fp32" on two cores of an AMD EPYC (avx512_bf16, without AMX), as the ratio
of the fp32 stems' energy to that of the difference, and of the CPU times:

====================================== ============ =======
network                                agreement    time
====================================== ============ =======
open-unmix-compact, 20 s of a song     40 to 56 dB  0.9
demucs-compact, 20 s of a song         45 to 50 dB  1.1
Demucs, 64 channels, 30 s              47 to 52 dB  0.4
Hybrid Demucs, 30 s                    41 to 46 dB  0.7
====================================== ============ =======

The ranges are over the stems. The lower two have random weights.
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

#: Estimates of all sources, (sources, channels, time), of each of several mixtures, (channels, time).
Estimator = Callable[[Sequence[Tensor]], list[Tensor]]


def check_precision(precision: str, device: torch.device) -> str:
    """The precision meant: "auto" is "fp32".

    Raises
    ------
    ValueError
        For a word that is none of :data:`PRECISIONS`, or one that the device has no arithmetic for.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "bf16" and device.type == "cpu" and not onednn.has_bfloat16():
        raise ValueError("this processor has no bfloat16 arithmetic: use precision fp32")
    return "fp32" if precision == "auto" else precision


def apply_precision(network: nn.Module, precision: str, device: torch.device) -> nn.Module:
    """Move a network to its device and let its linear and recurrent layers run in that precision, in place.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode. Its inputs and outputs stay float32.
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
                    setattr(parent, name, _InBfloat16(child))
    return network


def waveform_estimator(
    network: nn.Module, pack: Callable[[Any, torch.dtype], Estimator], precision: str, device: torch.device
) -> Estimator:
    """The fastest form of a network from waveform to waveforms.

    On a processor `pack` makes it of the network, which is used up; elsewhere the network itself runs.
    There "bf16" is autocast; on a processor it holds for all but the resampling, the spectrograms and the innermost
    layers of Hybrid Demucs. No convolution is computed in bfloat16: oneDNN's are wrong for some shapes on
    processors with AMX.

    Raises
    ------
    ValueError
        See :func:`check_precision`.
    """
    precision = check_precision(precision, device)
    network = network.eval().to(device)
    if device.type == "cpu" and onednn.is_available():
        return pack(network, torch.bfloat16 if precision == "bf16" else torch.float32)
    return _Plain(network, precision == "bf16", device)


class _Plain:
    """The network as it is; mixtures of equal length go through it together."""

    def __init__(self, network: nn.Module, bfloat16: bool, device: torch.device) -> None:
        self._network, self._bfloat16, self._device = network, bfloat16, device

    def __call__(self, mixtures: Sequence[Tensor]) -> list[Tensor]:
        autocast = torch.autocast(self._device.type, torch.bfloat16) if self._bfloat16 else contextlib.nullcontext()
        with torch.inference_mode(), autocast:
            if len({mixture.shape for mixture in mixtures}) == 1:
                return list(self._network(torch.stack(list(mixtures))).float())
            return [self._network(mixture[None])[0].float() for mixture in mixtures]


class _InBfloat16(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Any:
        y = self.layer(x.to(torch.bfloat16))
        return (y[0].float(), *y[1:]) if isinstance(y, tuple) else y.float()
