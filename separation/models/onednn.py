"""Layers for inference on a CPU: convolutions as oneDNN matrix products with pre-packed weights.

Signals are (time, channels). A kernel's inputs are then contiguous in memory: a strided convolution is a product
with a few complete rows, and a transposed convolution writes complete rows. oneDNN packs the weights once and applies
bias, activation and gating to each result while it is in a register. Long signals are processed in blocks of rows that
stay in the cache from one product to the next.

This uses private torch operations (``torch.ops.mkldnn._linear_pointwise``), since they are faster. With the plain
networks, separating 30 s of audio takes 1.56 times as long for Demucs with 64 channels, and 1.41 times as long for 48
channels and for Hybrid Demucs, on two cores of an AMD EPYC (``make benchmarks ONLY=separation`` with
``--precision fp32 plain``). Where :func:`is_available` is False, the plain networks run instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import julius
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from separation.workers.threads import map_threads

__all__ = [
    "LSTM",
    "Linear",
    "LinearGLU",
    "Resampling",
    "blocks",
    "has_bfloat16",
    "is_available",
    "matmul",
    "one_per_core",
    "pad_rows",
    "split_kernel",
    "split_transposed",
]

ROWS = 2048  # rows per block, one or two megabytes with 64 to 256 channels


def is_available() -> bool:
    """Return True if this build of torch has the oneDNN operations used here."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def has_bfloat16() -> bool:
    """Return True if oneDNN multiplies bfloat16 on this CPU, which requires AVX-512 or AVX-NE-CONVERT."""
    return is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def blocks(n_rows: int, size: int = ROWS) -> Iterator[tuple[int, int]]:
    """Yield consecutive ranges (start, stop) of at most `size` rows that cover `n_rows`."""
    return ((start, min(start + size, n_rows)) for start in range(0, n_rows, size))


def one_per_core(function: Callable[[Tensor], Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Apply a function to all inputs, one per core if there are at least as many inputs as cores."""
    if len(inputs) < torch.get_num_threads():
        return [function(x) for x in inputs]
    return map_threads(function, inputs)


def matmul(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``x @ weight.T`` for a weight that is used too rarely to be packed for oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


class Linear:
    """The product ``x @ weight.T + bias`` over the last axis, fused with the operation that follows it.

    Parameters
    ----------
    weight : Tensor, shape (outputs, inputs)
    bias : Tensor, shape (outputs,), or None
    dtype : torch.dtype
        float32 or bfloat16, for weights, inputs and outputs.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype = torch.float32) -> None:
        weight = weight.detach().to(dtype).contiguous()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        self._bias = None if bias is None else bias.detach().to(dtype).contiguous()

    def __call__(self, x: Tensor, activation: str = "none") -> Tensor:
        """Apply the layer and an `activation`, which is none, relu, sigmoid or gelu (exact, not the tanh form)."""
        algorithm = "none" if activation == "gelu" else ""
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, activation, [], algorithm)

    def fused_add(self, x: Tensor, other: Tensor) -> Tensor:
        """Return the product plus `other`, which has the product's shape."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self._weight, self._bias, "add")

    def fused_mul(self, x: Tensor, other: Tensor) -> Tensor:
        """Return the product times `other`, which has the product's shape."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self._weight, self._bias, "mul")


class LinearGLU:
    """A linear layer and a gated linear unit: the first half of the outputs times the sigmoid of the second."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype = torch.float32) -> None:
        (value, gate), (value_bias, gate_bias) = weight.chunk(2), bias.chunk(2)
        self._value, self._gate = Linear(value, value_bias, dtype), Linear(gate, gate_bias, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return self._value.fused_mul(x, self._gate(x, "sigmoid"))


def split_kernel(weight: Tensor, bias: Tensor, stride: int, dtype: torch.dtype) -> tuple[Linear, Linear]:
    """Split a convolution of kernel 2 * `stride` into products with each row of `stride` samples and with the next row.

    `weight` has the shape (outputs, inputs, 2 * stride) as in ``nn.Conv1d``, a row (stride * inputs,).
    """
    outputs = weight.shape[0]
    this, following = (half.transpose(1, 2).reshape(outputs, -1) for half in weight.split(stride, dim=2))
    return Linear(this, bias, dtype), Linear(following, None, dtype)


def split_transposed(weight: Tensor, bias: Tensor, stride: int, dtype: torch.dtype) -> tuple[Linear, Linear]:
    """Split a transposed convolution of kernel 2 * `stride` into products with each frame and with the previous one.

    `weight` has the shape (inputs, outputs, 2 * stride) as in ``nn.ConvTranspose1d``, a row (stride * outputs,).
    """
    inputs = weight.shape[0]
    this, before = (half.permute(2, 1, 0).reshape(-1, inputs) for half in weight.split(stride, dim=2))
    return Linear(this, bias.repeat(stride), dtype), Linear(before, None, dtype)


class Resampling:
    """The resampling of julius' ``ResampleFrac``, as products of overlapping blocks with all shifts of its kernels.

    Parameters
    ----------
    old, new : int
        Sample rates of input and output, without a common divisor.
    """

    frames = 64  # groups of `new` output samples per product; with more, a larger part of its matrix is zero

    def __init__(self, old: int, new: int) -> None:
        resampler: Any = julius.ResampleFrac(old, new)
        kernels = resampler.kernel[:, 0]  # (new, taps)
        self._old, self._new, self._taps = old, new, kernels.shape[1]
        shifts = torch.zeros(self.frames, new, old * (self.frames - 1) + self._taps)
        for frame in range(self.frames):
            shifts[frame, :, old * frame : old * frame + self._taps] = kernels
        self._shifts = shifts.flatten(0, 1).T.contiguous()
        self._padding = (self._taps - old) // 2

    def __call__(self, x: Tensor) -> Tensor:
        """Resample (channels, time) to (channels, time * new // old), in float32."""
        length = x.shape[1] * self._new // self._old
        block_length, hop_length = len(self._shifts), self._old * self.frames
        n_blocks = max(1, -(-length // (self._new * self.frames)))
        x = F.pad(x[None], (self._padding, self._padding + self._old), mode="replicate")[0]
        x = F.pad(x, (0, max(0, (n_blocks - 1) * hop_length + block_length - x.shape[1])))
        resampled = [channel.unfold(0, block_length, hop_length)[:n_blocks] @ self._shifts for channel in x]
        return torch.stack(resampled).flatten(1)[:, :length]


class LSTM:
    """A bidirectional multi-layer LSTM over several sequences (time, channels) that may differ in length.

    A wide LSTM on few sequences spends nearly all its time fetching the recurrent weights. They are fetched once per
    step for any number of sequences, so that several sequences take little longer than one. A narrow LSTM, whose
    weights stay in the cache, runs as torch's own.
    """

    min_wide = 1024  # smallest hidden size of a wide LSTM

    def __init__(self, lstm: nn.LSTM, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self._torch_lstm: nn.LSTM | None = lstm
        if lstm.hidden_size >= self.min_wide:
            self._torch_lstm = None
            self._layers = [
                [_Direction(lstm, f"l{layer}{suffix}", dtype) for suffix in ("", "_reverse")]
                for layer in range(lstm.num_layers)
            ]

    def __call__(self, sequences: list[Tensor]) -> list[Tensor]:
        if self._torch_lstm is not None:
            return [self._torch_lstm(x.float()[:, None])[0][:, 0].to(self._dtype) for x in sequences]
        for forwards, backwards in self._layers:
            forward_outputs = forwards(sequences)
            backward_outputs = backwards([x.flip(0) for x in sequences])
            sequences = [
                torch.cat([x, y.flip(0)], dim=1) for x, y in zip(forward_outputs, backward_outputs, strict=True)
            ]
        return sequences


class _Direction:
    """One direction of one layer of an LSTM."""

    def __init__(self, lstm: nn.LSTM, name: str, dtype: torch.dtype) -> None:
        def reorder(parameter: Tensor) -> Tensor:
            """Reorder the gates to input, forget, output, cell, so that those with a sigmoid are adjacent."""
            input_, forget, cell, output = parameter.detach().chunk(4)
            return torch.cat([input_, forget, output, cell])

        bias = getattr(lstm, f"bias_ih_{name}") + getattr(lstm, f"bias_hh_{name}")
        self._input = Linear(reorder(getattr(lstm, f"weight_ih_{name}")), reorder(bias), dtype)
        self._recurrent = Linear(reorder(getattr(lstm, f"weight_hh_{name}")), None, dtype)
        self._size = lstm.hidden_size

    def __call__(self, sequences: list[Tensor]) -> list[Tensor]:
        size = self._size
        x = nn.utils.rnn.pad_sequence(sequences)  # (time, sequence, channels); the padding's output is dropped
        input_gates = self._input(x)
        outputs = x.new_empty(*x.shape[:2], size)
        hidden, cell = x.new_zeros(x.shape[1], size), torch.zeros(x.shape[1], size)
        for step in range(len(x)):
            gates = self._recurrent.fused_add(hidden, input_gates[step]).float()
            input_, forget, output = gates[:, : 3 * size].sigmoid_().split(size, dim=1)
            cell = torch.addcmul(forget * cell, input_, gates[:, 3 * size :].tanh_())
            outputs[step] = output * cell.tanh()
            hidden = outputs[step]
        return [outputs[: len(sequence), index] for index, sequence in enumerate(sequences)]


def pad_rows(x: Tensor, before: int, after: int) -> Tensor:
    """Add rows of zeros before and after (rows, channels)."""
    return F.pad(x, (0, 0, before, after)) if before or after else x
