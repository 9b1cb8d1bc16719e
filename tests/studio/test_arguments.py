"""Types of the API's arguments, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from separation.studio.arguments import ENDPOINTS, check_arguments, refuse_web_addresses

FILE = {"path": "/tmp/song.wav", "meta": {"_type": "gradio.FileData"}}
GOOD: dict[str, Any] = {
    "audio": FILE,
    "methods": ["mix"],
    "start": 0,
    "duration": None,
    "references": None,
    "metrics": None,
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"methods": None},
        {"methods": []},
        {"start": 1.5, "duration": 10},
        {"references": FILE, "metrics": ["fullness", "log_wmse"]},
        {"metrics": []},
    ],
)
def test_right_types_pass(change: dict[str, Any]) -> None:
    check_arguments("separate", list((GOOD | change).values()))
    check_arguments("score", [FILE, FILE, None])


def test_optional_arguments_may_be_missing() -> None:
    for endpoint, values in (("separate", [FILE, ["mix"], 0, None]), ("score", [FILE, FILE]), ("job", ["token"])):
        count = len(values)
        check_arguments(endpoint, values)
        assert len(values) == len(ENDPOINTS[endpoint])
        assert all(not value for value in values[count:])
    nothing: list[Any] = [FILE, None, 0, None]
    check_arguments("submit", nothing)
    assert nothing == [FILE, [], 0, None, None, []]  # Gradio's groups of checkboxes take no null


@pytest.mark.parametrize("path", ["http://example.com/x.wav", "https://example.com/x.wav"])
def test_a_web_address_for_a_file_is_refused_wherever_it_is(path: str) -> None:
    """Gradio fetches it, of any size, into memory."""
    refuse_web_addresses([FILE, None, [FILE], {"a": FILE}, path])
    address = FILE | {"path": path}
    for values in ([address], [None, [FILE, address]], [{"a": {"b": address}}]):
        with pytest.raises(ValueError, match="web addresses are not fetched"):
            refuse_web_addresses(values)


WRONG: dict[str, list[Any]] = {
    "audio": [None, 7, "song.wav", [FILE], {"path": "x"}, FILE | {"path": 7}, FILE | {"size": "x"}],
    "methods": ["mix", 7, True, {"mix": 1}, [7], ["no such"], [["mix"]]],
    "start": ["soon", True, [1], -1, float("nan"), float("inf"), 10**400],
    "duration": ["all", False, {}, -0.5, float("nan")],
    "references": [7, "song.zip", [FILE], {"path": "x"}],
    "metrics": ["fullness", 7, {"fullness": 1}, ["SDR"], [["fullness"]], [{}]],
}


@pytest.mark.parametrize("argument", WRONG)
def test_a_wrong_type_is_named(argument: str) -> None:
    for value in WRONG[argument]:
        with pytest.raises(ValueError, match=f"^{argument} must be [^\\n]+, not [^\\n]+$") as caught:
            check_arguments("separate", list((GOOD | {argument: value}).values()))
        assert len(str(caught.value)) < 300


def test_missing_arguments_are_counted() -> None:
    with pytest.raises(ValueError, match=r"score needs 2 arguments: references, estimates; got 1"):
        check_arguments("score", [FILE])
