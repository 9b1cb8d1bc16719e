"""Every sentence of the library that reaches a visitor has a translation."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator

import pytest

from separation.studio import i18n
from tests.conftest import ROOT
from tests.studio.server import NODE

#: Files whose sentences are for hosts, for programs and for developers.
NOT_FOR_VISITORS = ("studio/limits.py", "studio/components/scripts.py", "studio/arguments.py")
#: Beginnings of sentences that only a program can cause.
ONLY_PROGRAMS = (
    "score needs two ZIP files",
    "metrics need the true sources",
    "the two ZIP files have no source in common",
    "the true sources have 7 channels at",
    "no format",
    "a gain is in",
    "the content must be",
    "stems can be written as",
    "--float32 needs",
    "Ogg Vorbis holds",
    "samples 7 to 7 were requested",
    "expected a float32 waveform",
)
CALLS = ("AudioError", "StudioError", "ValueError", "note", "add", "append")


def _said(node: ast.expr) -> str:
    """Return a text in the code, with 7 in place of each value."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_said, node.values))
    if isinstance(node, ast.FormattedValue):
        return "'7'" if node.conversion == ord("r") else "7"
    return ""


def sentences() -> Iterator[tuple[str, str]]:
    """Yield file and text of all errors and warnings about audio and in the studio, and the notes of ICA."""
    package = ROOT / "separation"
    files = [*(package / "audio").glob("*.py"), *(package / "studio").rglob("*.py"), package / "separators" / "ica.py"]
    for file in sorted(files):
        name = file.relative_to(package).as_posix()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args or name in NOT_FOR_VISITORS:
                continue
            function = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            text = _said(node.args[0])
            calls = CALLS if name != "separators/ica.py" else ("append",)
            is_sentence = text.count(" ") > 1 and not text.startswith(("<", "7it", *ONLY_PROGRAMS))
            if function in calls and is_sentence:
                yield name, text


@pytest.fixture(scope="module")
def known() -> list[tuple[str, str]]:
    found = [*sentences()]
    assert len(found) > 60
    return found


def test_every_sentence_that_reaches_a_visitor_is_german_too(known: list[tuple[str, str]]) -> None:
    german = i18n.Translator("de")
    assert [(file, text) for file, text in known if german.sentence(text) == text] == []


def test_the_page_translates_sentences_as_the_server_does(known: list[tuple[str, str]]) -> None:
    more = ["cannot read 'a: (b).mp3': the file is empty", "ICA: no scores: no stem has the name of a true source", "?"]
    texts = [*(text for _, text in known), *more]
    script = f"""
      globalThis.stemscopeWords = {json.dumps(i18n.languages())};
      Object.defineProperty(globalThis, "navigator", {{ value: {{ language: "de" }} }});
      const {{ sentence }} = await import({json.dumps((ROOT / "assets" / "player" / "i18n.js").as_uri())});
      console.log(JSON.stringify({json.dumps(texts)}.map(sentence)));"""
    done = subprocess.run([NODE, "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    german = i18n.Translator("de")
    assert json.loads(done.stdout) == [german.sentence(text) for text in texts]


def test_a_method_is_named_in_the_visitors_language() -> None:
    said = i18n.Translator("de").sentence(
        "Mixture ÷ 4: the server has too little memory for this: try a shorter excerpt"
    )
    assert said == "Mix ÷ 4: der Server hat dafür zu wenig Speicher: versuche es mit einem kürzeren Ausschnitt"
