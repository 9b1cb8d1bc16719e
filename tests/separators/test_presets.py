"""Preset files: what they may say, and how `create` uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import pytest

from separation.separators import METHODS, create, factory, find_method
from separation.separators.factory import model_names
from separation.separators.presets import PRESETS, read_preset
from separation.sources import SOURCES
from separation.weights import catalogue

PART = '[parts.one]\nmethod = "mix"\nweights = { vocals = 1 }\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parts = [", "is not a readable TOML file"),
        pytest.param("parts = " + "[" * 100_000, "is not a readable TOML file", id="nested"),
        ("", "needs either parts or first_installed"),
        (f'first_installed = ["mix"]\n{PART}', "needs either parts or first_installed"),
        ('first_installed = "mix"', "must be a list"),
        ('first_installed = ["mix"]\nwindow = 3', "'window' has no effect with first_installed"),
        (f"title = 3\n{PART}", "title must be a string"),
        ("parts = 3", "parts must be tables"),
        ("[parts]\none = 3", "must be a table with a method"),
        ("[parts.one]\nweights = { vocals = 1 }", "must be a table with a method"),
        (f"{PART}gain = 1", "unknown key 'gain'"),
        ('[parts.one]\nmethod = "mix"\nweights = { vocals = 0 }', "finite numbers above 0"),
        ('[parts.one]\nmethod = "mix"\nweights = { vocals = nan }', "finite numbers above 0"),
        (f'[parts.one]\nmethod = "mix"\nweights = {{ vocals = {10**400} }}', "finite numbers above 0"),
        ('[parts.one]\nmethod = "mix"\nweights = { vocals = true }', "finite numbers above 0"),
        ('[parts.one]\nmethod = "mix"\nweights = { vocals = "1" }', "finite numbers above 0"),
        ('[parts.one]\nmethod = "mix"', "has no weights and is no other part's input"),
        (f"{PART}options = 3", "options of the part 'one' must be a table"),
        (f"{PART}model = 3", "must be strings"),
        (f'{PART}input = "two.vocals"', "must be PART.STEM with a part above it"),
        (f'{PART}input = "one.vocals"', "must be PART.STEM with a part above it"),
        ('[parts.one]\nmethod = "nope"\nweights = { vocals = 1 }', "must have one of the methods mix"),
        ('[parts.one]\nmethod = "irm"\nweights = { vocals = 1 }', "must have one of the methods mix"),
        ('[parts.one]\nmethod = "best"\nweights = { vocals = 1 }', "must have one of the methods mix"),
        ('[parts.one]\nmethod = "mix"\nweights = { piano = 1 }', "has no stem 'piano'; it gives vocals"),
        (f'{PART}[parts.two]\nmethod = "mix"\ninput = "one.x"\nweights = {{ bass = 1 }}', "has no stem 'x'"),
        (f"unknown = 1\n{PART}", "unknown option 'unknown'"),
        (f'combine = "sum"\n{PART}', "combine must be wiener or mean"),
        ('first_installed = ["nope"]', "'nope' in first_installed is not a method"),
        ('first_installed = ["irm"]', "'irm' in first_installed is not a method"),
        ('first_installed = ["hybrid-demucs"]', "none of hybrid-demucs is installed"),
    ],
)
def test_a_wrong_preset_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        create(str(path))
    assert "mine" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_name_in_use_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.toml is not a readable TOML file"):
        create(str(tmp_path / "none.toml"))
    (tmp_path / "mix.toml").write_text(PART)
    with pytest.raises(ValueError, match="has the name of a method"):
        find_method(str(tmp_path / "mix.toml"))


def test_a_preset_file_is_used_as_a_method(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'title = "My own"\nwindow = 50\n{PART}')
    method = find_method(str(tmp_path / "mine.toml"))
    assert (method.name, method.title, method.has_model, method.needs_references) == ("mine", "My own", False, False)
    separator = create(str(tmp_path / "mine.toml"), options={"iterations": "0"})
    assert (separator.name, separator.sources, separator.model) == ("mine", ("vocals",), None)
    assert (separator.options.window, separator.options.iterations) == (50, 0)
    with pytest.raises(ValueError, match="mine has no models to choose from"):
        create(str(tmp_path / "mine.toml"), model="umx")


def test_the_first_installed_method_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('first_installed = ["hybrid-demucs", "demucs:demucs-compact", "mix"]')
    separator = create(str(tmp_path / "mine.toml"), options={"shifts": 2})
    assert (separator.name, separator.model, separator.options.shifts) == ("mine", "demucs-compact", 2)


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.toml")), ids=lambda path: path.stem)
def test_presets_of_the_project_name_methods_that_exist(path: Path) -> None:
    preset = read_preset(path)
    names = [part.method for part in preset.parts.values()]
    names += [choice.partition(":")[0] for choice in preset.first_installed]
    assert names
    assert set(names) <= METHODS.keys()


BEST = read_preset(PRESETS / "best.toml").first_installed


def model_of(choice: str) -> str:
    method, _, model = choice.partition(":")
    return model or str(METHODS[method].default_model)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What `best` creates if these models are installed, without loading any: METHOD:MODEL."""

    def choose(*installed: str) -> str:
        calls: list[str] = []

        def record(method: str, *, model: str | None, **more: object) -> SimpleNamespace:
            calls.append(f"{method}:{model or METHODS[method].default_model}")
            return SimpleNamespace(name=method)

        with monkeypatch.context() as patch:
            patch.setattr(catalogue, "is_installed", lambda name: name in installed)
            patch.setattr(factory, "create", record)
            assert create("best").name == "best"
        return calls[0]

    return choose


def test_best_takes_any_good_model(chosen: Callable[..., str]) -> None:
    for choice in BEST[:-1]:
        assert chosen(model_of(choice), "open-unmix-compact") == f"{choice.partition(':')[0]}:{model_of(choice)}"
    assert chosen("open-unmix-compact", "spleeter-2stems", "umxse", "roformer-vocals") == "best-offline:None"


def test_best_takes_the_better_of_two_models(chosen: Callable[..., str]) -> None:
    assert chosen("umx", "umxl") == "open-unmix:umxl"
    assert chosen("umxl", "demucs_extra") == "demucs:demucs_extra"
    assert chosen("hdemucs_high_musdb_plus", "hdemucs_high_musdb") == "hybrid-demucs:hdemucs_high_musdb"
    assert chosen(*(model_of(choice) for choice in BEST[:-1])) == "roformer:roformer-4stems"


def test_best_lists_all_models_of_four_stems_by_published_quality() -> None:
    known = {model.name: model for model in catalogue.list_models()}
    four = {model.name for model in known.values() if sorted(model.sources) == sorted(SOURCES) and not model.bundled}
    listed = [known[model_of(choice)] for choice in BEST[:-1]]
    assert {model.name for model in listed} == four
    quality = [mean(model.published.values()) for model in listed if model.published]
    assert quality == sorted(quality, reverse=True)
    for number, model in enumerate(listed):
        if model.trained_on_test:
            assert model.method not in {other.method for other in listed[number + 1 :]}


def test_the_models_of_a_method_are_known_without_loading_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_names("mix") == []
    assert model_names("demucs", "demucs_extra") == ["demucs_extra"]
    assert set(model_names("best-offline")) == {"spleeter-2stems", "open-unmix-compact"}
    (tmp_path / "mine.toml").write_text('[parts.one]\nmethod = "demucs"\nmodel = "x"\nweights = { vocals = 1 }')
    assert model_names(str(tmp_path / "mine.toml")) == ["x"]
    monkeypatch.setattr(catalogue, "is_installed", lambda name: name == "umxl")
    assert model_names("best") == ["umxl"]
