"""Parsing and validation of the options of separators."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

__all__ = ["Options", "parse_options"]

Options = TypeVar("Options")


def parse_options(options: type[Options], given: Mapping[str, object]) -> Options:
    """Build a dataclass of options, converting strings to the type of each field.

    Raises
    ------
    ValueError
        For an unknown name (the known ones are listed) or a value of the wrong type.
    """
    hints = typing.get_type_hints(options)
    unknown = sorted(set(given) - set(hints))
    if unknown:
        known = ", ".join(hints) or "none"
        raise ValueError(f"unknown option {unknown[0]!r}; the options of this method are: {known}")
    return options(**{name: _convert(name, value, hints[name]) for name, value in given.items()})


def _convert(name: str, value: object, hint: Any) -> object:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, str):
        word = value.strip().lower()
        if type(None) in kinds and word in ("none", ""):
            return None
        if bool in kinds and word in ("true", "yes", "1", "false", "no", "0"):
            return word in ("true", "yes", "1")
        for kind in (int, float):
            if kind in kinds and word not in ("inf", "-inf", "infinity", "-infinity", "nan"):
                try:
                    return kind(word)
                except ValueError:
                    continue
        if str in kinds:
            return value
    elif any(type(value) is kind for kind in kinds) or (float in kinds and type(value) is int):
        return value
    expected = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
    raise ValueError(f"option {name} must be {expected}, got {value!r}")
