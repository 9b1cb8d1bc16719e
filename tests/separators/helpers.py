"""Models with random weights for the tests of the separators."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchaudio.models import HDemucs

from separation.models.demucs import Demucs
from separation.models.htdemucs import HTDemucs
from separation.models.open_unmix import OpenUnmix
from separation.models.roformer import BANDS, Roformer, split_bands
from separation.models.spleeter import SpleeterUNet
from separation.separators import METHODS, create
from separation.separators.base import Separator
from separation.sources import SOURCES
from tests.models.helpers import randomise

ORACLES = ("irm", "ibm", "mwf")
SINGLE_METHODS = [name for name, method in METHODS.items() if method.preset is None]

# Shapes of the tiny networks.
OPEN_UNMIX: dict[str, Any] = {"n_fft": 2048, "hop_length": 512, "max_bin": 700, "hidden_size": 16}
DEMUCS: dict[str, Any] = {"channels": 6, "depth": 4, "resample": False}
HYBRID: dict[str, Any] = {"channels": 8, "nfft": 1024, "depth": 5}
HTDEMUCS: dict[str, Any] = {
    "channels": 8,
    "nfft": 1024,
    "depth": 2,
    "t_layers": 2,
    "t_heads": 2,
    "segment_length": 22050,
}
ROFORMER: dict[str, Any] = {"dim": 8, "depth": 1, "heads": 1, "dim_head": 8, "mask_expansion": 1, "n_stems": 4}
SPLEETER: dict[str, Any] = {"filters": [2, 2, 3, 3, 4, 4]}


def write_model(
    folder: Path,
    method: str,
    networks: Mapping[str, nn.Module],
    architecture: Mapping[str, Any],
    *,
    sources: tuple[str, ...] = SOURCES,
    half: bool = False,
    **description: Any,
) -> Path:
    """Write a model folder as the training exports it, with one file per network and a ``model.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for source, network in networks.items():
        path = folder / f"{source}.safetensors"
        state = network.state_dict()
        state = {key: value.half() if half and value.dim() > 1 else value for key, value in state.items()}
        save_file({key: value.clone() for key, value in state.items()}, path)  # layers may share a tensor
        files.append({"source": source, "name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    common = {"name": folder.name, "method": method, "sources": sources, "sample_rate": 44100, "channels": 2}
    model = common | {"architecture": architecture, "files": files} | description
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def write_tiny(folder: Path, method: str, **description: Any) -> Path:
    """Write a model with random weights that separates a second of audio in milliseconds."""
    if method == "open-unmix":
        return write_model(folder, method, tiny_open_unmix(), OPEN_UNMIX, **description)
    if method == "demucs":
        return write_model(folder, method, {"all": randomise(Demucs(SOURCES, **DEMUCS))}, DEMUCS, **description)
    if method == "roformer":
        return write_model(
            folder, method, {"all": randomise(Roformer(split_bands(BANDS), **ROFORMER))}, ROFORMER, **description
        )
    if method == "htdemucs":
        torch.manual_seed(0)
        description = {"options": {"segment": 0.5}} | description
        return write_model(folder, method, {"all": HTDemucs(SOURCES, **HTDEMUCS)}, HTDEMUCS, **description)
    if method == "spleeter":
        networks = {name: randomise(SpleeterUNet(**SPLEETER), seed) for seed, name in enumerate(SOURCES)}
        return write_model(folder, method, networks, SPLEETER | {"n_frames": 64}, **description)
    torch.manual_seed(0)
    return write_model(folder, method, {"all": HDemucs(list(SOURCES), **HYBRID)}, HYBRID, **description)


def tiny_open_unmix() -> dict[str, nn.Module]:
    """Return a tiny network with random weights per source."""
    shape = {"max_bin": OPEN_UNMIX["max_bin"], "hidden_size": OPEN_UNMIX["hidden_size"]}
    return {name: randomise(OpenUnmix(n_bins=1025, **shape), seed) for seed, name in enumerate(SOURCES)}


def create_tiny(method: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor], **arguments: Any) -> Separator:
    """Create the separator of a method with the tiny model or the true sources that it needs."""
    if METHODS[method].has_model:
        arguments["model"] = tiny_models[method]
    if METHODS[method].needs_references:
        arguments["references"] = {name: excerpt[name] for name in SOURCES}
    return create(method, **arguments)
