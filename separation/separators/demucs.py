"""Demucs (v2)."""

from __future__ import annotations

from typing import Any

import torch

from separation.models.demucs import Demucs, valid_length
from separation.models.onednn_demucs import OneDnnDemucs
from separation.separators.precision import waveform_estimator
from separation.separators.waveform import DemucsOptions, WaveformSeparator
from separation.weights.model import Model

__all__ = ["DemucsSeparator"]


class DemucsSeparator(WaveformSeparator):
    """Separation by Demucs v2, with released or locally trained weights."""

    name = "demucs"

    def __init__(self, model: Model, *, device: torch.device, precision: str, options: DemucsOptions) -> None:
        network = model.build(lambda shape: Demucs(model.sources, n_channels=model.channels, **shape))
        model.load_into(network, model.file("all"))
        self._shape: dict[str, Any] = {"depth": network.depth, "resample": network.resample}
        estimator = waveform_estimator(network, OneDnnDemucs, precision, device)
        super().__init__([estimator], model, device=device, options=options)

    def input_length(self, length: int) -> int:
        """Return the samples of input that the network needs for `length` samples of estimates."""
        return valid_length(length, **self._shape)
