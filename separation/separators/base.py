"""The one interface of all methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from separation.audio.signal import Signal, TensorSignal

__all__ = ["Separator"]


class Separator(ABC):
    """Takes a mixture apart.

    A method either sees the whole signal (the oracles) or works in segments at constant memory
    (everything else); :meth:`stream` hides which.

    Attributes
    ----------
    name : str
        Of the method: "open-unmix".
    sources : tuple of str
        What comes out, in order.
    sample_rate : int
        Hz, of what it takes and gives.
    channels : int or None
        It takes and gives; None means any number.
    min_frames : int
        The shortest mixture it can work on.
    model : str or None
        Name of the weights, if it has any; `model_hash` identifies them.
    notes : list of str
        Sentences for the user about the last separation, such as a failure to converge.
    """

    name: ClassVar[str]
    sources: tuple[str, ...]
    sample_rate: int = 44100
    channels: int | None = None
    min_frames: int = 1
    model: str | None = None
    model_hash: str | None = None
    device: torch.device = torch.device("cpu")
    options: Any = None

    def __init__(self) -> None:
        self.notes: list[str] = []

    def at(self, *, sample_rate: int, channels: int) -> Separator:
        """This method for sound of that rate and number of channels; itself if it is bound to its own."""
        return self

    def separate(self, mixture: Tensor) -> Tensor:
        """Take a mixture apart.

        Parameters
        ----------
        mixture : Tensor, shape (channels, time), float32
            Finite; at `sample_rate`. Left unchanged.

        Returns
        -------
        Tensor, shape (sources, channels, time)
            The same length and level.

        Raises
        ------
        ValueError
            If the shape is another, or the mixture shorter than `min_frames`.
        """
        return torch.cat(list(self.stream(mixture)), dim=-1)

    @torch.inference_mode()  # on a generator it holds while this one runs, not while it waits
    def stream(self, mixture: Tensor | Signal) -> Iterator[Tensor]:
        """:meth:`separate` in consecutive blocks (sources, channels, some time), as they are finished.

        What is not in memory is read piece by piece.
        """
        if isinstance(mixture, Tensor):
            if mixture.dim() != 2:
                raise ValueError(self._expected(tuple(mixture.shape)))
            mixture = TensorSignal(mixture)
        if self.channels is not None and mixture.channels != self.channels:
            raise ValueError(self._expected((mixture.channels, mixture.frames)))
        if mixture.frames < self.min_frames:
            raise ValueError(
                f"the sound is too short: {self.name} needs at least {self.min_frames} samples "
                f"at {self.sample_rate} Hz, there are {mixture.frames}"
            )
        self.notes.clear()
        yield from self._stream(mixture)

    def _expected(self, shape: tuple[int, ...]) -> str:
        wanted = "any number of" if self.channels is None else self.channels
        return f"{self.name} takes a mixture of shape ({wanted} channels, time), got {shape}"

    def segments(self, frames: int) -> int:
        """How many blocks :meth:`stream` will yield for a mixture of that many frames."""
        return 1

    @abstractmethod
    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        """What a method implements: blocks for a mixture that has been checked.

        ``mixture.read(start, stop)`` gives any part of it, and going forward costs least.
        """
