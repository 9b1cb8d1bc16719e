"""Visitor names, used to enforce limits: a random name stored in the browser, or the session of an API client."""

from __future__ import annotations

import re

import gradio as gr

__all__ = ["is_name", "visitor_name"]

_NAME = re.compile(r"[A-Za-z0-9_-]{22}")


def is_name(value: object) -> bool:
    """Return whether a value from a page can be a visitor's name."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def visitor_name(kept: object, request: gr.Request) -> str:
    """Return the name by which limits are counted: what the browser has `kept`, or else the session's."""
    return str(kept) if is_name(kept) else str(request.session_hash)
