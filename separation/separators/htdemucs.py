"""HT-Demucs: Hybrid Demucs with a transformer in the middle; one network for all sources or one per source."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from separation.models.htdemucs import HTDemucs
from separation.models.onednn_htdemucs import OneDnnHTDemucs
from separation.separators.precision import waveform_estimator
from separation.separators.waveform import WaveformOptions, WaveformSeparator
from separation.weights.demucs_file import read_demucs_arguments
from separation.weights.model import Model, ModelFile
from separation.weights.state_dict import CheckpointError

__all__ = ["HTDemucsOptions", "HTDemucsSeparator"]


@dataclass(frozen=True, kw_only=True)
class HTDemucsOptions(WaveformOptions):
    """Options of ``htdemucs``; a segment is at most as long as a training segment, 7.8 s."""

    segment: float = 7.8


class HTDemucsSeparator(WaveformSeparator):
    """Separation by HT-Demucs (v4), by one network for all sources or by one for each.

    A network for one source was trained for all of them; only its output for that source is computed.

    References
    ----------
    Rouard, Massa, Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023, arXiv:2211.08553.
    """

    name = "htdemucs"
    one_segment_per_core = True
    draws_per_segment = True  # a shift of the positional embedding, which is always 0

    def __init__(self, model: Model, *, device: torch.device, precision: str, options: HTDemucsOptions) -> None:
        together = any(file.source == "all" for file in model.files)
        networks = [_load(model, model.file(source)) for source in (("all",) if together else model.sources)]
        longest = min(network.segment_length for network in networks)
        if int(options.segment * model.sample_rate) > longest:
            seconds = longest / model.sample_rate
            raise ValueError(f"segment must be at most the {seconds:g} s of {model.name}, got {options.segment}")
        estimators = [waveform_estimator(network, OneDnnHTDemucs, precision, device) for network in networks]
        super().__init__(estimators, model, device=device, options=options)

    def input_length(self, length: int) -> int:
        """Return the samples of input that the network needs for `length` samples of estimates."""
        return max(length, self._segment)


def _load(model: Model, file: ModelFile) -> HTDemucs:
    """Return the network of a file, reduced to the file's source if it has one."""
    arguments = read_demucs_arguments(model.path(file), method=model.method)
    if arguments is not None:
        model = replace(model, architecture=arguments)
    network = model.build(lambda shape: HTDemucs(**{"sources": model.sources} | shape))
    if tuple(network.sources) != model.sources:
        raise CheckpointError(f"{file.name} is for {', '.join(network.sources)}, not for {', '.join(model.sources)}")
    model.load_into(network, file)
    if file.source != "all":
        network.keep_source(file.source)
    return network
