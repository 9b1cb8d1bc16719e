"""Measure the level of a recording, and bring it to the level of a network's training data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from separation.audio.blocks import iter_blocks
from separation.audio.channels import ChannelMix
from separation.audio.signal import Signal

__all__ = [
    "LEVELS",
    "MASTERED_PEAK",
    "InputMatrices",
    "Measurement",
    "check_level",
    "levelled",
    "master",
    "measure",
    "standardise",
]

LEVELS = ("invariant", "upstream")

#: The median of :attr:`Measurement.level` over the training clips of MUSDB18's sample set is 0.754.
MASTERED_PEAK = 0.75

_PEAK_SIZE = 22050  # samples per peak
_READ_SIZE = 12 * _PEAK_SIZE  # samples per block
_USUAL = 0.9  # fraction of the peaks that do not exceed the level
_LEAST = 0.1  # of the highest peak
_SILENT = 1e-8  # power of a channel relative to the loudest one below which it is silent: -80 dB
_FLOOR = 0.1  # of the RMS of the average, relative to that of uncorrelated channels
_ROUNDING = 1e-14  # variance relative to the squared mean below which a channel is constant up to rounding


def check_level(level: str) -> None:
    """Raise ValueError if `level` is not one of :data:`LEVELS`."""
    if level not in LEVELS:
        raise ValueError(f"level must be {' or '.join(LEVELS)}, got {level!r}")


@dataclass(frozen=True)
class Measurement:
    """Statistics of a recording, in float64.

    Attributes
    ----------
    mean : Tensor, shape (channels, 1)
    covariance : Tensor, shape (channels, channels)
    peaks : Tensor, shape (half seconds,)
        Largest distance of a sample from the mean of its channel, per half second at 44.1 kHz.
    """

    mean: Tensor
    covariance: Tensor
    peaks: Tensor

    @property
    def level(self) -> float:
        """The peak that a tenth of all half seconds exceed, but at least a tenth of the highest one."""
        ascending = self.peaks.sort().values
        return max(float(ascending[int(_USUAL * (len(ascending) - 1))]), _LEAST * float(ascending[-1]))


def measure(signal: Signal) -> Measurement:
    """Measure a signal of at least one sample, in one pass."""
    mean = torch.zeros(signal.channels, 1, dtype=torch.float64)
    scatter, count = torch.zeros(signal.channels, signal.channels, dtype=torch.float64), 0
    lows, highs = [], []
    for block in iter_blocks(signal, _READ_SIZE):
        x, size = block.double(), block.shape[1]
        block_mean = x.mean(1, keepdim=True)
        shift = block_mean - mean
        scatter += (x - block_mean) @ (x - block_mean).T + shift @ shift.T * (count * size / (count + size))
        mean += shift * (size / (count + size))
        count += size
        lows += [part.amin(1) for part in x.split(_PEAK_SIZE, dim=1)]
        highs += [part.amax(1) for part in x.split(_PEAK_SIZE, dim=1)]
    peaks = torch.maximum(mean - torch.stack(lows, 1), torch.stack(highs, 1) - mean).amax(0)
    return Measurement(mean, scatter / count, peaks)


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

    def divided_by(self, level: float) -> InputMatrices:
        """Return the matrices of a network's input that is divided by a level, unless all stems are silent."""
        return InputMatrices(self.mean, self.forward / level, self.inverse * level) if self.inverse.any() else self

    def restore(self, blocks: Iterable[Tensor], shares: Tensor | None = None) -> Iterator[Tensor]:
        """Yield blocks of estimates (sources, channels, time) in the channels and at the level of the recording.

        Each source gets its share of the mean, from `shares` (sources,); by default all get the same.
        """
        for block in blocks:
            sources = len(block)
            of_mean = torch.full((sources,), 1 / sources) if shares is None else shares
            yield self.inverse.to(block) @ block + of_mean.to(block)[:, None, None] * self.mean.to(block)


def standardise(signal: Signal) -> InputMatrices:
    """Return the matrices that give the average of a recording's channels a root mean square (RMS) of 1.

    Where the average vanishes, the RMS is at least a tenth of the one that it would have if the channels were
    uncorrelated. Opposite and silent channels are treated as by :func:`master`.
    """
    measured = measure(signal)
    matrices = _repair_channels(measured)
    covariance = matrices.forward @ measured.covariance @ matrices.forward.T
    rms = math.sqrt(max(float(covariance.mean()), _FLOOR**2 * float(covariance.trace()) / len(covariance) ** 2))
    return matrices.divided_by(rms)


def master(signal: Signal) -> InputMatrices:
    """Return the matrices that bring a recording, whatever its gain, to the level of mastered music.

    The level is :attr:`Measurement.level`, since mastered music fills the range of the samples: its peaks vary less
    from song to song than its RMS. docs/command-line.md compares the stems with those at the recordings' own levels.

    The second of two channels is inverted for the network if their correlation is below -0.9. A silent channel is
    replaced by the loudest one for the network, and is silent in the stems.
    """
    measured = measure(signal)
    return _repair_channels(measured).divided_by(measured.level / MASTERED_PEAK)


def _repair_channels(measured: Measurement) -> InputMatrices:
    """Return the matrices that invert an opposite channel and replace silent ones; silence gives silent stems."""
    mean, covariance = measured.mean, measured.covariance
    channels = len(mean)
    power = covariance.diagonal().clone()
    power[power <= _ROUNDING * mean[:, 0].square()] = 0
    to_network, to_stems = torch.eye(channels, dtype=torch.float64), torch.eye(channels, dtype=torch.float64)
    loudest = int(power.argmax())
    if float(power[loudest]) < 1e-60:
        return InputMatrices(mean, to_network, torch.zeros_like(to_stems))
    silent = power < _SILENT * power[loudest]
    to_network[silent] = to_network[loudest].clone()
    to_stems[silent] = 0
    if channels == 2 and covariance[0, 1] < -0.9 * math.sqrt(float(power.prod())):
        to_network[1] *= -1
        to_stems[1] *= -1
    return InputMatrices(mean, to_network, to_stems)


def levelled(signal: Signal, matrices: InputMatrices) -> Signal:
    """Return a recording as the input of a network: ``matrices.forward @ (signal - matrices.mean)``."""
    return ChannelMix(signal, signal.channels, lambda x: (matrices.forward @ (x.double() - matrices.mean)).to(x.dtype))
