"""Measure the level of a recording, and bring it to the level of a network's training data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from separation.audio.blocks import iter_blocks
from separation.audio.signal import Signal

__all__ = [
    "LEVELS",
    "MASTERED_RANGE",
    "MASTERED_RMS",
    "InputMatrices",
    "LevelledSignal",
    "check_level",
    "input_matrices",
    "moments",
]

LEVELS = ("invariant", "upstream")

MASTERED_RMS = 0.15  #: RMS of the average of both channels, typical of mastered music
MASTERED_RANGE = (0.25, 4.0)  #: range relative to it within which recordings may keep their level

_READ_SIZE = 1 << 18  # samples per block
_SILENT = 1e-8  # power of a channel relative to the loudest one below which it is silent: -80 dB
_ROUNDING = 1e-14  # variance relative to the squared mean below which a channel is constant up to rounding


def check_level(level: str) -> None:
    """Raise ValueError if `level` is not one of :data:`LEVELS`."""
    if level not in LEVELS:
        raise ValueError(f"level must be {' or '.join(LEVELS)}, got {level!r}")


def moments(signal: Signal) -> tuple[Tensor, Tensor]:
    """Return the mean (channels, 1) and covariance (channels, channels) in float64, in one pass over the signal."""
    mean = torch.zeros(signal.channels, 1, dtype=torch.float64)
    scatter, count = torch.zeros(signal.channels, signal.channels, dtype=torch.float64), 0
    for block in iter_blocks(signal, _READ_SIZE):
        x, size = block.double(), block.shape[1]
        block_mean = x.mean(1, keepdim=True)
        shift = block_mean - mean
        scatter += (x - block_mean) @ (x - block_mean).T + shift @ shift.T * (count * size / (count + size))
        mean += shift * (size / (count + size))
        count += size
    return mean, scatter / max(1, count)


@dataclass(frozen=True)
class InputMatrices:
    """The linear map from a recording's channels to a network's input, and its inverse.

    Attributes
    ----------
    mean : Tensor, shape (channels, 1), float64
        Mean of each channel.
    forward : Tensor, shape (channels, channels), float64
        The network's input is ``forward @ (mixture - mean)``.
    inverse : Tensor, shape (channels, channels), float64
        A stem is ``inverse @ estimate``, plus its share of the mean.
    """

    mean: Tensor
    forward: Tensor
    inverse: Tensor

    def restore(self, blocks: Iterable[Tensor], shares: Tensor | None = None) -> Iterator[Tensor]:
        """Yield blocks of estimates (sources, channels, time) in the channels and at the level of the recording.

        Each source gets its share of the mean, from `shares` (sources,); by default all get the same.
        """
        for block in blocks:
            sources = len(block)
            of_mean = torch.full((sources,), 1 / sources) if shares is None else shares
            yield self.inverse.to(block) @ block + of_mean.to(block)[:, None, None] * self.mean.to(block)


def input_matrices(
    signal: Signal, *, reference: float, floor: float, ordinary: tuple[float, float] = (1.0, 1.0)
) -> InputMatrices:
    """Measure a recording and return the matrices that bring it to a network's level.

    The level is the root mean square (RMS) of the average of all channels, but at least `floor` times the RMS that the
    average would have if the channels were uncorrelated. It is therefore zero for silence only.
    Recordings whose RMS lies within `ordinary` keep their level; all others are brought to `reference`. The second of
    two channels is inverted for the network if their correlation is below -0.9. A silent channel is replaced by the
    loudest one for the network, and is silent in the stems.

    Parameters
    ----------
    signal : Signal
    reference : float
        RMS of the network's input.
    floor : float
        Above 0. With 1, a strong side signal counts as much as the sum of the channels.
    ordinary : (float, float)
        Range of the RMS, relative to `reference`, within which the level is kept; none by default.
    """
    mean, covariance = moments(signal)
    channels = signal.channels
    power = covariance.diagonal().clone()
    power[power <= _ROUNDING * mean[:, 0].square()] = 0
    to_network, to_stems = torch.eye(channels, dtype=torch.float64), torch.eye(channels, dtype=torch.float64)
    loudest = int(power.argmax())
    if float(power[loudest]) < 1e-60:
        return InputMatrices(mean, to_network, torch.zeros_like(to_stems))  # silence gives silent stems
    silent = power < _SILENT * power[loudest]
    to_network[silent] = to_network[loudest].clone()
    to_stems[silent] = 0
    if channels == 2 and covariance[0, 1] < -0.9 * math.sqrt(float(power.prod())):
        to_network[1] *= -1
        to_stems[1] *= -1
    presented = to_network @ covariance @ to_network.T
    rms = math.sqrt(max(float(presented.mean()), floor**2 * float(presented.trace()) / channels**2))
    low, high = ordinary
    scale = 1.0 if low * reference < rms < high * reference else rms / reference
    return InputMatrices(mean, to_network / scale, to_stems * scale)


class LevelledSignal:
    """A recording as the input of a network: ``matrices.forward @ (signal - matrices.mean)``."""

    def __init__(self, signal: Signal, matrices: InputMatrices) -> None:
        self._signal, self._matrices = signal, matrices
        self.channels, self.frames = signal.channels, signal.frames

    def read(self, start: int, stop: int) -> Tensor:
        """Return samples `start` to `stop` of the network's input, shape (channels, stop - start)."""
        x = self._signal.read(start, stop)
        return (self._matrices.forward @ (x.double() - self._matrices.mean)).to(x.dtype)
