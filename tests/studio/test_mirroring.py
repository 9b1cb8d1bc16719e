"""Languages that read from right to left: styles without sides, and figures within sentences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from separation.studio import i18n
from tests.conftest import ROOT
from tests.studio.mirrored import LOCALE, write_language

STYLES = sorted((ROOT / "assets" / "player").glob("*.css"))
_SIDE = re.compile(r"(?<![\w-])(?:(?:margin|padding|border|inset|scroll-\w+)-)?(?:left|right)(?:-[\w-]+)?\s*:|:dir\(")
_VALUE = re.compile(
    r"(?:text-align|float|transform-origin|justify-\w+)\s*:[^;}]*\b(?:left|right)\b|\bto (?:left|right)\b"
)
_FOUR = re.compile(r"(?<![\w-])(?:margin|padding|inset|border-width)\s*:\s*([^;}!]+)")
_TOKENS = re.compile(r"--(?:start|end|onward):[^;]*;")  # whose values are sides


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.stem)
def test_no_style_names_a_side_of_the_screen(path: Path) -> None:
    style = _TOKENS.sub("", re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL))
    assert [found[0] for pattern in (_SIDE, _VALUE) for found in pattern.finditer(style)] == []
    values = [re.findall(r"(?:[^\s(]|\([^()]*(?:\([^()]*\)[^()]*)*\))+", found) for found in _FOUR.findall(style)]
    assert [four for four in values if len(four) == 4 and four[1] != four[3]] == []


def test_signs_of_figures_keep_their_places_among_words_from_right_to_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEMSCOPE_LANGUAGES", str(write_language(tmp_path)))
    i18n.languages.cache_clear()
    try:
        said = i18n.Translator(LOCALE)("left", time="-3 s")
        assert "\N{FIRST STRONG ISOLATE}-3 s\N{POP DIRECTIONAL ISOLATE}" in said
        assert "\N{FIRST STRONG ISOLATE}" not in i18n.Translator("en")("left", time="-3 s")
    finally:
        i18n.languages.cache_clear()
