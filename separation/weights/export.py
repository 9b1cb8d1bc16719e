"""Export models to the formats of other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from separation.weights.model import Model
from separation.weights.state_dict import CheckpointError, read_state_dict

__all__ = ["FORMATS", "export_model"]

FORMATS = ("openunmix",)


def export_model(model: Model, folder: Path, *, format: str = "openunmix") -> list[Path]:
    """Write a model in another program's format.

    "openunmix" is the folder of upstream's trainer: ``separator.json`` with ``<target>.json`` and
    ``<target>.pth``, which ``openunmix.utils.load_separator(folder, targets=[...])`` loads.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        If the format is unknown, or cannot hold the model.
    """
    if format not in FORMATS:
        raise ValueError(f"no format {format!r}; there are {', '.join(FORMATS)}")
    if model.method != "open-unmix":
        raise CheckpointError(f"{model.name} is a model for {model.method}: openunmix cannot load it")
    shape = model.architecture
    if shape.get("n_layers", 3) != 3:
        raise CheckpointError(f"{model.name} has {shape['n_layers']} LSTM layers: openunmix reads 3 from a folder")
    common = {
        "nfft": shape["n_fft"],
        "nhop": shape["hop_length"],
        "sample_rate": model.sample_rate,
        "nb_channels": model.channels,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [_write_json(folder / "separator.json", common)]
        for source in model.sources:
            written += _write_target(model, source, folder, common)
    except OSError as error:
        raise ValueError(f"cannot write to {folder.name!r}: {error.strerror}") from error
    return written


def _write_target(model: Model, source: str, folder: Path, common: dict[str, int]) -> list[Path]:
    import torch

    state = read_state_dict(model.path(model.file(source)))
    path = folder / f"{source}.pth"
    torch.save(state, path)
    args = common | {"hidden_size": model.architecture["hidden_size"], "target": source}
    return [_write_json(folder / f"{source}.json", {"args": args}), path]


def _write_json(path: Path, content: Mapping[str, object]) -> Path:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path
