"""Separators stay in memory until a file of their model changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from separation.separators import loaded
from separation.separators.loaded import load
from tests.separators.helpers import write_tiny


@pytest.fixture(autouse=True)
def empty_memory() -> None:
    loaded._load.cache_clear()


def test_a_separator_is_created_once_for_each_model_and_options(tmp_path: Path) -> None:
    model = str(write_tiny(tmp_path / "tiny", "demucs"))
    first = load("demucs", model=model, device="cpu")
    assert load("demucs", model=model, device="cpu") is first
    assert load("demucs", model=model, device="cpu", options={"shifts": "2"}) is not first
    assert load("demucs", model=model, device="cpu", precision="bf16") is not first


def test_replaced_weights_are_loaded(tmp_path: Path) -> None:
    model = str(write_tiny(tmp_path / "tiny", "demucs"))
    first = load("demucs", model=model)
    write_tiny(tmp_path / "tiny", "demucs")
    assert load("demucs", model=model) is not first


def test_a_preset_is_created_again_after_a_change_of_it_or_of_a_part(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "tiny", "demucs")
    preset = tmp_path / "mine.toml"

    def write_preset(weight: float) -> None:
        preset.write_text(
            f"""title = "Mine"
[parts.one]
method = "demucs"
model = "{model}"
weights = {{ vocals = {weight}, drums = 1.0 }}
"""
        )

    write_preset(1.0)
    first = load(str(preset))
    assert load(str(preset)) is first
    write_preset(0.5)
    second = load(str(preset))
    assert second is not first
    write_tiny(model, "demucs")
    assert load(str(preset)) is not second


def test_missing_weights_are_an_error_and_not_remembered(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "tiny", "demucs")
    load("demucs", model=str(model))
    (weights,) = model.glob("*.safetensors")
    weights.rename(tmp_path / "away")
    with pytest.raises(ValueError, match="incomplete"):
        load("demucs", model=str(model))
    (tmp_path / "away").rename(weights)
    assert load("demucs", model=str(model)) is load("demucs", model=str(model))
