"""Type checks for the API's arguments, since Gradio answers a wrong type with an empty error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from gradio.data_classes import FileData

from separation.separators import METHODS

__all__ = ["ENDPOINTS", "check_arguments"]


def _is_file(value: object) -> bool:
    try:
        FileData.model_validate(value, context={"validate_meta": True})
    except ValueError:
        return False
    return isinstance(value, dict)


def _are_methods(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(one, str) and one in METHODS for one in value))


def _is_time(value: object) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= sys.float_info.max)  # type: ignore[operator]


_Argument = tuple[Callable[[object], bool], str]

_ZIP: _Argument = _is_file, "an uploaded ZIP of sound files"

_SEPARATION: dict[str, _Argument] = {
    "audio": (_is_file, "an uploaded sound file"),
    "methods": (_are_methods, f"a list of names of methods, out of {', '.join(METHODS)}"),
    "start": (_is_time, "a number of seconds, 0 or more"),
    "duration": (_is_time, "a number of seconds, 0 or more, or null for everything up to the end"),
}

#: Endpoint -> argument -> its check, and what it must be.
ENDPOINTS: dict[str, dict[str, _Argument]] = {
    "separate": _SEPARATION,
    "submit": _SEPARATION,
    "job": {"token": (lambda value: isinstance(value, str), "the token of a job")},
    "score": {"references": _ZIP, "estimates": _ZIP},
}


def check_arguments(endpoint: str, values: Sequence[Any]) -> None:
    """Raise ValueError, in one sentence that names the argument, if a value is of a wrong type or missing."""
    arguments = ENDPOINTS[endpoint]
    if len(values) < len(arguments):
        raise ValueError(f"{endpoint} takes {len(arguments)} arguments: {', '.join(arguments)}; got {len(values)}")
    for (name, (is_right, wanted)), value in zip(arguments.items(), values, strict=False):
        if not is_right(value):
            raise ValueError(f"{name} must be {wanted}, not {_shown(value)}")


def _shown(value: object) -> str:
    """Describe a value as in JSON, without the contents of lists and objects."""
    if isinstance(value, (list, dict)):
        return "this list" if isinstance(value, list) else "this object"
    return f"the text {value[:40]!r}" if isinstance(value, str) else json.dumps(value)[:40]
