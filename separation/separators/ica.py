"""Linear independent component analysis, the method of as many microphones as sources."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from separation.separators.base import Separator

__all__ = ["FastICASeparator", "IcaOptions", "back_project"]

FIT_FRAMES = 1_000_000  # 23 s at 44.1 kHz, drawn from all over the signal, determine a handful of numbers well enough


@dataclass(frozen=True, kw_only=True)
class IcaOptions:
    """Options of ``ica``.

    Attributes
    ----------
    components : int or None
        How many; None: as many as channels. Fewer leave a residual.
    contrast : "logcosh", "exp" or "cube"
        The function whose expectation tells independent from mixed.
    seed : int
        Of the starting point, and of which frames are looked at.
    tolerance : float
        Change of the unmixing matrix at which it has converged.
    max_iterations : int
        After so many, it is left where it is, with a note.
    """

    components: int | None = None
    contrast: str = "logcosh"
    seed: int = 0
    tolerance: float = 1e-4
    max_iterations: int = 200

    def __post_init__(self) -> None:
        if self.components is not None and self.components < 1:
            raise ValueError(f"components must be at least 1, got {self.components}")
        if self.contrast not in ("logcosh", "exp", "cube"):
            raise ValueError(f"contrast must be logcosh, exp or cube, got {self.contrast!r}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")
        if not 0 < self.tolerance < float("inf"):
            raise ValueError(f"tolerance must be positive, got {self.tolerance}")
        if self.max_iterations < 1:
            raise ValueError(f"max_iterations must be at least 1, got {self.max_iterations}")


class FastICASeparator(Separator):
    """Statistically independent components of the channels, each at its level in the mixture.

    The model is x = A s with as many sources as channels: a room recorded with N microphones,
    say. A stereo song has two channels and four sources or more, so that the two components
    are themselves mixtures: what the method cannot do is part of what it shows here.
    With as many components as channels they sum to the mixture exactly.

    References
    ----------
    Hyvärinen, Oja, "Independent component analysis: algorithms and applications",
    Neural Networks 13, 2000; as ``sklearn.decomposition.FastICA`` implements it.
    """

    name = "ica"

    def __init__(
        self, *, sample_rate: int = 44100, channels: int | None = None, options: IcaOptions = IcaOptions()
    ) -> None:
        super().__init__()
        if channels is None:  # not known yet: as many as it takes
            channels = max(2, options.components or 0)
        count = channels if options.components is None else options.components
        if count > channels:
            raise ValueError(f"{count} components need {count} channels or more, the sound has {channels}")
        self.sample_rate = sample_rate
        self.channels = channels
        self.options = options
        self.sources = tuple(f"component {number}" for number in range(1, count + 1))
        self.min_frames = max(2, channels)

    def at(self, *, sample_rate: int, channels: int) -> FastICASeparator:
        return FastICASeparator(sample_rate=sample_rate, channels=channels, options=self.options)

    def _stream(self, mixture: Tensor) -> Iterator[Tensor]:
        x = mixture.double()
        offset = x.mean(1, keepdim=True)
        x = x - offset
        rank = _rank(x)
        count = min(len(self.sources), rank)
        if count == 0:
            self.notes.append("Every channel is constant: there is nothing to unmix.")
            images = x[None].repeat(len(self.sources), 1, 1) / len(self.sources)
        else:
            if rank < x.shape[0]:
                signals = "one signal" if rank == 1 else f"{rank} different signals"
                self.notes.append(f"The {x.shape[0]} channels hold only {signals}, so there are no more components.")
            elif rank == 1:
                self.notes.append("One channel has one component: there is nothing to unmix.")
            unmixing = self._fit(x, count) if x.shape[0] > 1 else torch.ones(1, 1, dtype=x.dtype)
            images = back_project(unmixing @ x, x)
        images = images + offset / images.shape[0]  # the mean belongs to none of them
        missing = len(self.sources) - images.shape[0]
        yield torch.cat([images, images.new_zeros((missing, *x.shape))]).to(mixture.dtype)

    def _fit(self, x: Tensor, count: int) -> Tensor:
        """The unmixing matrix, shape (count, channels)."""
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        options = self.options
        frames = x.shape[1]
        if frames > FIT_FRAMES:
            chosen = np.random.default_rng(options.seed).choice(frames, FIT_FRAMES, replace=False)
            x = x[:, torch.from_numpy(np.sort(chosen))]
        ica = FastICA(
            n_components=count,
            whiten="unit-variance",
            fun=options.contrast,
            tol=options.tolerance,
            max_iter=options.max_iterations,
            random_state=options.seed,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ica.fit(x.T.numpy())
        if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
            note = (
                f"ICA did not converge within {options.max_iterations} iterations at a tolerance of "
                f"{options.tolerance:g}: its components may still be mixed. Try more iterations or another contrast."
            )
            self.notes.append(note)
            warnings.warn(note, RuntimeWarning, stacklevel=2)
        return torch.from_numpy(ica.components_)


def _rank(x: Tensor) -> int:
    """How many of the channels (channels, time) are linearly independent, to -100 dB."""
    powers = torch.linalg.eigvalsh(x @ x.T / x.shape[1])
    return int((powers > max(1e-10 * float(powers.max()), 1e-30)).sum())


def back_project(components: Tensor, mixture: Tensor) -> Tensor:
    """Give each independent component the level it has in the mixture.

    ICA leaves scale and sign undetermined. Fitting all components to every channel by least
    squares settles both.

    Parameters
    ----------
    components : Tensor, shape (sources, time)
        Zero mean; arbitrary scale and sign.
    mixture : Tensor, shape (channels, time)
        Zero mean; full scale is +-1.

    Returns
    -------
    Tensor, shape (sources, channels, time)
        With as many components as channels of full rank, their sum is the mixture up to rounding.

    Raises
    ------
    ValueError
        If lengths differ or components are linearly dependent.

    References
    ----------
    Murata, Ikeda, Ziehe, "An approach to blind source separation based on temporal structure of
    speech signals", Neurocomputing 41, 2001.
    """
    if components.shape[1] != mixture.shape[1]:
        raise ValueError(f"components last {components.shape[1]} samples, the mixture {mixture.shape[1]}")
    gram = components @ components.T
    if int(torch.linalg.matrix_rank(gram, hermitian=True)) < components.shape[0]:
        raise ValueError("the components are linearly dependent")
    mixing = torch.linalg.solve(gram, components @ mixture.T)  # (sources, channels): x = sum over j of a_j s_j
    return mixing[:, :, None] * components[:, None, :]
