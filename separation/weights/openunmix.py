"""Model folders of upstream's Open-Unmix trainer: read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from separation.weights.model import Model, ModelFile, read_json_object
from separation.weights.state_dict import CheckpointError, read_state_dict, write_pickle

__all__ = ["FORMATS", "export_model", "read_openunmix_folder"]

FORMATS = ("openunmix",)


def read_openunmix_folder(folder: Path) -> Model:
    """Describe a folder of upstream's Open-Unmix trainer as a model.

    The folder holds ``separator.json``, and ``<target>.json`` and ``<target>.pth`` for each target.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or the targets differ in size.
    """
    common = read_json_object(folder / "separator.json")
    files = []
    hidden_sizes = set()
    for path in sorted(folder.glob("*.json")):
        if path.name == "separator.json":
            continue
        plain = path.with_suffix(".pth")
        weights = [plain] if plain.is_file() else sorted(folder.glob(f"{path.stem}*.pth"))
        if not weights:
            raise CheckpointError(f"{folder.name!r} describes the target {path.stem!r} but holds no {path.stem}*.pth")
        files.append(ModelFile(source=path.stem, name=weights[0].name))
        hidden_sizes.add(int(read_json_object(path)["args"]["hidden_size"]))
    if not files:
        raise CheckpointError(f"{folder.name!r} holds no target: expected files such as vocals.json and vocals.pth")
    if len(hidden_sizes) > 1:
        raise CheckpointError(f"the targets in {folder.name!r} differ in size: {sorted(hidden_sizes)} hidden units")
    order = ("vocals", "drums", "bass", "other")
    files.sort(key=lambda file: (order.index(file.source) if file.source in order else len(order), file.source))
    state = read_state_dict(folder / files[0].name)
    if "input_mean" not in state:
        raise CheckpointError(f"{files[0].name} holds no Open-Unmix weights: it lacks 'input_mean'")
    return Model(
        name=folder.resolve().name,
        method="open-unmix",
        sources=tuple(file.source for file in files),
        sample_rate=int(common["sample_rate"]),
        channels=int(common["nb_channels"]),
        files=tuple(files),
        folder=folder,
        architecture={
            "n_fft": int(common["nfft"]),
            "hop_length": int(common["nhop"]),
            "max_bin": len(state["input_mean"]),
            "hidden_size": hidden_sizes.pop(),
        },
        own=True,
    )


def export_model(model: Model, folder: Path, *, format: str = "openunmix") -> list[Path]:
    """Write a model in another program's format.

    The format "openunmix" is a folder of upstream's trainer with ``separator.json``, ``<target>.json`` and
    ``<target>.pth``, which ``openunmix.utils.load_separator(folder, targets=[...])`` loads.

    Parameters
    ----------
    model : Model
        An installed model for ``open-unmix``.
    folder : path
        Output folder, created if it does not exist.
    format : str
        Only "openunmix".

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
    path = folder / f"{source}.pth"
    write_pickle(read_state_dict(model.path(model.file(source))), path)
    args = common | {"hidden_size": model.architecture["hidden_size"], "target": source}
    return [_write_json(folder / f"{source}.json", {"args": args}), path]


def _write_json(path: Path, content: Mapping[str, object]) -> Path:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path
