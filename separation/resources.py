"""Files that ship with the package: bundled models, samples, scores, the player and languages.

In a checkout they are in the top-level folder ``assets``; an installed package holds a copy of it.
"""

from pathlib import Path

__all__ = ["ASSETS"]

_PACKAGE = Path(__file__).resolve().parent

ASSETS = _PACKAGE / "assets" if (_PACKAGE / "assets").is_dir() else _PACKAGE.parent / "assets"
