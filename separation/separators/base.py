"""The interface of all separation methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from separation.audio.signal import Signal, TensorSignal
from separation.separators.tf32 import float32_arithmetic

if TYPE_CHECKING:
    from separation.spectral.stft import StftConfig
    from separation.weights.model import Model

__all__ = ["Separator", "SpectrogramSeparator"]


class Separator(ABC):
    """A method that separates a mixture into sources.

    :meth:`separate` takes a signal in memory, :meth:`stream` one of any length. The oracles process the whole signal at
    once; all other methods process segments of it in constant memory.

    Attributes
    ----------
    name : str
        Name of the method, such as "open-unmix".
    sources : tuple of str
        Names of the estimated sources, in order.
    sample_rate : int
        Sample rate of mixture and estimates in Hz.
    channels : int or None
        Number of channels of mixture and estimates; None for any.
    min_frames : int
        Length in samples of the shortest mixture that the method accepts.
    model : str or None
        Name of the weights, if any; `model_hash` identifies their content.
    allow_tf32 : bool
        Whether an NVIDIA GPU may compute in TF32, as with ``precision="tf32"``.
    notes : list of str
        Sentences for the user about the last separation, such as a warning that it did not converge.
    """

    name: ClassVar[str]
    sources: tuple[str, ...]
    sample_rate: int = 44100
    channels: int | None = None
    min_frames: int = 1
    model: str | None = None
    model_hash: str | None = None
    device: torch.device = torch.device("cpu")
    allow_tf32: bool = False
    options: Any = None

    def __init__(self) -> None:
        self.notes: list[str] = []

    def _adopt(self, model: Model, device: torch.device, options: Any) -> None:
        """Take sources, sample rate, channels, name and hash from a model."""
        self.sources, self.sample_rate, self.channels = model.sources, model.sample_rate, model.channels
        self.model, self.model_hash = model.name, model.hash()
        self.device, self.options = device, options

    def at(self, *, sample_rate: int, channels: int) -> Separator:
        """Return a separator for this sample rate and channel count.

        Returns `self` if the model fixes both.
        """
        return self

    def separate(self, mixture: Tensor) -> Tensor:
        """Separate a mixture.

        Parameters
        ----------
        mixture : Tensor, shape (channels, time), float32
            Finite samples at `sample_rate`; left unchanged.

        Returns
        -------
        Tensor, shape (sources, channels, time)
            Estimates with the mixture's length and level.

        Raises
        ------
        ValueError
            If the shape is wrong, or the mixture is shorter than `min_frames`.
        """
        return torch.cat(list(self.stream(mixture)), dim=-1)

    @torch.inference_mode()  # of a generator: active while it computes a block, not between blocks
    def stream(self, mixture: Tensor | Signal) -> Iterator[Tensor]:
        """Yield the estimates in consecutive blocks (sources, channels, time) as they are computed.

        A signal that is not in memory is read as needed.
        """
        if isinstance(mixture, Tensor):
            if mixture.dim() != 2:
                raise ValueError(self._shape_error(tuple(mixture.shape)))
            mixture = TensorSignal(mixture)
        if self.channels is not None and mixture.channels != self.channels:
            raise ValueError(self._shape_error((mixture.channels, mixture.frames)))
        if mixture.frames < self.min_frames:
            raise ValueError(
                f"the audio is too short: {self.name} needs at least {self.min_frames / self.sample_rate:.3f} s "
                f"({self.min_frames} samples at {self.sample_rate} Hz), but it has {mixture.frames}"
            )
        self.notes.clear()
        blocks = self._stream(mixture)
        while (block := self._next(blocks)) is not None:
            yield block

    def _next(self, blocks: Iterator[Tensor]) -> Tensor | None:
        """Compute the next block; on a GPU, with the arithmetic of the precision."""
        if self.device.type != "cuda":
            return next(blocks, None)
        with float32_arithmetic(allow_tf32=self.allow_tf32):
            return next(blocks, None)

    def _shape_error(self, shape: tuple[int, ...]) -> str:
        channels = "any number of" if self.channels is None else self.channels
        return f"{self.name} takes a mixture of shape ({channels} channels, time), got {shape}"

    def segments(self, frames: int) -> int:
        """Return the number of blocks that :meth:`stream` yields for a mixture of `frames` samples."""
        return 1

    @abstractmethod
    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        """Yield the blocks of estimates for a validated mixture; implemented by every method.

        ``mixture.read(start, stop)`` returns any part of the mixture; sequential reads are cheapest.
        """


class SpectrogramSeparator(Separator):
    """A method that estimates spectrograms, which an ensemble can combine before they become waveforms.

    Attributes
    ----------
    stft : StftConfig
        The transform, with frames centred on multiples of the hop.
    """

    stft: StftConfig

    @abstractmethod
    def stream_spectrograms(self, mixture: Signal) -> Iterator[Tensor]:
        """Yield the estimates' complex spectrograms in consecutive blocks (sources, channels, bins, frames).

        There are ``mixture.frames // stft.hop_length + 1`` frames. The mixture is not brought to another level.
        """
