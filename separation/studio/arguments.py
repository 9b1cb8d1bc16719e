"""Type checks for the API's arguments, since Gradio answers a wrong type with an empty error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from gradio.data_classes import FileData
from gradio_client.utils import is_file_obj_with_meta, is_http_url_like, traverse

from separation.evaluation.metrics import EXTRA_METRICS
from separation.separators import METHODS

__all__ = ["ENDPOINTS", "check_arguments", "refuse_web_addresses"]


def _is_file(value: object) -> bool:
    try:
        FileData.model_validate(value, context={"validate_meta": True})
    except ValueError:
        return False
    return isinstance(value, dict)


def _are_methods(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(one, str) and one in METHODS for one in value))


def _are_metrics(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(one in EXTRA_METRICS for one in value))


def _is_time(value: object) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= sys.float_info.max)  # type: ignore[operator]


_Argument = tuple[Callable[[object], bool], str]

_ZIP: _Argument = _is_file, "an uploaded ZIP of sound files"

_METRICS: _Argument = _are_metrics, f"a list of metrics, out of {', '.join(EXTRA_METRICS)}"

_SEPARATION: dict[str, _Argument] = {
    "audio": (_is_file, "an uploaded sound file"),
    "methods": (_are_methods, f"a list of names of methods, out of {', '.join(METHODS)}"),
    "start": (_is_time, "a number of seconds, 0 or more"),
    "duration": (_is_time, "a number of seconds, 0 or more, or null for everything up to the end"),
    "references": (lambda value: value is None or _is_file(value), "an uploaded ZIP of sound files, or null"),
    "metrics": _METRICS,
}

#: Endpoint -> argument -> its check, and what it must be.
ENDPOINTS: dict[str, dict[str, _Argument]] = {
    "separate": _SEPARATION,
    "submit": _SEPARATION,
    "job": {"token": (lambda value: isinstance(value, str), "the token of a job")},
    "score": {"references": _ZIP, "estimates": _ZIP, "metrics": _METRICS},
}

#: The number of arguments that every program passes; the rest came later and may be missing.
_REQUIRED = {"separate": 4, "submit": 4, "job": 1, "score": 2}
_LISTS = ("methods", "metrics")


def check_arguments(endpoint: str, values: list[Any]) -> None:
    """Raise ValueError, in one sentence that names the argument, if a value is of a wrong type or missing.

    Missing values of optional arguments are appended, and null lists become empty ones: Gradio wants a value for each
    component, and a list for a group of checkboxes.
    """
    arguments, required = ENDPOINTS[endpoint], _REQUIRED[endpoint]
    if len(values) < required:
        names = ", ".join(list(arguments)[:required])
        raise ValueError(f"{endpoint} needs {required} arguments: {names}; got {len(values)}")
    values.extend([None] * (len(arguments) - len(values)))
    for (name, (is_right, wanted)), value in zip(arguments.items(), values, strict=False):
        if not is_right(value):
            raise ValueError(f"{name} must be {wanted}, not {_shown(value)}")
    values[:] = [
        [] if value is None and name in _LISTS else value for name, value in zip(arguments, values, strict=False)
    ]


def refuse_web_addresses(values: list[Any]) -> None:
    """Raise ValueError if a file is a web address. No page sends one, and Gradio would hold it in memory."""

    def refuse(file: dict[str, Any]) -> dict[str, Any]:
        if is_http_url_like(file["path"]):
            raise ValueError("a file must be uploaded: web addresses are not fetched")
        return file

    traverse(values, refuse, is_file_obj_with_meta)


def _shown(value: object) -> str:
    """Describe a value as in JSON, without the contents of lists and objects."""
    if isinstance(value, (list, dict)):
        return "this list" if isinstance(value, list) else "this object"
    return f"the text {value[:40]!r}" if isinstance(value, str) else json.dumps(value)[:40]
