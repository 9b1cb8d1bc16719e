"""Collect the warnings of a job in another process, and reissue them in the calling process."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Warned", "catch_warned"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Warned(Generic[Result]):
    """A result and the warnings of its computation, each with its category; pickled between processes."""

    result: Result
    warnings: tuple[tuple[str, type[Warning]], ...]

    def unpack(self) -> Result:
        """Issue the warnings in this process, and return the result."""
        with warnings.catch_warnings():  # forgets earlier warnings: one that two songs share is shown twice
            for message, category in self.warnings:
                warnings.warn(message, category, stacklevel=2)
        return self.result


def catch_warned(function: Callable[..., Result], *arguments: Any) -> Warned[Result]:
    """Call a function; return its result with the warnings that this process would have shown."""
    with warnings.catch_warnings(record=True) as caught:
        result = function(*arguments)
    return Warned(result, tuple((str(warning.message), warning.category) for warning in caught))
