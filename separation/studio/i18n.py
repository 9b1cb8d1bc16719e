"""Translations: each file in ``assets/languages`` is a language.

The English names and descriptions of the methods are in the registry, under the keys ``method_<name>`` and
``method_<name>_what``; other languages translate them.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import gradio as gr

from separation.resources import ASSETS
from separation.separators import METHODS

__all__ = ["I18N", "Translator", "language_script", "languages", "translatable", "translator_for"]

_FOLDER = ASSETS / "languages"


@cache
def languages() -> dict[str, dict[str, str]]:
    """Return every language's texts by key."""
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(_FOLDER.glob("*.json"))}
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
        return self._words[key].format(**values)

    def speed(self, real_time_factor: float) -> str:
        """Compare computing with playing; `real_time_factor` is seconds of computing per second of audio."""
        factor = max(real_time_factor, 1e-4)
        ratio = 1 / factor if factor <= 1 else factor
        return self("faster" if factor <= 1 else "slower", factor=f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}")

    def named(self, kind: str, name: str, otherwise: str) -> str:
        """Return the display name of a "stem", "method" or "group"; unknown names are returned as they are."""
        return self._words.get(f"{kind}_{name}", otherwise)


def translator_for(request: gr.Request | None) -> Translator:
    """Return the translator for the first supported language of a visitor's browser."""
    wanted = request.headers.get("accept-language", "") if request is not None else ""
    for part in wanted.split(","):
        language = part.split(";")[0].strip()[:2].lower()
        if language in languages():
            return Translator(language)
    return Translator("en")


def language_script() -> str:
    """Return a script that makes all languages available to the page's own scripts."""
    return f"<script>window.stemscopeWords = {json.dumps(languages())};</script>\n"
