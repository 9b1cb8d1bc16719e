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
from separation.separators.level import measure

__all__ = ["FastICASeparator", "IcaOptions", "back_project"]

FIT_FRAMES = 1_000_000  # samples spread over the whole signal, 23 s at 44.1 kHz: enough for so few parameters
BLOCK_SECONDS = 20.0  # length of a block
_READ_SIZE = 1 << 18  # samples read at a time


@dataclass(frozen=True, kw_only=True)
class IcaOptions:
    """Options of ``ica``.

    Attributes
    ----------
    components : int or None
        Number of components; None for as many as channels. Fewer leave a residual.
    contrast : "logcosh", "exp" or "cube"
        Nonlinear function whose expectation measures independence.
    seed : int
        Seed of the initial matrix and of the selection of samples.
    tolerance : float
        Change of the unmixing matrix per iteration below which the search has converged.
    max_iterations : int
        Maximum number of iterations; reaching it adds a note for the user.
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
    """Separation into statistically independent components of the channels, each at its level in the mixture.

    The model is x = A s with as many sources as channels, such as N sources recorded with N microphones.
    A stereo song has two channels and four or more sources, so that its two components are still
    mixtures; the method is included partly to demonstrate this limit. With as many components as
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
        if channels is None:  # not known yet
            channels = max(2, options.components or 0)
        count = channels if options.components is None else options.components
        if count > channels:
            raise ValueError(f"{count} components need at least {count} channels, but the audio has {channels}")
        self.sample_rate = sample_rate
        self.channels = channels
        self.options = options
        self.sources = tuple(f"component {number}" for number in range(1, count + 1))
        self.min_frames = max(2, channels)

    def at(self, *, sample_rate: int, channels: int) -> FastICASeparator:
        """Return a separator for this sample rate and channel count, with a component per channel by default."""
        return FastICASeparator(sample_rate=sample_rate, channels=channels, options=self.options)

    def segments(self, frames: int) -> int:
        """Return the number of blocks for a mixture of `frames` samples."""
        return -(-frames // self._block_size)

    @property
    def _block_size(self) -> int:
        return round(BLOCK_SECONDS * self.sample_rate)

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        measured = measure(mixture)
        offset = measured.mean
        unmixing, mixing = self._matrices(mixture, offset, measured.covariance)
        for block in iter_blocks(mixture, self._block_size):
            x = block.double() - offset
            components = unmixing @ x
            images = mixing[:, :, None] * components[:, None] + offset / len(mixing)  # share the mean equally
            missing = len(self.sources) - len(images)
            yield torch.cat([images, images.new_zeros((missing, *x.shape))]).to(block.dtype)

    def _matrices(self, mixture: Signal, offset: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unmixing matrix and the level of each component in every channel, both (components, channels)."""
        channels = mixture.channels
        rank = _rank(covariance)
        if rank == 0:
            self.notes.append("Every channel is constant: there is nothing to separate.")
            zeros = torch.zeros(len(self.sources), channels, dtype=torch.float64)
            return zeros, zeros
        if rank < channels:
            signals = "one signal" if rank == 1 else f"{rank} different signals"
            self.notes.append(f"The {channels} channels hold only {signals}, which limits the number of components.")
        elif rank == 1:
            self.notes.append("One channel has only one component: there is nothing to separate.")
        if channels == 1:
            identity = torch.ones(1, 1, dtype=torch.float64)
            return identity, identity
        unmixing = self._fit(_sample_frames(mixture, self.options.seed) - offset, min(len(self.sources), rank))
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


def _sample_frames(mixture: Signal, seed: int) -> Tensor:
    """Return at most `FIT_FRAMES` samples per channel in float64, one drawn at random from each of equal intervals."""
    count = min(FIT_FRAMES, mixture.frames)
    chosen = torch.arange(mixture.frames)
    if count < mixture.frames:
        within = np.random.default_rng(seed).random(count)
        chosen = torch.from_numpy(((np.arange(count) + within) * (mixture.frames / count)).astype(np.int64))
    samples, position = [], 0
    for block in iter_blocks(mixture, _READ_SIZE):
        inside = chosen[(chosen >= position) & (chosen < position + block.shape[1])]
        samples.append(block[:, inside - position].double())
        position += block.shape[1]
    return torch.cat(samples, dim=1)


def _rank(covariance: Tensor) -> int:
    """Return the number of linearly independent channels, ignoring those below -100 dB."""
    powers = torch.linalg.eigvalsh(covariance)
    return int((powers > max(1e-10 * float(powers.max()), 1e-60)).sum())


def back_project(unmixing: Tensor, covariance: Tensor) -> Tensor:
    """Return the level of each independent component in every channel of the mixture.

    ICA leaves scale and sign undetermined. Fitting all components to every channel by least squares
    determines both. Only second moments are needed, so that the signals may have any length.

    Parameters
    ----------
    unmixing : Tensor, shape (sources, channels)
        W in s = W x, of any scale and sign.
    covariance : Tensor, shape (channels, channels)
        Covariance of the zero-mean mixture x.

    Returns
    -------
    Tensor, shape (sources, channels)
        A: the image of component j in channel c is A[j, c] s_j. With as many components as channels of
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
