"""Translations: each file in ``assets/languages`` is a language.

``STEMSCOPE_LANGUAGES`` names a folder with more of them. The text ``direction`` is "ltr" or "rtl". Keys that begin with
``error_`` are messages of the library, those that begin with ``fact_`` are what the catalogue says about models. Those
with a point are words of Gradio: its own keys, and after ``gradio.`` its English words that have none.

The English names and descriptions of the methods are in the registry, under the keys ``method_<name>`` and
``method_<name>_what``; other languages translate them.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from separation.resources import ASSETS
from separation.separators import METHODS

__all__ = ["I18N", "Translator", "language_script", "languages", "translatable", "translator_for"]

_FOLDER = ASSETS / "languages"


@cache
def languages() -> dict[str, dict[str, str]]:
    """Return every language's texts by key."""
    own = os.environ.get("STEMSCOPE_LANGUAGES")
    files = [*_FOLDER.glob("*.json"), *(Path(own).glob("*.json") if own else ())]
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(files, key=lambda path: path.stem)}
    titles = {f"method_{method.name}": method.title for method in METHODS.values()}
    found["en"] |= titles | {f"method_{method.name}_what": method.summary for method in METHODS.values()}
    return found


I18N = gr.I18n(**languages())


def translatable(key: str) -> Any:
    """Return a component's text, which Gradio translates in the browser."""
    return I18N(key)


class Translator:
    """The texts of one language, English where one is missing."""

    def __init__(self, language: str) -> None:
        self._words = {**languages()["en"], **languages().get(language, {})}

    def __call__(self, key: str, **values: object) -> str:
        if self._words["direction"] == "rtl":
            values = {name: _isolated(value) for name, value in values.items()}
        return self._words[key].format(**values)

    def number(self, value: float, digits: int | None = None) -> str:
        """Write a number as the language does, without `digits` with as many as it has, like ``formatNumber``."""
        plain = f"{value:g}" if digits is None else f"{value:.{digits}f}"
        return plain.replace("-", "\N{MINUS SIGN}").replace(".", self._words["decimal_mark"])

    def speed(self, real_time_factor: float) -> str:
        """Compare computing with playing; `real_time_factor` is seconds of computing per second of audio."""
        factor = max(real_time_factor, 1e-4)
        ratio = 1 / factor if factor <= 1 else factor
        return self("faster" if factor <= 1 else "slower", factor=self.number(ratio, 0 if ratio >= 10 else 1))

    def sentence(self, english: str) -> str:
        """Translate a message of the library, a fact about a model or a method's title.

        Other English texts are returned as they are.
        """
        if english in _titles():
            return self(_titles()[english])
        for key, pattern in _messages():
            if found := pattern.fullmatch(english):
                blanks = {name: self._blank(name, text) for name, text in found.groupdict().items()}
                told = key.replace("error_", "told_", 1)  # in plainer words than the library's
                return self(told if told in self._words else key, **blanks)
        return english

    def _blank(self, name: str, text: str) -> str:
        """Translate what stands in a blank of a message: a stem, a number with decimals or another message."""
        if name == "stem" and f"stem_{text}" in self._words:
            return self(f"stem_{text}")
        if re.fullmatch(r"\d+\.\d+", text):
            return text.replace(".", self._words["decimal_mark"])
        return self.sentence(text)

    def named(self, kind: str, name: str, otherwise: str) -> str:
        """Return the display name of a "stem", "method" or "group"; unknown names are returned as they are."""
        return self._words.get(f"{kind}_{name}", otherwise)


def _isolated(value: object) -> str:
    """Return text within a sentence that reads the other way, so that the signs of figures keep their places."""
    return f"\N{FIRST STRONG ISOLATE}{value}\N{POP DIRECTIONAL ISOLATE}"


@cache
def _messages() -> list[tuple[str, re.Pattern[str]]]:
    """Return the keys and patterns of the library's messages and of the facts about models, the most exact first."""
    texts = [(key, text) for key, text in languages()["en"].items() if key.startswith(("error_", "fact_"))]
    texts.sort(key=lambda one: -len(re.sub(r"\{\w+\}", "", one[1])))
    return [(key, _pattern(text)) for key, text in texts]


@cache
def _titles() -> dict[str, str]:
    """Return the key of each method's English title, and of other groups of stems."""
    return {text: key for key, text in languages()["en"].items() if key.startswith("method_")}


def _pattern(text: str) -> re.Pattern[str]:
    """Return a pattern that matches a text with its placeholders filled in."""
    pieces = re.split(r"\{(\w+)\}", text)
    literal, names = pieces[::2], pieces[1::2]
    blanks = [f"(?P<{name}>.+?)" for name in names]
    return re.compile("".join(re.escape(part) + blank for part, blank in zip(literal, [*blanks, ""], strict=True)))


def translator_for(request: gr.Request | None) -> Translator:
    """Return the translator for the language that a visitor's browser wants most, as ``language.js`` chooses it."""
    wanted = request.headers.get("accept-language", "") if request is not None else ""
    return Translator(wanted.strip().partition(",")[0].partition("-")[0].partition(";")[0].lower())


def language_script() -> str:
    """Return scripts that give all languages to the page's scripts, and set the language of the page and of Gradio."""
    scripts = [(ASSETS / "page" / name).read_text("utf-8") for name in ("language.js", "gradio_words.js")]
    return f"<script>window.stemscopeWords = {json.dumps(languages())};\n{''.join(scripts)}</script>\n"
