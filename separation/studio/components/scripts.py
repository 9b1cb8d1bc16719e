"""The player's ES modules, joined into one script that is inlined into the page."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

__all__ = ["join_modules"]

_IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
_TOP_LEVEL = re.compile(r"^(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)


def join_modules(folder: Path) -> str:
    """Join all modules of a folder in the order of their imports, without ``import`` and ``export``.

    Inlined, the script needs no URL of its own, so that it works behind any proxy and from any installation. The
    modules import only names in braces from files next to them.

    Raises
    ------
    ValueError
        If two modules declare the same name, or an ``import`` or ``export`` has another form.
    graphlib.CycleError
        If modules import each other.
    """
    modules = {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.js"))}
    order = TopologicalSorter({name: _IMPORT.findall(text) for name, text in modules.items()}).static_order()
    parts: list[str] = []
    owners: dict[str, str] = {}
    for name in order:
        part = _EXPORT.sub("", _IMPORT.sub("", modules[name]))
        if other := re.search(r"^(?:import|export)\b.*", part, re.MULTILINE):
            raise ValueError(f"{name}.js: cannot join {other[0]!r}")
        for declared in _TOP_LEVEL.findall(part):
            if owners.setdefault(declared, name) != name:
                raise ValueError(f"{declared} is declared in {owners[declared]}.js and {name}.js")
        parts.append(part)
    return "\n".join(parts)
