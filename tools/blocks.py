"""Blocks of generated lines in documents, between two HTML comments."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["replace_block", "table_lines"]


def replace_block(text: str, name: str, lines: Sequence[str]) -> str:
    """Return `text` with the lines between ``<!-- name: ... -->`` and ``<!-- end of name -->`` replaced.

    Raises
    ------
    ValueError
        If there is not exactly one such block.
    """
    block = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->\n)", re.DOTALL)
    replaced, count = block.subn(lambda match: match[1] + "".join(f"{line}\n" for line in lines) + match[2], text)
    if count != 1:
        raise ValueError(f"expected one block {name!r}, found {count}")
    return replaced


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [" ".join(("|", " | ".join(row), "|")) for row in (header, ["---"] * len(header), *rows)]
