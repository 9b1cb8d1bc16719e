"""Presets: TOML files that combine methods, or choose the first installed one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from separation.resources import ASSETS
from separation.toml_files import load_toml

__all__ = ["PRESETS", "Part", "Preset", "read_preset"]

PRESETS = ASSETS / "presets"

_TEXTS = ("title", "summary", "reference")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One method of an ensemble.

    Attributes
    ----------
    method : str
        Name of a method that needs no references.
    weights : dict of str to float
        Weight of this part's estimate of each source, above 0.
    model : str or None
        Weights of the method's networks, by default the method's own.
    options : dict
        Options of the method.
    input : str or None
        The part's input: "PART.STEM", a stem of an earlier part; None for the mixture.
    """

    method: str
    weights: dict[str, float]
    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    input: str | None = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A method described by a TOML file: an ensemble of `parts`, or the first installed method of a list.

    Attributes
    ----------
    name : str
        Name of the file without its suffix.
    title, summary, reference : str
        As in :class:`separation.separators.registry.Method`.
    options : dict
        Options of the ensemble.
    parts : dict of str to Part
    first_installed : tuple of str
        "METHOD" or "METHOD:MODEL", the best first.
    """

    name: str
    title: str
    summary: str = ""
    reference: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    first_installed: tuple[str, ...] = ()


def read_preset(path: Path) -> Preset:
    """Read a preset.

    Raises
    ------
    ValueError
        If the file cannot be read or does not describe a preset; the message names the file.
    """
    table = load_toml(path)
    try:
        return _preset(path.stem, table)
    except ValueError as error:
        raise ValueError(f"{path.name} is not a preset: {error}") from error


def _preset(name: str, table: dict[str, Any]) -> Preset:
    texts = {key: table.pop(key) for key in _TEXTS if key in table}
    if wrong := next((key for key, text in texts.items() if not isinstance(text, str)), None):
        raise ValueError(f"{wrong} must be a string")
    choices, parts = table.pop("first_installed", []), table.pop("parts", {})
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise ValueError("first_installed must be a list of METHOD or METHOD:MODEL")
    if bool(choices) == bool(parts):
        raise ValueError("it needs either parts or first_installed")
    if choices and table:
        raise ValueError(f"{next(iter(table))!r} has no effect with first_installed")
    if not isinstance(parts, dict):
        raise ValueError("parts must be tables such as [parts.spleeter]")
    preset = Preset(
        name=name,
        **{"title": name, **texts},
        options=table,
        parts={key: _part(key, part) for key, part in parts.items()},
        first_installed=tuple(choices),
    )
    _check_inputs(preset.parts)
    return preset


def _part(name: str, table: object) -> Part:
    if not isinstance(table, dict) or not isinstance(table.get("method"), str):
        raise ValueError(f"the part {name!r} must be a table with a method")
    if unknown := sorted(set(table) - set(Part.__dataclass_fields__)):
        raise ValueError(f"the part {name!r} has an unknown key {unknown[0]!r}")
    weights, options = table.get("weights", {}), table.get("options", {})
    if not isinstance(weights, Mapping) or not all(_is_weight(weight) for weight in weights.values()):
        raise ValueError(f"the weights of the part {name!r} must be finite numbers above 0, one per source")
    if not isinstance(options, dict):
        raise ValueError(f"the options of the part {name!r} must be a table")
    texts = {key: table[key] for key in ("model", "input") if key in table}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError(f"model and input of the part {name!r} must be strings")
    return Part(method=table["method"], weights=dict(weights), options=options, **texts)


def _is_weight(value: object) -> bool:
    return type(value) in (int, float) and 0 < value <= sys.float_info.max  # type: ignore[operator]


def _check_inputs(parts: Mapping[str, Part]) -> None:
    """Raise ValueError if a part's input is not from a part above it, or if nothing uses a part's estimates."""
    before: set[str] = set()
    used = {part.input.partition(".")[0] for part in parts.values() if part.input}
    for name, part in parts.items():
        if part.input is not None and part.input.partition(".")[0] not in before:
            raise ValueError(f"the input of the part {name!r} must be PART.STEM with a part above it")
        if not part.weights and name not in used:
            raise ValueError(f"the part {name!r} has no weights and is no other part's input")
        before.add(name)
