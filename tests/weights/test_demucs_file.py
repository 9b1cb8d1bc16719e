"""What the files of Demucs v3 and v4 say about their networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from separation.weights.demucs_file import read_demucs_arguments
from separation.weights.state_dict import CheckpointError

SEGMENT = {"_type": "fraction", "numerator": 39, "denominator": 5}
KEYWORDS: dict[str, Any] = {"sources": ["drums", "bass"], "samplerate": 44100, "segment": SEGMENT, "channels": 8}


def write(folder: Path, klass: str = "demucs.htdemucs.HTDemucs", **more: Any) -> Path:
    path = folder / "955717e8.safetensors"
    metadata = {"klass": klass, "args": "[]", "kwargs": json.dumps(KEYWORDS)}
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata | more)
    return path


def test_arguments_that_change_the_output_are_returned(tmp_path: Path) -> None:
    keywords = KEYWORDS | {"t_layers": 5, "t_dropout": 0.02, "t_emb": "sin", "multi_freqs": [], "new": "unknown"}
    arguments = read_demucs_arguments(write(tmp_path, kwargs=json.dumps(keywords)), method="htdemucs")
    assert arguments == {"sources": ["drums", "bass"], "channels": 8, "t_layers": 5, "segment_length": 343980}


def test_the_sources_may_be_the_positional_argument(tmp_path: Path) -> None:
    keywords = {key: value for key, value in KEYWORDS.items() if key != "sources"}
    path = write(tmp_path, args='[["vocals"]]', kwargs=json.dumps(keywords | {"segment": 10}))
    arguments = read_demucs_arguments(path, method="htdemucs")
    assert arguments == {"sources": ["vocals"], "channels": 8, "segment_length": 441000}


def test_hybrid_demucs_has_other_arguments(tmp_path: Path) -> None:
    path = write(tmp_path, "demucs.hdemucs.HDemucs", kwargs=json.dumps(KEYWORDS | {"dconv_lstm": 4, "hybrid": True}))
    arguments = read_demucs_arguments(path, method="hybrid-demucs")
    assert arguments == {"sources": ["drums", "bass"], "channels": 8, "dconv_lstm": 4}


def test_files_without_a_description_have_no_arguments(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "plain.safetensors")
    torch.save({}, tmp_path / "torch.pt")
    for name in ("plain.safetensors", "torch.pt"):
        assert read_demucs_arguments(tmp_path / name, method="htdemucs") is None


@pytest.mark.parametrize("klass", ["os.system", "demucs.demucs.Demucs", "demucs.hdemucs.HDemucs", ""])
def test_other_classes_are_refused(tmp_path: Path, klass: str) -> None:
    message = rf"^955717e8\.safetensors is not for htdemucs: it describes a network '{klass}'$"
    with pytest.raises(CheckpointError, match=message):
        read_demucs_arguments(write(tmp_path, klass), method="htdemucs")


@pytest.mark.parametrize(
    "damage",
    [
        {"kwargs": "{"},
        {"kwargs": "[]"},
        {"kwargs": "{}"},
        {"kwargs": json.dumps(KEYWORDS | {"segment": "long"})},
        {"kwargs": json.dumps(KEYWORDS | {"segment": SEGMENT | {"denominator": 0}})},
        {"kwargs": json.dumps(KEYWORDS | {"segment": {"_type": "fraction"}})},
        {"kwargs": json.dumps(KEYWORDS | {"segment": 1e999})},
        {"kwargs": json.dumps(KEYWORDS | {"sources": 4})},
        {"kwargs": json.dumps(KEYWORDS | {"sources": [1, 2]})},
        {"args": "7"},
        {"args": '[["drums"], 2]'},
        {"args": "[" * 100_000},
    ],
    ids=lambda damage: str(damage)[:60],
)
def test_a_damaged_description_is_refused(tmp_path: Path, damage: dict[str, str]) -> None:
    with pytest.raises(CheckpointError, match=r"^the description of the network in 955717e8\.safetensors is damaged$"):
        read_demucs_arguments(write(tmp_path, **damage), method="htdemucs")


@pytest.mark.parametrize("missing", ["args", "kwargs"])
def test_an_incomplete_description_is_refused(tmp_path: Path, missing: str) -> None:
    metadata = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(KEYWORDS)}
    del metadata[missing]
    save_file({"weight": torch.zeros(2)}, tmp_path / "a.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match="is damaged"):
        read_demucs_arguments(tmp_path / "a.safetensors", method="htdemucs")


@pytest.mark.parametrize(
    ("name", "value"), [("cac", False), ("wiener_iters", 1), ("t_emb", "cape"), ("multi_freqs", [0.5]), ("rewrite", 0)]
)
def test_networks_of_another_kind_are_refused(tmp_path: Path, name: str, value: object) -> None:
    path = write(tmp_path, kwargs=json.dumps(KEYWORDS | {name: value}))
    with pytest.raises(CheckpointError, match=f"has a network with {name} = .*, which is not supported"):
        read_demucs_arguments(path, method="htdemucs")


def test_compressed_weights_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds compressed weights"):
        read_demucs_arguments(write(tmp_path, structure="{}"), method="htdemucs")
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"955717e8\.safetensors is not a complete weights file"):
        read_demucs_arguments(path, method="htdemucs")
    path.unlink()
    with pytest.raises(CheckpointError, match=r"955717e8\.safetensors is missing"):
        read_demucs_arguments(path, method="htdemucs")
