"""What the studio says, in the visitor's language: a file in ``assets/languages`` is a language."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

__all__ = ["I18N", "Words", "label", "script", "words_for"]

_FOLDER = Path(__file__).resolve().parents[2] / "assets" / "languages"


@cache
def _languages() -> dict[str, dict[str, str]]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(_FOLDER.glob("*.json"))}


I18N = gr.I18n(**_languages())


def label(key: str) -> Any:
    """A component's text, which the page puts into the visitor's language."""
    return I18N(key)


class Words:
    """The words of one language, English where one is missing."""

    def __init__(self, language: str) -> None:
        self._words = {**_languages()["en"], **_languages().get(language, {})}

    def __call__(self, key: str, **values: object) -> str:
        return self._words[key].format(**values)


def words_for(request: gr.Request | None) -> Words:
    """In the first language of a visitor's browser that there is."""
    wanted = request.headers.get("accept-language", "") if request is not None else ""
    for part in wanted.split(","):
        language = part.split(";")[0].strip()[:2].lower()
        if language in _languages():
            return Words(language)
    return Words("en")


def script() -> str:
    """For the page's own scripts: all languages, as a global."""
    return f"<script>window.stemscopeWords = {json.dumps(_languages())};</script>\n"
