"""Hybrid Demucs: torchaudio's network with its two released sets of weights, and upstream's ``hdemucs_mmi``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from separation.models.onednn_hybrid_demucs import OneDnnHybridDemucs
from separation.separators.precision import waveform_estimator
from separation.separators.waveform import DemucsOptions, WaveformSeparator
from separation.weights.demucs_file import read_demucs_arguments
from separation.weights.model import Model
from separation.weights.state_dict import CheckpointError, read_state_dict

if TYPE_CHECKING:
    from torchaudio.models import HDemucs

__all__ = ["HybridDemucsSeparator"]


class HybridDemucsSeparator(WaveformSeparator):
    """Hybrid Demucs (v3): one branch on the waveform, one on the spectrogram, joined in the middle.

    References
    ----------
    Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX Workshop 2021, arXiv:2111.03600.
    """

    name = "hybrid-demucs"
    one_segment_per_core = True  # its LSTMs are narrow

    def __init__(self, model: Model, *, device: torch.device, precision: str, options: DemucsOptions) -> None:
        from torchaudio.models import HDemucs, hdemucs_high  # heavy: imported only when used

        sources, file = list(model.sources), model.file("all")
        arguments = read_demucs_arguments(model.path(file), method=self.name)
        if arguments is None:
            network = model.build(lambda shape: HDemucs(sources, **shape) if shape else hdemucs_high(sources))
            model.load_into(network, file)
        else:
            network = replace(model, architecture=arguments).build(lambda shape: HDemucs(**shape))
            if network.sources != sources:
                raise CheckpointError(f"{file.name} is for {', '.join(network.sources)}, not {', '.join(sources)}")
            model.load_state(network, _torchaudio_state(network, read_state_dict(model.path(file))), file)
        self._shortest = network.hop_length * 5 // 2  # reflection padding fails for many shorter inputs
        estimator = waveform_estimator(network, OneDnnHybridDemucs, precision, device)
        super().__init__([estimator], model, device=device, options=options)

    def input_length(self, length: int) -> int:
        """Return the samples of input that the network needs for `length` samples of estimates."""
        return max(length, self._shortest)


def _torchaudio_state(network: HDemucs, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return upstream's state dict with torchaudio's names, and with the norms that torchaudio has but never uses."""
    names = {
        "encoder": "freq_encoder",
        "decoder": "freq_decoder",
        "tencoder": "time_encoder",
        "tdecoder": "time_decoder",
    }
    parts = ((key.partition("."), value) for key, value in state.items())
    renamed = {f"{names.get(first, first)}.{rest}": value for (first, _, rest), value in parts}
    unused = f"time_encoder.{len(network.time_encoder) - 1}.norm1."
    return {key: value for key, value in network.state_dict().items() if key.startswith(unused)} | renamed
