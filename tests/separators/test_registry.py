"""The registry, and how `create` uses it."""

from __future__ import annotations

import dataclasses
import math
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from separation.separators import METHODS, create
from separation.separators.base import Separator
from separation.weights import catalogue, download
from separation.weights.state_dict import CheckpointError
from separation.workers.devices import choose_device
from tests.conftest import snr
from tests.separators.helpers import (
    ORACLES,
    SINGLE_METHODS,
    create_tiny,
)


def test_the_registry_lists_the_documented_methods() -> None:
    neural = ["open-unmix", "demucs", "hybrid-demucs", "htdemucs", "spleeter", "roformer"]
    expected = ["mix", "hpss", "ica", *neural, *ORACLES]
    presets = ["best", "best-offline", "fast"]
    assert list(METHODS) == presets + expected
    assert [name for name, method in METHODS.items() if method.preset] == presets
    assert [name for name, method in METHODS.items() if method.needs_references] == list(ORACLES)
    assert [name for name, method in METHODS.items() if method.has_model] == neural


@pytest.mark.parametrize("name", METHODS)
def test_every_entry_of_the_registry_resolves(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    for text in (method.title, method.summary, method.reference):
        assert text.strip() == text != ""
    classes: list[Any] = []
    for path in (method.separator, method.options):
        module, _, attribute = path.partition(":")
        classes.append(getattr(import_module(module), attribute))
    separator, options = classes
    assert issubclass(separator, Separator)
    assert separator.__doc__
    fields = [field.name for field in dataclasses.fields(options)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        options().anything = 1
    if fields:
        with pytest.raises(TypeError, match="positional"):
            options(1)
    explained = " ".join(base.__doc__ or "" for base in options.__mro__)
    assert all(field in explained for field in fields), "every option is explained"


def test_default_models_are_known_and_fit_their_methods() -> None:
    known = {model.name: model.method for model in catalogue.list_models()}
    for name, method in METHODS.items():
        if method.default_model is not None:
            assert known[method.default_model] == name


@pytest.mark.parametrize("name", SINGLE_METHODS)
def test_create_builds_every_method(name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]) -> None:
    separator = create_tiny(name, tiny_models, excerpt, device="cpu")
    assert separator.name == name
    assert separator.sample_rate == 44100
    assert separator.device == torch.device("cpu")
    if METHODS[name].has_model:
        assert separator.model == name  # the name of its folder
        assert separator.model_hash is not None
        assert len(separator.model_hash) == 16
    else:
        assert separator.model is separator.model_hash is None


@pytest.mark.parametrize("name", ["open-unmix", "demucs"])
def test_bundled_models_are_complete_and_the_default(name: str, excerpt: dict[str, Tensor]) -> None:
    separator = create(name, device="cpu")
    assert separator.model == METHODS[name].default_model
    model = catalogue.find_model(str(separator.model), method=name)
    assert model.bundled
    assert not download.verify_model(model)
    stems = separator.separate(excerpt["mixture"])
    gains = [
        snr(stem, excerpt[source]) - snr(excerpt["mixture"] / 4, excerpt[source])
        for stem, source in zip(stems, separator.sources, strict=True)
    ]
    assert sum(gains) / 4 > 0.5, f"no better than a quarter of the mixture each: {gains}"


def test_errors_for_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"unknown method 'wavenet'; the methods are best, best-offline, fast, mix, hpss"
    ):
        create("wavenet")
    with pytest.raises(CheckpointError, match=r"no model or folder 'umxxl'; the models for open-unmix are: .*umxhq"):
        create("open-unmix", model="umxxl")
    with pytest.raises(ValueError, match=r"unknown option 'shift'; .*: segment, overlap, shifts, seed, normalise"):
        create("demucs", options={"shift": 1})
    with pytest.raises(ValueError, match=r"unknown option 'iterations'; the options of this method are: none"):
        create("mix", options={"iterations": 1})
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda or mps, got 'tpu'"):
        create("mix", device="tpu")


def test_a_model_of_another_method_is_refused(tiny_models: dict[str, str]) -> None:
    with pytest.raises(CheckpointError, match="umx is a model for open-unmix, not for demucs"):
        create("demucs", model="umx")
    with pytest.raises(CheckpointError, match="demucs is a model for demucs, not for hybrid-demucs"):
        create("hybrid-demucs", model=tiny_models["demucs"])


def test_a_model_for_a_method_without_one_is_refused() -> None:
    for name in ("mix", "hpss", "ica", *ORACLES):
        with pytest.raises(ValueError, match=f"{name} has no models to choose from"):
            create(name, model="umx")


def test_an_oracle_without_references_is_refused() -> None:
    for name in ORACLES:
        with pytest.raises(ValueError, match=rf"{name} is an oracle: it needs the true sources.*<source>\.wav"):
            create(name)


def test_the_error_for_a_missing_model_names_the_download_command() -> None:
    with pytest.raises(CheckpointError, match=r"python -m separation models download hdemucs_high_musdb$"):
        create("hybrid-demucs")


def test_a_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="there is no CUDA device here"):
        create("mix", device="cuda")
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("open-unmix", {"iterations": "-1"}, r"iterations must be in 0\.\.100, got -1"),
        ("open-unmix", {"iterations": "101"}, "iterations must be"),
        ("open-unmix", {"window": "0"}, "window must be at least 1 frame"),
        ("open-unmix", {"segment": "1.9"}, r"segment must be in 2\.\.3600 s, or none, got 1\.9"),
        ("open-unmix", {"segment": math.nan}, "segment must be"),
        ("demucs", {"segment": "0.4"}, r"segment must be in 0\.5\.\.600 s, got 0\.4"),
        ("demucs", {"segment": math.inf}, "segment must be"),
        ("demucs", {"overlap": "1"}, "overlap must be"),
        ("demucs", {"overlap": "-0.1"}, "overlap must be"),
        ("demucs", {"overlap": math.nan}, "overlap must be"),
        ("demucs", {"shifts": "-1"}, r"shifts must be in 0\.\.100, got -1"),
        ("demucs", {"shifts": "101"}, "shifts must be"),
        ("demucs", {"seed": "-1"}, "seed must be"),
        ("hybrid-demucs", {"seed": str(2**70)}, "seed must be"),
        ("htdemucs", {"softmask": True}, "unknown option 'softmask'; .*: segment, overlap, shifts, seed"),
        ("spleeter", {"mask_extension": "mean"}, "mask_extension must be zeros or average, got 'mean'"),
        ("roformer", {"segment": "0.4"}, r"segment must be in 0\.5\.\.600 s, got 0\.4"),
        ("roformer", {"overlap": "1"}, "overlap must be"),
        ("hpss", {"crossover": "0"}, "crossover must be positive"),
        ("hpss", {"kernel": "4"}, "kernel must be odd"),
        ("irm", {"power": "0"}, "power must be positive"),
        ("irm", {"power": math.nan}, "power must be positive"),
        ("mwf", {"n_fft": "1"}, "n_fft must be at least 2"),
        ("ibm", {"hop_length": "4096"}, "hop_length must be in"),
    ],
)
def test_options_out_of_range_are_refused_before_any_work(
    method: str,
    options: dict[str, object],
    message: str,
    tiny_models: dict[str, str],
    excerpt: dict[str, Tensor],
) -> None:
    with pytest.raises(ValueError, match=message):
        create_tiny(method, tiny_models, excerpt, options=options)
