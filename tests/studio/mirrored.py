"""A language that reads from right to left, for tests only: English in other letters."""

from __future__ import annotations

import json
import re
from pathlib import Path

from separation.separators import METHODS
from tests.conftest import ROOT

__all__ = ["LOCALE", "write_language"]

LOCALE = "ar"
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_ARABIC = "ابثدفغهيجكلمنوبقرستعطظخشصض"  # meant to be other letters
_LETTERS = str.maketrans(_LATIN + _LATIN.upper(), _ARABIC * 2)
_SETTINGS = {"direction": "rtl", "language_code": LOCALE, "nouns_are_capital": "yes"}  # read by the page, not by people
_KEPT = re.compile(r"(\{\w+\}|<[^>]*>|\([^()\s]*[/.][^()\s]*\))")  # placeholders, tags and addresses


def write_language(folder: Path) -> Path:
    """Write the language's file; the studio finds it with ``STEMSCOPE_LANGUAGES``."""
    english = json.loads((ROOT / "assets" / "languages" / "en.json").read_text("utf-8"))
    summaries = {f"method_{method.name}_what": method.summary for method in METHODS.values()}
    mirrored = {key: "".join(_parts(text)) for key, text in (english | summaries).items()} | _SETTINGS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{LOCALE}.json").write_text(json.dumps(mirrored), "utf-8")
    return folder


def _parts(text: str) -> list[str]:
    """Return the parts of a text, those that people read in Arabic letters."""
    return [part if number % 2 else part.translate(_LETTERS) for number, part in enumerate(_KEPT.split(text))]
