"""Parsing of options."""

from __future__ import annotations

import dataclasses

import pytest

from separation.separators.options import parse_options


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
def test_values_of_the_wrong_type_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_options(Choices, given)
