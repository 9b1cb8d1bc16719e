"""Errors as messages for visitors."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from separation.studio.i18n import Translator

__all__ = ["HostError", "at_field", "field_of", "visitor_message"]

log = logging.getLogger(__name__)


class HostError(ValueError):
    """An error that only the operator can fix: the message is logged, and visitors see `told` instead."""

    told = "something went wrong on the server; the error has been logged"


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
    from separation.weights.download import DownloadError
    from separation.weights.state_dict import CheckpointError

    is_about_weights = isinstance(error, CheckpointError) and not isinstance(error, DownloadError)
    if isinstance(error, ValueError) and not isinstance(error, HostError) and not is_about_weights:
        return str(error)
    log.error("failed", exc_info=error)
    if isinstance(error, HostError):
        return error.told
    if is_about_weights:
        return "the weights cannot be used: they are missing, damaged or of another kind; the error has been logged"
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "is full" if full else "reported an error"
        return f"the server's disk {reason}: try again later"
    torch_is_out_of_memory = isinstance(error, RuntimeError) and "memory" in str(error)
    if isinstance(error, MemoryError) or torch_is_out_of_memory:
        return "the server has too little memory for this: try a shorter excerpt"
    return "something went wrong on the server; the error has been logged"
