"""Separators of models in folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import Tensor

from separation.models.demucs import Demucs
from separation.separators import create
from separation.sources import SOURCES
from separation.weights.state_dict import CheckpointError
from tests.conftest import snr
from tests.models.helpers import randomise
from tests.separators.helpers import DEMUCS, HYBRID, OPEN_UNMIX, tiny_open_unmix, write_model


def test_a_model_in_half_precision_separates_alike(
    tmp_path: Path, tiny_models: dict[str, str], excerpt: dict[str, Tensor]
) -> None:
    network = randomise(Demucs(SOURCES, **DEMUCS))
    folder = write_model(tmp_path / "half", "demucs", {"all": network}, DEMUCS, half=True)
    whole = create("demucs", model=tiny_models["demucs"]).separate(excerpt["mixture"])
    assert snr(create("demucs", model=str(folder)).separate(excerpt["mixture"]), whole) > 40


def test_stems_are_named_by_their_weight_files(tmp_path: Path, excerpt: dict[str, Tensor]) -> None:
    """The sources and the files are separate lists in ``model.json`` and may differ in order."""
    networks = tiny_open_unmix()
    folders = [
        write_model(tmp_path / "one", "open-unmix", networks, OPEN_UNMIX),
        write_model(tmp_path / "two", "open-unmix", networks, OPEN_UNMIX, sources=SOURCES[::-1]),
    ]
    separators = [create("open-unmix", model=str(folder)) for folder in folders]
    stems = [dict(zip(each.sources, each.separate(excerpt["mixture"]), strict=True)) for each in separators]
    assert list(stems[1]) == list(SOURCES[::-1])
    for name in SOURCES:
        assert snr(stems[1][name], stems[0][name]) > 80


def test_user_options_override_those_of_the_model(tmp_path: Path, tiny_models: dict[str, str]) -> None:
    description = json.loads(Path(tiny_models["demucs"], "model.json").read_text())
    for path in Path(tiny_models["demucs"]).glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    model_options = {"options": {"softmask": True, "shifts": 2}}
    (tmp_path / "model.json").write_text(json.dumps(description | model_options))

    def created(given: dict[str, object]) -> tuple[bool, int, float]:
        options = create("demucs", model=str(tmp_path), options=given).options
        return options.softmask, options.shifts, options.overlap

    assert created({}) == (True, 2, 0.25)
    assert created({"shifts": "1", "overlap": 0.5}) == (True, 1, 0.5)
    assert created({"softmask": "false"}) == (False, 2, 0.25)
    assert not create("demucs", model=tiny_models["demucs"]).options.softmask, "options leaked to another model"


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("open-unmix", {"architecture": {key: OPEN_UNMIX[key] for key in ("n_fft", "max_bin", "hidden_size")}}),
        ("open-unmix", {"architecture": OPEN_UNMIX | {"hidden_size": "many"}}),
        ("open-unmix", {"architecture": OPEN_UNMIX | {"hidden_size": 15}}),
        ("open-unmix", {"architecture": OPEN_UNMIX | {"dropout": 0.4}}),
        ("open-unmix", {"architecture": OPEN_UNMIX | {"hop_length": 0}}),
        ("open-unmix", {"architecture": OPEN_UNMIX | {"hidden_size": 18}}),
        ("open-unmix", {"architecture": {}}),
        ("open-unmix", {"channels": 1}),
        ("open-unmix", {"channels": "two"}),
        ("open-unmix", {"sources": ["vocals", "drums", "bass", "guitar"]}),
        ("open-unmix", {"sources": [*SOURCES, "guitar"]}),
        ("open-unmix", {"sources": []}),
        ("demucs", {"sources": ["lead/vocals", "drums", "bass", "other"]}),
        ("open-unmix", {"files": []}),
        ("open-unmix", {"files": "vocals.safetensors"}),
        ("demucs", {"architecture": DEMUCS | {"growth": 2}}),
        ("demucs", {"architecture": DEMUCS | {"channels": 8}}),
        ("demucs", {"architecture": DEMUCS | {"channels": -1}}),
        ("demucs", {"architecture": DEMUCS | {"depth": "deep"}}),
        ("demucs", {"architecture": None}),
        ("demucs", {"sources": ["vocals", "rest"]}),
        ("demucs", {"files": []}),
        ("demucs", {"options": ["softmask"]}),
        ("demucs", {"options": {"iterations": 1}}),
        ("demucs", {"options": {"overlap": 1}}),
        ("hybrid-demucs", {"architecture": HYBRID | {"nfft": 1000}}),
        ("hybrid-demucs", {"architecture": HYBRID | {"sorcery": True}}),
        ("hybrid-demucs", {"architecture": {}}),
    ],
)
def test_an_invalid_description_raises_checkpoint_error(
    tmp_path: Path, tiny_models: dict[str, str], method: str, change: dict[str, object]
) -> None:
    """The command line and the studio show these errors and crash on others."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for path in Path(tiny_models[method]).glob("*.safetensors"):
        (folder / path.name).symlink_to(path)
    description = json.loads(Path(tiny_models[method], "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(description | change | {"name": "odd"}))
    with pytest.raises(CheckpointError):
        create(method, model=str(folder))
