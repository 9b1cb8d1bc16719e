"""Model folders of upstream's Open-Unmix trainer."""

from __future__ import annotations

from pathlib import Path

from separation.weights.model import Model, ModelFile, read_json_object
from separation.weights.state_dict import CheckpointError, read_state_dict

__all__ = ["read_openunmix_folder"]


def read_openunmix_folder(folder: Path) -> Model:
    """Read a folder by upstream's Open-Unmix trainer: ``separator.json`` and two files per target."""
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
