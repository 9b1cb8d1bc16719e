"""Translations: each file in ``assets/languages`` is a language.

``STEMSCOPE_LANGUAGES`` names a folder with more of them. The text ``direction`` is "ltr" or "rtl". Messages of the
library have keys that begin with ``error_``.

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

    def speed(self, real_time_factor: float) -> str:
        """Compare computing with playing; `real_time_factor` is seconds of computing per second of audio."""
        factor = max(real_time_factor, 1e-4)
        ratio = 1 / factor if factor <= 1 else factor
        return self("faster" if factor <= 1 else "slower", factor=f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}")

    def sentence(self, english: str) -> str:
        """Translate a message of the library, or a method's title; other English texts are returned as they are."""
        if english in _titles():
            return self(_titles()[english])
        for key, pattern in _messages():
            if found := pattern.fullmatch(english):
                blanks = {name: self.sentence(text) for name, text in found.groupdict().items()}
                told = key.replace("error_", "told_", 1)  # in plainer words than the library's
                return self(told if told in self._words else key, **blanks)
        return english

    def named(self, kind: str, name: str, otherwise: str) -> str:
        """Return the display name of a "stem", "method" or "group"; unknown names are returned as they are."""
        return self._words.get(f"{kind}_{name}", otherwise)


def _isolated(value: object) -> str:
    """Return text within a sentence that reads the other way, so that the signs of figures keep their places."""
    return f"\N{FIRST STRONG ISOLATE}{value}\N{POP DIRECTIONAL ISOLATE}"


@cache
def _messages() -> list[tuple[str, re.Pattern[str]]]:
    """Return the keys and patterns of the library's messages: the English texts whose keys begin with ``error_``."""
    texts = {key: text for key, text in languages()["en"].items() if key.startswith("error_")}
    return [(key, _pattern(text)) for key, text in texts.items()]


@cache
def _titles() -> dict[str, str]:
    """Return the key of each method's English title."""
    return {method.title: f"method_{method.name}" for method in METHODS.values()}


def _pattern(text: str) -> re.Pattern[str]:
    """Return a pattern that matches a text with its placeholders filled in."""
    pieces = re.split(r"\{(\w+)\}", text)
    literal, names = pieces[::2], pieces[1::2]
    blanks = [f"(?P<{name}>.+?)" for name in names]
    return re.compile("".join(re.escape(part) + blank for part, blank in zip(literal, [*blanks, ""], strict=True)))


def translator_for(request: gr.Request | None) -> Translator:
    """Return the translator for the first supported language of a visitor's browser."""
    wanted = request.headers.get("accept-language", "") if request is not None else ""
    for part in wanted.split(","):
        language = part.split(";")[0].strip()[:2].lower()
        if language in languages():
            return Translator(language)
    return Translator("en")


def language_script() -> str:
    """Return a script that gives all languages to the page's scripts, and sets the language of the page."""
    known = f"window.stemscopeWords = {json.dumps(languages())};"
    return f"<script>{known}\n{_DIRECTION}</script>\n"


_DIRECTION = """{
  const language = (navigator.language || "en").slice(0, 2);
  const words = window.stemscopeWords[language];
  document.documentElement.lang = words ? language : "en";
  document.documentElement.dir = words?.direction ?? "ltr";
}"""
