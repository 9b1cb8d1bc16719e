"""Errors as messages for visitors."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from separation.studio.i18n import Translator

__all__ = ["at_field", "field_of", "visitor_message"]

log = logging.getLogger(__name__)


@contextmanager
def at_field(name: str) -> Iterator[None]:
    """Note that a ValueError in the block is about a field of the form, unless it names another."""
    from separation.audio.stream import BeyondEndError

    try:
        yield
    except ValueError as error:
        if not field_of(error):
            is_late = isinstance(error, BeyondEndError) or isinstance(error.__cause__, BeyondEndError)
            vars(error)["field"] = "start" if is_late else name
        raise


def field_of(error: Exception) -> str:
    """Return the field of the form that an error is about: the id of its element, or ""."""
    field = getattr(error, "field", "")
    return field if isinstance(field, str) else ""


def visitor_message(error: Exception, words: Translator | None = None) -> str:
    """Return a sentence for the visitor, without the paths in system errors, and log the rest.

    The sentence is in the language of `words`, if that language has a translation of it.
    """
    sentence = _sentence(error)
    return words.sentence(sentence) if words else sentence


def _sentence(error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error)
    log.error("failed", exc_info=error)
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return "the server's disk is full: try again later" if full else f"the disk reported an error: {error.strerror}"
    torch_is_out_of_memory = isinstance(error, RuntimeError) and "memory" in str(error)
    if isinstance(error, MemoryError) or torch_is_out_of_memory:
        return "the server has too little memory for this: try a shorter excerpt"
    return "something went wrong on the server; the error has been logged"
