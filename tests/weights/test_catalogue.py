"""The known models: bundled, released, and folders of the user."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import demucs.hdemucs
import pytest
import torch

from separation.models.htdemucs import HTDemucs
from separation.separators import METHODS
from separation.weights import catalogue
from separation.weights.catalogue import cache_dir, find_model, list_models
from separation.weights.download import verify_model
from separation.weights.model import RESTRICTIONS, ModelFile
from separation.weights.state_dict import CheckpointError
from tests.conftest import GOLDEN, ROOT
from tests.weights.helpers import (
    released,
)

FACTS = ROOT.parent / "shared" / "facts" / "weights_table.json"


@pytest.mark.parametrize("name", [entry["name"] for entry in tomllib.loads(catalogue.RELEASED.read_text())["model"]])
def test_every_released_model_has_a_description_and_a_url(name: str) -> None:
    (model,) = (model for model in released() if model.name == name)
    assert model.method in METHODS
    assert METHODS[model.method].has_model
    assert model.licence not in ("", "unknown")
    assert model.trained_on not in ("", "unknown")
    assert model.page.startswith("https://")
    assert model.parameters is not None
    assert model.parameters > 1e6
    assert model.sample_rate in (16000, 44100)
    assert model.channels in (1, 2)
    assert not model.installed or model.package
    sources = [file.source for file in model.files]
    apart = model.method == "open-unmix" or model.package or model.name == "htdemucs_ft"
    assert sources == (list(model.sources) if apart else ["all"])
    for file in model.files:
        if model.package:
            assert file.url == ""
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            continue
        assert file.url.startswith("https://")
        if model.method != "roformer":  # both of its files are called model.safetensors
            assert file.url.rpartition("/")[2] == file.name
        if model.method in ("hybrid-demucs", "htdemucs"):
            assert file.sha256 == ""  # torchaudio publishes none, nor does upstream for safetensors
        elif model.method in ("spleeter", "roformer"):
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        else:
            assert re.fullmatch("[0-9a-f]{8}", file.sha256)
            assert file.sha256 in file.name


def test_names_of_models_are_unique() -> None:
    names = [model.name for model in list_models()]
    assert len(set(names)) == len(names)
    urls = [file.url for model in released() for file in model.files if not model.package]
    assert len(set(urls)) == len(urls)


def test_the_catalogue_agrees_with_upstreams_table() -> None:
    if not FACTS.is_file():
        pytest.skip("the facts are not part of the project")
    facts = json.loads(FACTS.read_text())
    known = {model.name: model for model in released()}
    for name, entry in facts["open-unmix"].items():
        if name == "common":
            continue
        model = known[name]
        found = {
            file.source: {"url": file.url, "file": file.name, "sha256_prefix": file.sha256} for file in model.files
        }
        assert found == entry["files"]
        assert model.architecture == {
            "n_fft": entry["n_fft"],
            "hop_length": entry["n_hop"],
            "max_bin": entry["max_bin"],
            "hidden_size": entry["hidden_size"],
        }
        assert (model.sample_rate, model.channels) == (entry["sample_rate"], entry["nb_channels"])
        assert model.parameters == entry["params_per_target"] * len(entry["files"])
        assert str(entry["zenodo_record"]) in model.page
    v2 = facts["demucs"]["v2"]
    for name in ("demucs", "demucs48_hq", "demucs_extra"):
        (file,) = known[name].files
        assert file.sha256 == v2["sha256_prefix"][name]
        assert file.url == v2["root"] + v2["file_pattern"].format(name=name, sha256_prefix=file.sha256)
        assert list(known[name].sources) == facts["demucs"]["sources_order"]


def test_released_sizes_equal_those_of_the_files() -> None:
    from torchaudio.models import hdemucs_high
    from torchaudio.pipelines import HDEMUCS_HIGH_MUSDB, HDEMUCS_HIGH_MUSDB_PLUS

    shapes = json.loads((GOLDEN / "demucs_v2_state_shapes.json").read_text())
    known = {model.name: model for model in released()}
    with torch.device("meta"):
        hybrid = hdemucs_high(["drums", "bass", "other", "vocals"])
    for model in known.values():
        if model.method == "demucs":
            entry = shapes[f"demucs v2, {model.architecture['channels']} channels"]
            assert model.parameters == entry["parameters"]
            assert list(model.sources) == entry["source_order"]
        if model.method == "htdemucs":
            sizes = {"htdemucs_6s": 0}  # channels of the transformer
            networks = len(model.files)
            with torch.device("meta"):
                network = HTDemucs(model.sources, dconv_mode=3, bottom_channels=sizes.get(model.name, 512))
            assert model.parameters == networks * sum(parameter.numel() for parameter in network.parameters())
        elif model.name == "hdemucs_mmi":
            with torch.device("meta"):
                upstream = demucs.hdemucs.HDemucs(list(model.sources))
            assert model.parameters == sum(parameter.numel() for parameter in upstream.parameters())
        elif model.method == "hybrid-demucs":
            assert model.parameters == sum(parameter.numel() for parameter in hybrid.parameters())
            assert list(model.sources) == hybrid.sources
    for name, bundle in (("", HDEMUCS_HIGH_MUSDB), ("_plus", HDEMUCS_HIGH_MUSDB_PLUS)):
        model = known[f"hdemucs_high_musdb{name}"]
        assert model.files[0].url.endswith(f"/{bundle._model_path}")
        assert model.sample_rate == bundle.sample_rate


def test_the_bundled_models_come_first() -> None:
    bundled = [model.bundled for model in list_models()]
    assert bundled == sorted(bundled, reverse=True)
    for model in list_models()[: sum(bundled)]:
        assert model.installed
        assert verify_model(model) == []
        assert all(len(file.sha256) == 64 for file in model.files)
        assert model.licence not in ("", "unknown")
        assert model.trained_on not in ("", "unknown")
        assert all(model.path(file).stat().st_size < 10_000_000 for file in model.files), "a Space refuses it"
    assert {model.name for model in list_models() if model.bundled} == {"open-unmix-compact", "demucs-compact"}


def test_the_cache_folder_is_configurable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    downloaded = [model for model in released() if not model.package]
    assert {model.folder for model in downloaded} == {tmp_path / "mine" / "models" / m.name for m in downloaded}
    assert not (tmp_path / "mine").exists(), "looking makes nothing"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEPARATION_HOME", "~/somewhere")
    assert cache_dir() == tmp_path / "somewhere"
    for nothing in ("", None):
        if nothing is None:
            monkeypatch.delenv("SEPARATION_HOME")
        else:
            monkeypatch.setenv("SEPARATION_HOME", nothing)
        assert cache_dir() == tmp_path / ".cache" / "separation"
    monkeypatch.setenv("SEPARATION_HOME", "~no-such-user-here/x")
    with pytest.raises(CheckpointError, match=r"SEPARATION_HOME refers to .*'~no-such-user-here/x'"):
        list_models()


def test_a_missing_model_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model or folder 'x'; the models for demucs are: demucs-compact, "):
        find_model("x", method="demucs")
    with pytest.raises(CheckpointError, match="umxl is a model for open-unmix, not for demucs"):
        find_model("umxl", method="demucs")
    with pytest.raises(CheckpointError, match=r"umxl is not installed; .*python -m separation models download umxl$"):
        find_model("umxl", method="open-unmix")
    with pytest.raises(CheckpointError, match=r"the folder 'empty' holds neither model\.json nor .* separator\.json"):
        (tmp_path / "empty").mkdir()
        find_model(str(tmp_path / "empty"), method="open-unmix")


@pytest.mark.parametrize("name", ["~no-such-user-here/model", "x" * 5000, "a\0b", "", "/dev/null", "."])
def test_names_that_are_no_valid_path_are_unknown_models(name: str) -> None:
    with pytest.raises(CheckpointError):
        find_model(name, method="open-unmix")


def test_an_incomplete_folder_names_what_is_missing(tmp_path: Path) -> None:
    description = {"name": "mine", "method": "demucs", "sources": ["vocals"], "sample_rate": 44100, "channels": 2}
    files = [{"source": "all", "name": "weights.safetensors"}]
    (tmp_path / "model.json").write_text(json.dumps(description | {"files": files}))
    with pytest.raises(CheckpointError, match=r"mine is incomplete: weights\.safetensors missing from its folder"):
        find_model(str(tmp_path), method="demucs")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    model = find_model(str(tmp_path), method="demucs")
    assert model.own
    assert not model.bundled
    assert model.folder == tmp_path
    assert model.files == (ModelFile(source="all", name="weights.safetensors"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": None}, "not usable"),
        ({"files": [{"name": "x"}]}, "not usable: .*source"),
        ({"files": [{"source": "all", "name": "x", "colour": "red"}]}, "not usable: .*colour"),
        ({"files": [{"source": "all", "name": 5}]}, "not usable"),
        ({"sources": 5}, "not usable"),
        ({"sources": [5]}, "not usable"),
        ({"name": None}, "not usable"),
        ({"sample_rate": "44100"}, "not usable"),
        ({"sample_rate": 0}, "not usable"),
        ({"channels": 1.5}, "not usable"),
        ({"colour": "red"}, "not usable: .*colour"),
        ({"method": "open-unmix"}, "mine is a model for open-unmix, not for demucs"),
    ],
)
def test_an_invalid_description_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    description = {"name": "mine", "method": "demucs", "sources": ["vocals"], "sample_rate": 44100, "channels": 2}
    files = [{"source": "all", "name": "weights.safetensors"}]
    (tmp_path / "model.json").write_text(json.dumps(description | {"files": files} | change))
    with pytest.raises(CheckpointError, match=message):
        find_model(str(tmp_path), method="demucs")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"name": "x"}', b"[" * 100_000])
def test_an_unreadable_description_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(CheckpointError):
        find_model(str(tmp_path), method="demucs")


def test_models_with_a_restrictive_or_unclear_licence_say_so() -> None:
    free = {model.name for model in list_models() if not model.restriction and not model.bundled}
    assert free == {"spleeter-2stems", "spleeter-4stems", "spleeter-5stems", "roformer-4stems"}
    assert {model.restriction for model in list_models()} <= {"", *RESTRICTIONS}
