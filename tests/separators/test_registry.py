"""The registry, the options, and the contract that every method keeps."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchaudio.models import HDemucs

from separation.audio.files import read
from separation.models.demucs import Demucs
from separation.models.open_unmix import OpenUnmix
from separation.separators import METHODS, create
from separation.separators.base import Separator
from separation.separators.options import parse_options
from separation.weights import catalogue, download
from separation.weights.state_dict import CheckpointError
from separation.workers.devices import choose_device
from tests.conftest import snr
from tests.models.test_open_unmix import randomise

SOURCES = ("vocals", "drums", "bass", "other")
ORACLES = ("irm", "ibm", "mwf")


def write_model(
    folder: Path,
    method: str,
    networks: Mapping[str, nn.Module],
    architecture: Mapping[str, Any],
    *,
    sources: tuple[str, ...] = SOURCES,
    half: bool = False,
    **description: Any,
) -> Path:
    """A folder as the training exports it: a file of weights per network and a ``model.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for source, network in networks.items():
        path = folder / f"{source}.safetensors"
        state = network.state_dict()
        save_file({key: value.half() if half and value.dim() > 1 else value for key, value in state.items()}, path)
        files.append({"source": source, "name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    common = {"name": folder.name, "method": method, "sources": sources, "sample_rate": 44100, "channels": 2}
    model = common | {"architecture": architecture, "files": files} | description
    (folder / "model.json").write_text(json.dumps(model))
    return folder


OPEN_UNMIX: dict[str, Any] = {"n_fft": 2048, "hop_length": 512, "max_bin": 700, "hidden_size": 16}
DEMUCS: dict[str, Any] = {"channels": 6, "depth": 4, "resample": False}
HYBRID: dict[str, Any] = {"channels": 8, "nfft": 1024, "depth": 5}


def write_tiny(folder: Path, method: str, **description: Any) -> Path:
    """A model of the method with random weights that separates a second in milliseconds."""
    if method == "open-unmix":
        shape = {"max_bin": OPEN_UNMIX["max_bin"], "hidden_size": OPEN_UNMIX["hidden_size"]}
        networks = {name: randomise(OpenUnmix(n_bins=1025, **shape), seed) for seed, name in enumerate(SOURCES)}
        return write_model(folder, method, networks, OPEN_UNMIX, **description)
    if method == "demucs":
        return write_model(folder, method, {"all": randomise(Demucs(SOURCES, **DEMUCS))}, DEMUCS, **description)
    torch.manual_seed(0)
    return write_model(folder, method, {"all": HDemucs(list(SOURCES), **HYBRID)}, HYBRID, **description)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A folder with a tiny model for every method that has weights."""
    root = tmp_path_factory.mktemp("models")
    return {name: str(write_tiny(root / name, name)) for name, method in METHODS.items() if method.has_model}


@pytest.fixture(scope="session")
def excerpt(sample: Path) -> dict[str, Tensor]:
    """2 s and 3 samples of the sample track: the mixture and its sources, each (2, 88203)."""
    paths = {"mixture": sample / "mixture.flac"} | {name: sample / f"{name}.ogg" for name in SOURCES}
    return {name: read(path).waveform[:, 100_000:188_203].clone() for name, path in paths.items()}


def make(method: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor], **arguments: Any) -> Separator:
    """The method with a tiny model or the true sources, whichever it needs."""
    if METHODS[method].has_model:
        arguments["model"] = tiny_models[method]
    if METHODS[method].needs_references:
        arguments["references"] = {name: excerpt[name] for name in SOURCES}
    return create(method, **arguments)


# -- the registry ------------------------------------------------------------------------------------


def test_the_methods_are_the_ones_that_were_promised() -> None:
    expected = ["mix", "hpss", "ica", "open-unmix", "demucs", "hybrid-demucs", *ORACLES]
    assert list(METHODS) == expected
    assert [name for name, method in METHODS.items() if method.needs_references] == list(ORACLES)
    assert [name for name, method in METHODS.items() if method.has_model] == expected[3:6]


@pytest.mark.parametrize("name", METHODS)
def test_what_the_registry_says_of_a_method_is_there(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    for text in (method.title, method.summary, method.reference):
        assert text.strip() == text != ""
    classes: list[Any] = []
    for place in (method.separator, method.options):
        module, _, attribute = place.partition(":")
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
    assert all(field in options.__doc__ for field in fields), "every option is explained"


def test_a_default_model_is_known_and_fits_its_method() -> None:
    known = {model.name: model.method for model in catalogue.list_models()}
    for name, method in METHODS.items():
        if method.default_model is not None:
            assert known[method.default_model] == name


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_made_by_its_name(name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]) -> None:
    separator = make(name, tiny_models, excerpt, device="cpu")
    assert separator.name == name
    assert separator.sample_rate == 44100
    assert separator.device == torch.device("cpu")
    if METHODS[name].has_model:
        assert separator.model == name  # that is what its folder is called
        assert separator.model_hash is not None
        assert len(separator.model_hash) == 16
    else:
        assert separator.model is separator.model_hash is None


@pytest.mark.parametrize("name", ["open-unmix", "demucs"])
def test_the_bundled_models_are_whole_and_are_the_default(name: str, excerpt: dict[str, Tensor]) -> None:
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


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown method 'spleeter'; the methods are mix, hpss, ica, open-unmix"):
        create("spleeter")
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
        with pytest.raises(ValueError, match=f"{name} has no weights to choose"):
            create(name, model="umx")


def test_an_oracle_without_references_says_what_it_needs() -> None:
    for name in ORACLES:
        with pytest.raises(ValueError, match=rf"{name} is an oracle: it needs the true sources.*<source>\.wav"):
            create(name)


def test_what_is_not_installed_comes_with_the_command_that_gets_it() -> None:
    with pytest.raises(CheckpointError, match=r"python -m separation models download hdemucs_high_musdb$"):
        create("hybrid-demucs")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="there is no CUDA device here"):
        create("mix", device="cuda")
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")


# -- options -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    count: int = 1
    share: float = 0.5
    flag: bool = False
    name: str = "x"
    window: int | None = 300
    segment: float | None = 20.0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"count": "12"}, 12),
        ({"count": 12}, 12),
        ({"share": "0.25"}, 0.25),
        ({"share": 1}, 1),
        ({"share": " 3 "}, 3.0),
        ({"flag": "true"}, True),
        ({"flag": "No"}, False),
        ({"flag": "0"}, False),
        ({"flag": True}, True),
        ({"name": "logcosh"}, "logcosh"),
        ({"name": "1"}, "1"),
        ({"window": "none"}, None),
        ({"window": ""}, None),
        ({"window": None}, None),
        ({"window": "100"}, 100),
        ({"segment": "None"}, None),
        ({"segment": "7.5"}, 7.5),
        ({"segment": 7}, 7),
    ],
)
def test_options_are_converted_to_their_types(given: dict[str, object], expected: object) -> None:
    (name,) = given
    value = getattr(parse_options(Choices, given), name)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": "1.5"}, r"option count must be int, got '1\.5'"),
        ({"count": "many"}, "option count must be int, got 'many'"),
        ({"count": "none"}, "option count must be int, got 'none'"),
        ({"count": 1.0}, r"option count must be int, got 1\.0"),
        ({"count": True}, "option count must be int, got True"),
        ({"share": "half"}, "option share must be float, got 'half'"),
        ({"share": True}, "option share must be float, got True"),
        ({"share": "nan"}, "option share must be float, got 'nan'"),
        ({"segment": "-inf"}, "option segment must be float or none, got '-inf'"),
        ({"flag": "maybe"}, "option flag must be bool, got 'maybe'"),
        ({"flag": 1}, "option flag must be bool, got 1"),
        ({"name": 1}, "option name must be str, got 1"),
        ({"window": "1.5"}, r"option window must be int or none, got '1\.5'"),
        ({"segment": []}, r"option segment must be float or none, got \[\]"),
    ],
)
def test_values_of_the_wrong_type_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_options(Choices, given)


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
        make(method, tiny_models, excerpt, options=options)


# -- the contract ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_every_method_keeps_the_contract(name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]) -> None:
    separator = make(name, tiny_models, excerpt)
    mixture = excerpt["mixture"].clone()
    stems = separator.at(sample_rate=44100, channels=2).separate(mixture)
    count = 2 if name == "ica" else 4
    assert stems.shape == (count, *mixture.shape)
    assert stems.dtype == torch.float32
    assert stems.device == torch.device("cpu")
    assert stems.isfinite().all()
    assert torch.equal(mixture, excerpt["mixture"]), "the mixture was changed"
    assert not stems.is_inference()
    assert not stems.requires_grad
    stems[0] *= 2  # whoever asked for them may do with them as he likes
    stems[1:] += 1
    assert torch.equal(mixture, excerpt["mixture"]), "the stems share the mixture's memory"


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_twice_the_same_is_the_same(name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]) -> None:
    separator = make(name, tiny_models, excerpt).at(sample_rate=44100, channels=2)
    first = separator.separate(excerpt["mixture"])
    assert torch.equal(separator.separate(excerpt["mixture"]), first)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_as_many_blocks_as_announced_make_up_the_whole(
    name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]
) -> None:
    options: dict[str, dict[str, float]] = {
        "open-unmix": {"segment": 2.0, "window": 50},
        "demucs": {"segment": 0.5},
        "hybrid-demucs": {"segment": 0.7},
    }
    separator = make(name, tiny_models, excerpt, options=options.get(name)).at(sample_rate=44100, channels=2)
    blocks = list(separator.stream(excerpt["mixture"]))
    assert len(blocks) == separator.segments(excerpt["mixture"].shape[1])
    assert len(blocks) > 1 or name not in options
    assert torch.equal(torch.cat(blocks, dim=-1), separator.separate(excerpt["mixture"]))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_silence_comes_back_finite(name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]) -> None:
    silence = {key: torch.zeros(2, 44100) for key in excerpt}
    stems = make(name, tiny_models, silence).at(sample_rate=44100, channels=2).separate(silence["mixture"])
    assert stems.isfinite().all()
    assert stems.abs().max() < 1e-4


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_the_shortest_sound_goes_and_a_shorter_one_is_told_what_is_needed(
    name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]
) -> None:
    least = make(name, tiny_models, excerpt).at(sample_rate=44100, channels=2).min_frames
    short = {key: waveform[:, :least] for key, waveform in excerpt.items()}
    separator = make(name, tiny_models, short).at(sample_rate=44100, channels=2)
    stems = separator.separate(short["mixture"])
    assert stems.shape[1:] == (2, least)
    assert stems.isfinite().all()
    message = rf"the sound is too short: {name} needs at least {least} samples at 44100 Hz, there are {least - 1}"
    with pytest.raises(ValueError, match=message):
        separator.separate(short["mixture"][:, 1:])


@pytest.mark.parametrize("name", ["open-unmix", "demucs", "hybrid-demucs", *ORACLES])
def test_a_method_for_stereo_refuses_other_numbers_of_channels(
    name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]
) -> None:
    separator = make(name, tiny_models, excerpt)
    assert separator.channels == 2
    for channels in (1, 3):
        wrong = excerpt["mixture"][:1].repeat(channels, 1)
        with pytest.raises(
            ValueError, match=rf"{name} takes a mixture of shape \(2 channels, time\), got \({channels}, "
        ):
            separator.separate(wrong)
    with pytest.raises(ValueError, match=r"got \(88203,\)"):
        separator.separate(excerpt["mixture"][0])


@pytest.mark.parametrize("name", ["mix", "hpss", "ica"])
@pytest.mark.filterwarnings("ignore:ICA did not converge")
def test_the_others_take_any_number_of_channels(name: str, excerpt: dict[str, Tensor]) -> None:
    left, right = excerpt["mixture"]
    wide = torch.stack([left, right, excerpt["vocals"][0]])
    for mixture in (wide, wide[:1]):
        separator = create(name).at(sample_rate=22050, channels=mixture.shape[0])
        assert separator.sample_rate == 22050
        stems = separator.separate(mixture)
        assert stems.shape[1:] == mixture.shape
        assert snr(stems.sum(0), mixture) > 60


def test_the_mixtures_floor_is_a_quarter_each(excerpt: dict[str, Tensor]) -> None:
    stems = create("mix").separate(excerpt["mixture"])
    torch.testing.assert_close(stems, (excerpt["mixture"] / 4).expand(4, -1, -1))


# -- models in folders -------------------------------------------------------------------------------


def test_a_model_in_half_precision_separates_as_well(
    tmp_path: Path, tiny_models: dict[str, str], excerpt: dict[str, Tensor]
) -> None:
    network = randomise(Demucs(SOURCES, **DEMUCS))
    folder = write_model(tmp_path / "half", "demucs", {"all": network}, DEMUCS, half=True)
    whole = create("demucs", model=tiny_models["demucs"]).separate(excerpt["mixture"])
    assert snr(create("demucs", model=str(folder)).separate(excerpt["mixture"]), whole) > 40


def test_stems_are_named_by_the_file_that_made_them(tmp_path: Path, excerpt: dict[str, Tensor]) -> None:
    """The order of the sources and that of the files are two lists in ``model.json``."""
    shape = {"max_bin": OPEN_UNMIX["max_bin"], "hidden_size": OPEN_UNMIX["hidden_size"]}
    networks = {name: randomise(OpenUnmix(n_bins=1025, **shape), seed) for seed, name in enumerate(SOURCES)}
    folders = [
        write_model(tmp_path / "one", "open-unmix", networks, OPEN_UNMIX),
        write_model(tmp_path / "two", "open-unmix", networks, OPEN_UNMIX, sources=SOURCES[::-1]),
    ]
    separators = [create("open-unmix", model=str(folder)) for folder in folders]
    stems = [dict(zip(each.sources, each.separate(excerpt["mixture"]), strict=True)) for each in separators]
    assert list(stems[1]) == list(SOURCES[::-1])
    for name in SOURCES:
        assert snr(stems[1][name], stems[0][name]) > 80


def test_a_model_may_ask_for_options_and_the_user_for_others(tmp_path: Path, tiny_models: dict[str, str]) -> None:
    description = json.loads(Path(tiny_models["demucs"], "model.json").read_text())
    for path in Path(tiny_models["demucs"]).glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    asked = {"options": {"softmask": True, "shifts": 2}}
    (tmp_path / "model.json").write_text(json.dumps(description | asked))

    def made(given: dict[str, object]) -> tuple[bool, int, float]:
        options = create("demucs", model=str(tmp_path), options=given).options
        return options.softmask, options.shifts, options.overlap

    assert made({}) == (True, 2, 0.25)
    assert made({"shifts": "1", "overlap": 0.5}) == (True, 1, 0.5)
    assert made({"softmask": "false"}) == (False, 2, 0.25)
    assert not create("demucs", model=tiny_models["demucs"]).options.softmask, "they stick to another model"


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
def test_a_description_that_does_not_fit_is_one_error(
    tmp_path: Path, tiny_models: dict[str, str], method: str, change: dict[str, object]
) -> None:
    """Never another exception: the command line and the studio show these, and crash on others."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for path in Path(tiny_models[method]).glob("*.safetensors"):
        (folder / path.name).symlink_to(path)
    description = json.loads(Path(tiny_models[method], "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(description | change | {"name": "odd"}))
    with pytest.raises(CheckpointError):
        create(method, model=str(folder))
