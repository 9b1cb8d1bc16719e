"""Linear independent component analysis, for recordings with as many microphones as sources."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from separation.audio.blocks import iter_blocks
from separation.audio.signal import Signal
from separation.separators.base import Separator

__all__ = ["FastICASeparator", "IcaOptions", "back_project"]

FIT_FRAMES = 1_000_000  # 23 s at 44.1 kHz, drawn from all over the signal, determine a handful of numbers well enough
PIECE_SECONDS = 20.0  # that are unmixed at a time
_READ = 1 << 18  # frames that are looked at at a time


@dataclass(frozen=True, kw_only=True)
class IcaOptions:
    """Options of ``ica``.

    Attributes
    ----------
    components : int or None
        Number of components; None for as many as channels. Fewer leave a residual.
    contrast : "logcosh", "exp" or "cube"
        The function whose expectation measures independence.
    seed : int
        Seed of the initial matrix and of the selection of samples.
    tolerance : float
        Change of the unmixing matrix below which it has converged.
    max_iterations : int
        Iterations after which the search stops, with a note.
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

    The model is x = A s with as many sources as channels, such as a room recorded with N microphones.
    A stereo song has two channels and four or more sources, so that its two components are mixtures
    themselves; this limit of the method is part of what it demonstrates. With as many components as
    channels, they sum to the mixture exactly.

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

    def segments(self, frames: int) -> int:
        return -(-frames // self._piece)

    @property
    def _piece(self) -> int:
        return round(PIECE_SECONDS * self.sample_rate)

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        offset, covariance = _moments(mixture)
        unmixing, mixing = self._matrices(mixture, offset, covariance)
        for piece in iter_blocks(mixture, self._piece):
            x = piece.double() - offset
            components = unmixing @ x
            images = mixing[:, :, None] * components[:, None] + offset / len(mixing)  # the mean belongs to none of them
            missing = len(self.sources) - len(images)
            yield torch.cat([images, images.new_zeros((missing, *x.shape))]).to(piece.dtype)

    def _matrices(self, mixture: Signal, offset: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unmixing matrix and each component's level in every channel, (components, channels) both."""
        channels = mixture.channels
        rank = _rank(covariance)
        if rank == 0:
            self.notes.append("Every channel is constant: there is nothing to unmix.")
            nothing = torch.zeros(len(self.sources), channels, dtype=torch.float64)
            return nothing, nothing
        if rank < channels:
            signals = "one signal" if rank == 1 else f"{rank} different signals"
            self.notes.append(f"The {channels} channels hold only {signals}, so there are no more components.")
        elif rank == 1:
            self.notes.append("One channel has one component: there is nothing to unmix.")
        if channels == 1:
            one = torch.ones(1, 1, dtype=torch.float64)
            return one, one
        unmixing = self._fit(_some_frames(mixture, self.options.seed) - offset, min(len(self.sources), rank))
        return unmixing, back_project(unmixing, covariance)

    def _fit(self, x: Tensor, count: int) -> Tensor:
        """Return the unmixing matrix, shape (count, channels)."""
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        options = self.options
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


def _moments(mixture: Signal) -> tuple[Tensor, Tensor]:
    """Return mean (channels, 1) and covariance (channels, channels) in float64, from one pass over the signal."""
    mean = torch.zeros(mixture.channels, 1, dtype=torch.float64)
    scatter, count = torch.zeros(mixture.channels, mixture.channels, dtype=torch.float64), 0
    for piece in iter_blocks(mixture, _READ):
        x, size = piece.double(), piece.shape[1]
        own = x.mean(1, keepdim=True)
        shift = own - mean
        scatter += (x - own) @ (x - own).T + shift @ shift.T * (count * size / (count + size))
        mean += shift * (size / (count + size))
        count += size
    return mean, scatter / count


def _some_frames(mixture: Signal, seed: int) -> Tensor:
    """Return at most `FIT_FRAMES` samples of all channels in float64, one from each of as many equal intervals."""
    count = min(FIT_FRAMES, mixture.frames)
    chosen = torch.arange(mixture.frames)
    if count < mixture.frames:
        within = np.random.default_rng(seed).random(count)
        chosen = torch.from_numpy(((np.arange(count) + within) * (mixture.frames / count)).astype(np.int64))
    found, position = [], 0
    for piece in iter_blocks(mixture, _READ):
        here = chosen[(chosen >= position) & (chosen < position + piece.shape[1])]
        found.append(piece[:, here - position].double())
        position += piece.shape[1]
    return torch.cat(found, dim=1)


def _rank(covariance: Tensor) -> int:
    """Return how many channels are linearly independent, to -100 dB."""
    powers = torch.linalg.eigvalsh(covariance)
    return int((powers > max(1e-10 * float(powers.max()), 1e-30)).sum())


def back_project(unmixing: Tensor, covariance: Tensor) -> Tensor:
    """Return the level of each independent component in every channel of the mixture.

    ICA leaves scale and sign undetermined. Fitting all components to every channel by least squares
    settles both. It needs only second moments, so that the signals may be of any length.

    Parameters
    ----------
    unmixing : Tensor, shape (sources, channels)
        W in s = W x, of any scale and sign.
    covariance : Tensor, shape (channels, channels)
        Covariance of the zero-mean mixture x.

    Returns
    -------
    Tensor, shape (sources, channels)
        A: component j enters channel c as A[j, c] s_j. With as many components as channels of
        full rank, the sum over j is the mixture up to rounding.

    Raises
    ------
    ValueError
        If the components are linearly dependent.

    References
    ----------
    Murata, Ikeda, Ziehe, "An approach to blind source separation based on temporal structure of
    speech signals", Neurocomputing 41, 2001.
    """
    gram = unmixing @ covariance @ unmixing.T
    if int(torch.linalg.matrix_rank(gram, hermitian=True)) < unmixing.shape[0]:
        raise ValueError("the components are linearly dependent")
    return torch.linalg.solve(gram, unmixing @ covariance)
