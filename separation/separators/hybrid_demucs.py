"""Hybrid Demucs: torchaudio's network and its two released sets of weights."""

from __future__ import annotations

import torch

from separation.checkpoints import Model
from separation.separators.demucs import DemucsOptions, WaveformSeparator

__all__ = ["HybridDemucsSeparator"]


class HybridDemucsSeparator(WaveformSeparator):
    """Hybrid Demucs (v3): one branch on the waveform, one on the spectrogram, joined in the middle.

    References
    ----------
    Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX Workshop 2021, arXiv:2111.03600.
    """

    name = "hybrid-demucs"

    def __init__(
        self, model: Model, *, device: torch.device = torch.device("cpu"), options: DemucsOptions = DemucsOptions()
    ) -> None:
        from torchaudio.models import HDemucs, hdemucs_high  # torchaudio is heavy: only when it is used

        sources = list(model.sources)
        network = HDemucs(sources, **model.architecture) if model.architecture else hdemucs_high(sources)
        model.load_into(network, model.files[0])
        super().__init__(network, model, device=device, options=options)
