"""The one interface of all methods."""

from __future__ import annotations

import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from separation.audio import Signal, Waveform

__all__ = ["Separator", "choose_device", "parse_options"]

Options = TypeVar("Options")


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
            mixture = Waveform(mixture)
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


def choose_device(device: str) -> torch.device:
    """ "auto" is the GPU where there is one; raises ValueError for one that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device here: choose --device cpu or auto")
    return torch.device(device)


def parse_options(options: type[Options], given: Mapping[str, object]) -> Options:
    """Fill a dataclass of options; strings are converted to the type of each field.

    Raises
    ------
    ValueError
        For an unknown name (the known ones are listed) or a value of the wrong type.
    """
    hints = typing.get_type_hints(options)
    unknown = sorted(set(given) - set(hints))
    if unknown:
        known = ", ".join(hints) or "none"
        raise ValueError(f"unknown option {unknown[0]!r}; the options of this method are: {known}")
    return options(**{name: _convert(name, value, hints[name]) for name, value in given.items()})


def _convert(name: str, value: object, hint: Any) -> object:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, str):
        word = value.strip().lower()
        if type(None) in kinds and word in ("none", ""):
            return None
        if bool in kinds and word in ("true", "yes", "1", "false", "no", "0"):
            return word in ("true", "yes", "1")
        for kind in (int, float):
            if kind in kinds and word not in ("inf", "-inf", "infinity", "-infinity", "nan"):
                try:
                    return kind(word)
                except ValueError:
                    continue
        if str in kinds:
            return value
    elif any(type(value) is kind for kind in kinds) or (float in kinds and type(value) is int):
        return value
    expected = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
    raise ValueError(f"option {name} must be {expected}, got {value!r}")
