"""Preset files: what they may say, and how `create` uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from separation.separators import METHODS, create, find_method
from separation.separators.presets import PRESETS, read_preset

PART = '[parts.one]\nmethod = "mix"\nweights = { vocals = 1 }\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parts = [", "is not a readable TOML file"),
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
