"""Hybrid Demucs: torchaudio's network with its two released sets of weights."""

from __future__ import annotations

import torch

from separation.models.onednn_hybrid_demucs import OneDnnHybridDemucs
from separation.separators.precision import waveform_estimator
from separation.separators.waveform import DemucsOptions, WaveformSeparator
from separation.weights.model import Model

__all__ = ["HybridDemucsSeparator"]


class HybridDemucsSeparator(WaveformSeparator):
    """Hybrid Demucs (v3): one branch on the waveform, one on the spectrogram, joined in the middle.

    References
    ----------
    Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX Workshop 2021, arXiv:2111.03600.
    """

    name = "hybrid-demucs"

    def __init__(
        self,
        model: Model,
        *,
        device: torch.device = torch.device("cpu"),
        precision: str = "auto",
        options: DemucsOptions = DemucsOptions(),
    ) -> None:
        from torchaudio.models import HDemucs, hdemucs_high  # heavy: imported only when used

        sources = list(model.sources)
        network = model.build(lambda shape: HDemucs(sources, **shape) if shape else hdemucs_high(sources))
        model.load_into(network, model.file("all"))
        self._shortest = network.hop_length * 5 // 2  # reflection padding fails for many shorter inputs
        estimator = waveform_estimator(network, OneDnnHybridDemucs, precision, device)
        super().__init__(estimator, model, device=device, options=options)

    @property
    def segments_per_batch(self) -> int:
        """Number of segments per batch.

        On a CPU at most one per core, since the LSTMs are narrow and each segment needs its own memory.
        """
        limit = super().segments_per_batch
        return min(limit, torch.get_num_threads()) if self.device.type == "cpu" else limit

    def input_length(self, length: int) -> int:
        return max(length, self._shortest)
