"""A language in which every text is bracketed, which shows the texts on a page that are in no language file.

Its code is that of Basque, which Gradio has, and whose texts it replaces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

from separation.studio import i18n

__all__ = ["CLOSE", "CODE", "OPEN", "html_texts", "unbracketed", "write_language"]

CODE = "eu"
OPEN, CLOSE = "\u27e6\u27e7"  # white square brackets

#: Texts that are no sentences.
_RULES = {"direction", "language_code", "decimal_mark", "nouns_are_capital", "certainty_none"}
_LISTS = {"scale"}  # whose parts are shown

#: What is the same in all languages: names of programs, metrics, formats and licences, units and symbols.
_NAMES = (
    *(
        "Stemscope",
        "MUSDB18(-HQ)?",
        "MIT",
        "Deezer",
        "museval",
        "BSSEval",
        "SDR",
        "ISR",
        "SIR",
        "SAR",
        "uSDR",
        "SI-SDR",
    ),
    *(
        "AP",
        "WAV",
        "FLAC",
        "MP3",
        "PNG",
        "SVG",
        "CSV",
        "ZIP",
        "STFT",
        "float",
        "cpu",
        "dB",
        "Hz",
        "kHz",
        "MB",
        "KB",
        "bpm",
    ),
    *("min", "[.]stem[.]mp4", r"[\w-]+[.](csv|png|svg)"),
)


def write_language(folder: Path) -> Path:
    """Write the language to a folder for STEMSCOPE_LANGUAGES."""
    texts = {key: text if key in _RULES else _bracketed(key, text) for key, text in i18n.languages()["en"].items()}
    folder.mkdir()
    (folder / f"{CODE}.json").write_text(json.dumps(texts), "utf-8")
    return folder


def _bracketed(key: str, text: str) -> str:
    return ", ".join(f"{OPEN}{part}{CLOSE}" for part in text.split(", ")) if key in _LISTS else f"{OPEN}{text}{CLOSE}"


def unbracketed(texts: Iterable[str], names: Iterable[str] = ()) -> list[str]:
    """Return the texts with words outside of brackets, except names; `names` are those of songs and models."""
    known = re.compile("|".join(rf"(?<!\w)(?:{name})(?!\w)" for name in [*map(re.escape, names), *_NAMES]))
    return sorted({text for text in texts if re.search(r"[^\W\d_]{2}", known.sub("", _outside(text)))})


def _outside(text: str) -> str:
    """Return what is outside of the outermost brackets."""
    inner = re.compile(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}")
    while (rest := inner.sub("", text)) != text:
        text = rest
    return text


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value for name, value in attrs if value and name in ("aria-label", "title", "alt", "placeholder")
        ]


def html_texts(html: str) -> list[str]:
    """Return the texts of HTML that a visitor sees or hears."""
    parser = _Texts()
    parser.feed(html)
    return parser.found
