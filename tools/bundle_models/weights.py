"""Bundles the weights of finished training runs in half precision."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from tools.bundle_models import BUNDLED, MODELS

OPTIONS = {"demucs": {"softmask": True}}  # better for these weights than the method's defaults; chosen on `valid`
TRAINED_ON = "80 clips of 7 s from MUSDB18, three CC0 songs, MusicDelta, solo singing"


def bundle(runs: Path, method: str) -> None:
    """Write the model of a method: each target's weights from the last stage that has it, and all training logs."""
    stages = sorted(runs.glob(f"{method}-[0-9]"))
    folder = MODELS / BUNDLED[method]
    for path in folder.glob("*.safetensors"):
        path.unlink()
    latest = {
        entry["source"]: (stage, entry)
        for stage in stages
        for entry in json.loads((stage / "model.json").read_text())["files"]
    }
    model = json.loads((stages[0] / "model.json").read_text())
    model |= {"name": folder.name, "licence": "non-commercial research only", "trained_on": TRAINED_ON}
    model |= {"options": OPTIONS[method]} if method in OPTIONS else {}
    model["files"] = [halve(stage / entry["name"], folder, source) for source, (stage, entry) in latest.items()]
    (folder / "model.json").write_text(json.dumps(model, indent=1) + "\n")
    (folder / "run.json").write_text(json.dumps({"stages": [record(stage) for stage in stages]}, indent=1) + "\n")


def halve(path: Path, folder: Path, source: str) -> dict[str, str]:
    """Write a file of weights in half precision and return its entry in ``model.json``."""
    halved = {name: value.half() if value.dim() > 1 else value for name, value in load_file(path).items()}
    target = folder / f"{folder.name.removesuffix('-compact') if source == 'all' else source}.safetensors"
    save_file(halved, target)
    target.chmod(0o644)
    return {"source": source, "name": target.name, "sha256": hashlib.sha256(target.read_bytes()).hexdigest()}


def record(stage: Path) -> dict[str, Any]:
    """Return the config and the log of every job of a run."""
    return {
        path.parent.name: {
            "config": json.loads(path.read_text()),
            "log": [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()],
        }
        for path in sorted(stage.glob("*/config.json"))
    }
