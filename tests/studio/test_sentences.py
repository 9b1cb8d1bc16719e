"""Every sentence of the library that reaches a visitor has a translation."""

from __future__ import annotations

import ast
import errno
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from separation.evaluation.signals import ArraySignals
from separation.evaluation.track_scores import score_signals
from separation.studio import i18n
from separation.studio.errors import visitor_message
from separation.studio.jobs.cluster import ClusterError
from separation.weights import catalogue
from separation.weights.download import DownloadError
from separation.weights.model import Model
from separation.weights.state_dict import CheckpointError
from tests.conftest import ROOT
from tests.studio.conftest import Request
from tests.studio.server import NODE

I18N_JS = ROOT / "assets" / "player" / "i18n.js"

#: What is read in the package, and the calls there whose sentences reach visitors.
ERRORS = ("AudioError", "StudioError", "DownloadError", "ValueError")
READ = {
    "audio/*.py": (*ERRORS, "note", "add", "append"),
    "studio/**/*.py": (*ERRORS, "note", "add", "append"),
    "weights/download.py": ERRORS,
    "datasets/sample_set.py": ERRORS,
    "separators/base.py": ERRORS,
    "separators/two_stems.py": ERRORS,
    "separators/ica.py": ("append",),
    "pipeline/to_folder.py": ("append",),
}
#: Files whose sentences are for hosts, for programs and for developers; ClusterError is told in general terms.
NOT_FOR_VISITORS = (
    "studio/limits.py",
    "studio/components/scripts.py",
    "studio/arguments.py",
    "studio/inputs/web_files.py",
)
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
    "7 in the same folder come from an earlier separation",
)


def _said(node: ast.expr) -> str:
    """Return a text in the code, with 7 in place of each value."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_said, node.values))
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.IfExp):
        return _said(node.value.body) or "7"
    if isinstance(node, ast.FormattedValue):
        return "'7'" if node.conversion == ord("r") else "7"
    return ""


def sentences() -> Iterator[tuple[str, str]]:
    """Yield file and text of all errors, warnings and notes that reach visitors."""
    package = ROOT / "separation"
    files = [(file, calls) for files, calls in READ.items() for file in sorted(package.glob(files))]
    for file, calls in files:
        name = file.relative_to(package).as_posix()
        if name in NOT_FOR_VISITORS:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            function = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            text = _said(node.args[0])
            if function in calls and text.count(" ") > 1 and not text.startswith(("<", "7it", *ONLY_PROGRAMS)):
                yield name, text


@pytest.fixture(scope="module")
def known() -> list[tuple[str, str]]:
    found = [*sentences()]
    assert len(found) > 60
    return found


def test_every_sentence_that_reaches_a_visitor_is_german_too(known: list[tuple[str, str]]) -> None:
    german = i18n.Translator("de")
    assert [(file, text) for file, text in known if german.sentence(text) == text] == []


def in_page(language: str, script: str) -> Any:
    """Return what a script that uses i18n.js prints as JSON, in a browser that wants a language."""
    page = f"""
      globalThis.window = globalThis;
      globalThis.document = {{ documentElement: {{}} }};
      globalThis.MutationObserver = class {{ observe() {{}} }};
      Object.defineProperty(globalThis, "navigator", {{ value: {{ language: {json.dumps(language)} }} }});
      {re.sub("</?script>", "", i18n.language_script())}
      const {{ formatNumber, sentence, word }} = await import({json.dumps(I18N_JS.as_uri())});
      console.log(JSON.stringify({script}));"""
    done = subprocess.run([NODE, "--input-type=module"], input=page, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_page_translates_sentences_as_the_server_does(known: list[tuple[str, str]]) -> None:
    more = ["cannot read 'a: (b).mp3': the file is empty", "ICA: no scores: no stem has the name of a true source", "?"]
    more += ["vocals is silent throughout", "it has 210.3 MB; the limit is 200 MB", "Your separator"]
    texts = [*(text for _, text in known), *more]
    german = i18n.Translator("de")
    assert in_page("de", f"{json.dumps(texts)}.map(sentence)") == [german.sentence(text) for text in texts]


@pytest.mark.parametrize("language", ["de-AT", "fr-CH", "en"])
def test_page_and_server_speak_the_same_language_and_write_numbers_alike(language: str) -> None:
    """The server reads the header, of which the first language is the page's ``navigator.language``."""
    words = i18n.translator_for(Request(f"{language},de;q=0.5"))  # type: ignore[arg-type]
    numbers: list[tuple[float, int | None]] = [(-6.04, 1), (2.88, 1), (0.5, None), (-12, None), (1063.4, 0)]
    written = in_page(
        language, f"[document.documentElement, word('stop'), {json.dumps(numbers)}.map((one) => formatNumber(...one))]"
    )
    assert written[1:] == [words("stop"), [words.number(*one) for one in numbers]]
    assert written[0] == {"lang": language[:2].replace("fr", "en"), "dir": "ltr"}


def test_what_only_the_host_can_mend_is_told_in_general_terms_and_translated() -> None:
    german = i18n.Translator("de")
    causes = [
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EIO, "broken"),
        MemoryError(),
        RuntimeError("surprise"),
        ClusterError("cannot connect to a scheduler at 'tcp://10.0.0.1'"),
        CheckpointError("umx.pth does not hold a dictionary of tensors"),
    ]
    told = [visitor_message(cause) for cause in causes]
    assert [text for text in told if german.sentence(text) == text] == []
    assert not re.search(r"umx|10\.0\.0\.1", " ".join(told))
    assert "umx: wait" in visitor_message(DownloadError("umx: wait"))  # for whoever presses the button


def test_the_notes_of_scores_are_translated() -> None:
    noise = torch.randn(2, 1, 8000, generator=torch.Generator().manual_seed(0))
    half_silent = torch.stack([noise[0], torch.zeros(1, 8000)])
    notes: set[str] = set()
    for references, estimates in ((half_silent, noise), (noise, half_silent), (noise, noise[:1])):
        both = ArraySignals(references), ArraySignals(estimates)
        notes |= {*score_signals(["vocals", "drums"], *both, 8000, permute=True)["notes"]}
    german = i18n.Translator("de")
    assert len(notes) >= 5
    assert [note for note in notes if not re.search("Gesang|Schlagzeug", german.sentence(note))] == []


@pytest.mark.parametrize("model", catalogue.list_models(), ids=lambda model: model.name)
def test_model_cards_are_german(model: Model) -> None:
    names = r"MIT( \(Deezer\))?|MUSDB18(-HQ)?"
    german = i18n.Translator("de")
    for fact in (model.licence, model.trained_on):
        assert re.fullmatch(names, fact) or german.sentence(fact) != fact


def test_numbers_are_written_as_the_language_writes_them() -> None:
    german, english = i18n.Translator("de"), i18n.Translator("en")
    assert (german.number(-6.04, 1), english.number(-6.04, 1)) == ("\N{MINUS SIGN}6,0", "\N{MINUS SIGN}6.0")
    assert german.speed(0.345) == "2,9x schneller als die Wiedergabe"
    assert german.sentence("it has 210.3 MB; the limit is 200 MB") == "die Datei hat 210,3 MB; erlaubt sind 200 MB"


def test_a_method_is_named_in_the_visitors_language() -> None:
    said = i18n.Translator("de").sentence(
        "Mixture ÷ 4: the server has too little memory for this: try a shorter excerpt"
    )
    assert said == "Mix ÷ 4: der Server hat dafür zu wenig Speicher: versuche es mit einem kürzeren Ausschnitt"
