"""Oracles: masks and filters computed from the true sources, as upper bounds of every comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from separation.audio.signal import Signal
from separation.separators.base import Separator
from separation.spectral.masks import binary_mask, ratio_mask
from separation.spectral.stft import StftConfig, istft, stft
from separation.spectral.wiener import expectation_maximization

__all__ = ["KINDS", "Oracle", "OracleOptions"]

KINDS = ("irm", "ibm", "mwf")


@dataclass(frozen=True, kw_only=True)
class OracleOptions:
    """Options of the oracles.

    Attributes
    ----------
    n_fft, hop_length : int
        Frame length and hop of the spectrograms in samples.
    power : float
        Exponent of the magnitudes in the ratio mask: 1 for SiSEC's IRM1, 2 (energies) for IRM2.
    """

    n_fft: int = 4096
    hop_length: int = 1024
    power: float = 1.0

    def __post_init__(self) -> None:
        StftConfig(n_fft=self.n_fft, hop_length=self.hop_length)
        if not self.power > 0:
            raise ValueError(f"power must be positive, got {self.power}")


class Oracle(Separator):
    """Separation by the ideal ratio mask, the ideal binary mask or the multichannel Wiener filter.

    Parameters
    ----------
    kind : "irm", "ibm" or "mwf"
    references : mapping of str to Tensor, each shape (channels, time)
        The true sources, aligned with the mixture.
    """

    def __init__(
        self,
        kind: str,
        references: Mapping[str, Tensor],
        *,
        sample_rate: int = 44100,
        options: OracleOptions = OracleOptions(),
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"the oracles are {', '.join(KINDS)}, not {kind!r}")
        if len(references) < 2:
            raise ValueError(
                f"{kind} is an oracle: it needs the true sources (references) of the mixture, at least two"
            )
        shapes = [tuple(reference.shape) for reference in references.values()]
        if len(shapes[0]) != 2 or len(set(shapes)) > 1:
            raise ValueError(f"references must all have one shape (channels, time), got {shapes}")
        self.name = kind  # type: ignore[misc]  # an instance is named after its kind
        self.sources = tuple(references)
        self.references = torch.stack(list(references.values()))
        self.sample_rate = sample_rate
        self.channels = self.references.shape[1]
        self.options = options
        self.stft = StftConfig(n_fft=options.n_fft, hop_length=options.hop_length)
        self.min_frames = options.n_fft

    def at(self, *, sample_rate: int, channels: int) -> Oracle:
        """Return an oracle for this sample rate; the references determine the number of channels."""
        references = dict(zip(self.sources, self.references, strict=True))
        return Oracle(self.name, references, sample_rate=sample_rate, options=self.options)

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        x = mixture.read(0, mixture.frames)
        if self.references.shape[1:] != x.shape:
            shapes = tuple(self.references.shape[1:]), tuple(x.shape)
            raise ValueError(f"references and mixture must have the same shape, got {shapes[0]} and {shapes[1]}")
        peak = float(x.abs().max()) or 1.0  # dividing by it keeps even quiet recordings far above an epsilon
        X, S = stft(x / peak, self.stft), stft(self.references / peak, self.stft)
        if self.name == "irm":
            Y = ratio_mask(S.abs(), power=self.options.power) * X
        elif self.name == "ibm":
            Y = binary_mask(S.abs()) * X
        else:  # powers and covariances are computed from the true sources
            Y = expectation_maximization(S, X)
        yield istft(Y, self.stft, length=x.shape[-1]) * peak
