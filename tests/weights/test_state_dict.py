"""Weight files are verified, and read without executing anything in them."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import pickle
import re
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from separation.weights import state_dict
from separation.weights.catalogue import find_model
from separation.weights.download import verify_model
from separation.weights.model import ModelFile
from separation.weights.state_dict import CheckpointError
from tests.weights.helpers import (
    CONTENT,
    make_model,
    network,
    torch_file,
    write,
)


def test_the_hash_detects_a_changed_byte_anywhere(tmp_path: Path) -> None:
    content = bytearray(CONTENT[:1000])
    path = tmp_path / "x.safetensors"
    model = make_model(
        tmp_path, ModelFile(source="all", name=path.name, sha256=hashlib.sha256(content).hexdigest()[:8])
    )
    assert verify_model(model) == ["x.safetensors is missing"]
    path.write_bytes(content)
    assert verify_model(model) == []
    for position in range(0, 1000, 37):
        content[position] ^= 1
        path.write_bytes(content)
        (problem,) = verify_model(model)
        assert re.fullmatch(r"x\.safetensors has the hash \w{8}, not \w{8}: it is damaged or another file", problem)
        content[position] ^= 1


def test_without_a_hash_a_changed_byte_of_the_weights_is_detected(tmp_path: Path) -> None:
    content = bytearray(torch_file())
    path = tmp_path / "x.pt"
    model = make_model(tmp_path, ModelFile(source="all", name="x.pt"))
    path.write_bytes(content)
    assert verify_model(model) == []
    begin = content.index(struct.pack("<2f", 0.0, 1.0))
    for position in range(begin, begin + 64 * 4):  # every byte of the first tensor
        content[position] ^= 0x10
        path.write_bytes(content)
        assert verify_model(model) == ["x.pt is damaged"]
        content[position] ^= 0x10


def test_checks_without_a_hash_survive_any_damage(tmp_path: Path) -> None:
    """Headers of the archive tell of compression, encryption, lengths: all may be wrong."""
    content = bytearray(torch_file())
    path = tmp_path / "x.pt"
    model = make_model(tmp_path, ModelFile(source="all", name="x.pt"))
    found = 0
    for position, bit in itertools.product(range(0, len(content), 7), (0x01, 0x80)):
        content[position] ^= bit
        path.write_bytes(content)
        found += len(verify_model(model))
        content[position] ^= bit
    assert found > 50
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        assert len(verify_model(model)) == 1


def load(path: Path, into: nn.Module | None = None, ignore: tuple[str, ...] = ()) -> None:
    file = ModelFile(source="all", name=path.name)
    make_model(path.parent, file).load_into(into or network(), file, ignore=ignore)


@pytest.fixture(params=["x.pth", "x.th", "x.pt", "x.safetensors"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_loaded_weights_equal_saved_ones(place: Path) -> None:
    saved, loaded = network(), network()
    write(place, saved.state_dict())
    load(place, loaded)
    for key, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_loaded_as_float32(place: Path, dtype: torch.dtype) -> None:
    write(place, {"weight": torch.full((2, 2), 0.5, dtype=dtype), "count": torch.tensor(3)})
    state = state_dict.read_state_dict(place)
    assert state["weight"].dtype == torch.float32
    assert (state["weight"] == 0.5).all()
    assert state["count"].dtype == torch.int64


def test_a_missing_file_is_reported(place: Path) -> None:
    with pytest.raises(CheckpointError, match=f"{place.name} is missing"):
        load(place)


def test_a_truncated_file_is_reported(place: Path) -> None:
    content = write(place, network().state_dict()).read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 100, len(content) - 1):
        place.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=f"{place.name} is damaged, or holds more than tensors"):
            load(place)


def test_junk_is_refused(place: Path) -> None:
    for content in (b"<html>", CONTENT[:1000], b"\x80\x02", b"PK\x03\x04" + bytes(100), b"\xff" * 100, b"{}" * 9):
        place.write_bytes(content)
        with pytest.raises(CheckpointError, match=place.name):
            load(place)


@pytest.mark.parametrize(
    "content",
    [
        [torch.ones(3)],
        torch.ones(3),
        None,
        {"state_dict": {"0.weight": 3.0}},
        {"0.weight": 3.0},
        {"0.weight": torch.ones(8, 8), "epoch": 3},
        {1: torch.ones(3)},
        {"0.weight": torch.ones(8, 8), 1: torch.ones(3)},
        {("0", "weight"): torch.ones(3)},
    ],
    ids=["a list", "a tensor", "nothing", "a checkpoint", "a number", "a number beside", "3 keys", "2 keys", "a pair"],
)
def test_anything_but_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    path = write(tmp_path / "x.pth", content)
    with pytest.raises(CheckpointError, match=r"x\.pth does not hold a dictionary of tensors"):
        load(path)


def test_weights_of_another_network_name_the_first_key_that_does_not_fit(place: Path) -> None:
    state = network().state_dict()
    wrong = {
        "lacks '0.bias'": {key: value for key, value in state.items() if key != "0.bias"},
        "has an unknown '0.extra'": state | {"0.extra": torch.ones(1)},
        "'0.weight' is (8, 7), not (8, 8)": state | {"0.weight": torch.ones(8, 7)},
        "'1.bias' is (), not (8,)": state | {"1.bias": torch.tensor(1.0)},
        "lacks '0.weight'; has an unknown 'module.0.weight'": {
            key.replace("0.weight", "module.0.weight"): value for key, value in state.items()
        },
    }
    for message, content in wrong.items():
        write(place, content)
        into = network()
        before = {key: value.clone() for key, value in into.state_dict().items()}
        with pytest.raises(CheckpointError, match=rf"^{place.name} does not fit demucs .*{re.escape(message)}"):
            load(place, into)
        assert all(torch.equal(value, before[key]) for key, value in into.state_dict().items()), "half loaded"


def test_exactly_the_legacy_keys_are_dropped(place: Path) -> None:
    ignore = ("sample_rate", "stft.window", "transform.0.window")
    legacy = {key: torch.ones(4) for key in ignore}
    write(place, network().state_dict() | legacy)
    load(place, ignore=ignore)
    with pytest.raises(CheckpointError, match="has an unknown 'sample_rate'"):
        load(place)
    for other in ("stft.window2", "xstft.window", "stft", "transform.1.window", "Sample_rate"):
        write(place, network().state_dict() | legacy | {other: torch.ones(4)})
        with pytest.raises(CheckpointError, match=f"has an unknown '{other}'"):
            load(place, ignore=ignore)


def test_files_without_batch_counters_load(place: Path) -> None:
    state = network().state_dict()
    del state["1.num_batches_tracked"]
    write(place, state)
    into = network()
    load(place, into)
    assert all(torch.equal(into.state_dict()[key], value) for key, value in state.items())


def test_the_hash_of_a_model_covers_its_files(tmp_path: Path) -> None:
    files = [ModelFile(source=name, name=f"{name}.pth") for name in ("a", "b")]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.pth").write_bytes(b"first")
        (tmp_path / folder / "b.pth").write_bytes(b"second")
    first, second = (make_model(tmp_path / folder, *files) for folder in ("one", "two"))
    total = hashlib.sha256(hashlib.sha256(b"first").digest() + hashlib.sha256(b"second").digest())
    assert first.hash() == first.hash() == second.hash() == total.hexdigest()[:16]
    (tmp_path / "two" / "b.pth").write_bytes(b"Second")
    assert second.hash() != first.hash()


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def legacy_tar(bomb: Bomb) -> bytes:
    """The container of PyTorch before 0.1.10."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            content = pickle.dumps(bomb)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def torch_bytes(content: object, *, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


PLANTS: dict[str, Callable[[Bomb], bytes]] = {
    "a bare pickle": lambda bomb: pickle.dumps(bomb),
    "a pickle of protocol 2": lambda bomb: pickle.dumps({"0.weight": bomb}, protocol=2),
    "torch's zip": lambda bomb: torch_bytes({"0.weight": bomb}, zipped=True),
    "torch's zip beside weights": lambda bomb: torch_bytes(network().state_dict() | {"sample_rate": bomb}, zipped=True),
    "torch's older file": lambda bomb: torch_bytes({"0.weight": bomb}, zipped=False),
    "torch's oldest, a tar": legacy_tar,
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("suffix", [".pth", ".th", ".pt", ".safetensors", ""])
def test_a_planted_pickle_is_never_executed(tmp_path: Path, plant: str, suffix: str) -> None:
    marker = tmp_path / "executed"
    path = tmp_path / f"x{suffix}"
    path.write_bytes(PLANTS[plant](Bomb(marker)))
    with pytest.raises(CheckpointError, match="is damaged, or holds more than tensors, and was not loaded"):
        load(path, ignore=("sample_rate",))
    intact = plant.startswith("torch's zip") and suffix != ".safetensors"
    problems = [] if intact else [f"{path.name} is not a complete weights file"]
    assert verify_model(make_model(tmp_path, ModelFile(source="all", name=path.name))) == problems
    assert not marker.exists()


def test_the_malicious_pickles_of_these_tests_execute_when_unpickled(tmp_path: Path) -> None:
    """Else the test above shows nothing."""
    for number, plant in enumerate(PLANTS.values()):
        marker = tmp_path / str(number)
        (tmp_path / "x").write_bytes(plant(Bomb(marker)))
        try:
            torch.load(tmp_path / "x", weights_only=False)
        except Exception as error:  # most are not what torch expects, after the fact
            assert marker.exists(), error
        assert marker.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_pickle_in_a_folder_of_upstreams_trainer_is_never_executed(tmp_path: Path, plant: str) -> None:
    marker = tmp_path / "executed"
    common = {"nfft": 4096, "nhop": 1024, "sample_rate": 44100, "nb_channels": 2}
    (tmp_path / "separator.json").write_text(json.dumps(common))
    (tmp_path / "vocals.json").write_text(json.dumps({"args": {"hidden_size": 16}}))
    (tmp_path / "vocals.pth").write_bytes(PLANTS[plant](Bomb(marker)))
    with pytest.raises(CheckpointError, match=r"vocals\.pth is damaged, or holds more than tensors"):
        find_model(str(tmp_path), method="open-unmix")
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:.*TorchScript", "ignore:.*torch.jit.script")
def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt is damaged, or holds more than tensors"):
        load(tmp_path / "x.pt")
