"""The pages' handlers, without a server."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from html import unescape
from pathlib import Path

import gradio as gr
import pytest

from separation.evaluation.metrics import EXTRA_METRICS, METRIC_UNITS
from separation.separators import METHODS
from separation.studio import i18n
from separation.studio.components import fragments
from separation.studio.inputs import checks, songs
from separation.studio.pages import blind_test, compare
from separation.studio.results import storage
from separation.studio.results.comparison import MASKS
from tests.studio.conftest import Request


@pytest.fixture(autouse=True)
def use_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "RESULTS", tmp_path)


# -- languages -------------------------------------------------------------------------------------


def test_all_languages_have_the_same_keys() -> None:
    keys = i18n.languages()
    assert set(keys) >= {"en", "de"}
    for language, texts in keys.items():
        assert set(texts) == set(keys["en"]), language
        for key, text in texts.items():  # the same blanks to fill in
            assert set(_blanks(text)) == set(_blanks(keys["en"][key])), (language, key)


def test_every_language_says_what_each_metric_hears_and_misses() -> None:
    for language, texts in i18n.languages().items():
        for metric in (*METRIC_UNITS, MASKS):
            heard, _, missed = texts[f"metric_{metric}"].partition("; ")
            assert len(heard) > 30, (language, metric)
            assert len(missed) > 30, (language, metric)
        assert all(texts[f"metric_name_{metric}"] for metric in EXTRA_METRICS)


def test_every_translation_key_is_used() -> None:
    sources = [*Path(i18n.__file__).parent.rglob("*.py"), *Path(i18n.__file__).parents[2].glob("assets/p*/*.js")]
    said = "".join(path.read_text("utf-8") for path in sources)
    kinds = (
        "stage_",
        "step_",
        "fact_",
        "stem_",
        "state_",
        "set_",
        "method_",
        "methods_",
        "line_",
        "error_",
        "told_",
        "about_",
        "kind_",
        "answer_",
        "certainty_",
        "metric_",
        "loop_",
        "mix_",
        "key_",
        "note_",
        "restriction_",
        "upload_text.",  # in place of Gradio's own
    )  # keys that the code assembles from parts
    silent = [
        key
        for key in i18n.languages()["en"]
        if "." not in key and not key.startswith(kinds) and not re.search(f"[\"'.]{key}\\b", said)
    ]
    assert silent == []


def _blanks(text: str) -> list[str]:
    return [part.split("}")[0] for part in text.split("{")[1:]]


def test_pages_use_the_visitors_language() -> None:
    assert i18n.translator_for(Request("de-AT,de;q=0.9,en;q=0.5"))("separate") == "Trennen"  # type: ignore[arg-type]
    assert i18n.translator_for(Request("fr,en"))("separate") == "Separate"  # type: ignore[arg-type]
    assert i18n.translator_for(None)("separate") == "Separate"


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("Choose each method only once.", "Wähle jedes Verfahren nur einmal."),
        (
            "cannot read 'a: b.mp3': it is not an audio file that can be decoded (Format not recognised)",
            "'a: b.mp3' kann nicht gelesen werden: es ist keine Audiodatei, die sich dekodieren lässt: "
            "möglich sind unter anderem WAV, FLAC, MP3, M4A und Ogg",
        ),
        ("cannot read 'x.wav': the file is empty", "'x.wav' kann nicht gelesen werden: die Datei ist leer"),
        ("no sentence that is known", "no sentence that is known"),
    ],
)
def test_messages_of_the_library_are_translated(english: str, german: str) -> None:
    assert i18n.Translator("de").sentence(english) == german
    if "Format not recognised" not in english:  # which only the library says
        assert i18n.Translator("en").sentence(english) == english


def test_the_patterns_of_messages_are_those_of_the_code(tmp_path: Path) -> None:
    german = i18n.Translator("de")
    begun: list[Callable[[], object]] = [
        lambda: songs.check_choice("upload", None),
        lambda: songs.check_choice("sample", "no such"),
        lambda: songs.check_choice("musdb", "no such"),
        lambda: songs.check_excerpt(start=-1, duration=None),
        lambda: songs.check_excerpt(start=0, duration=0.01),
        lambda: checks.check_methods([], estimates=False),
        lambda: checks.check_methods(["no such"], estimates=False),
        lambda: checks.check_methods(["mix", "mix"], estimates=False),
    ]
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp3").write_bytes(b"no music" * 99)
    begun.extend(partial(songs.check_choice, "upload", str(tmp_path / name)) for name in ("empty.wav", "text.mp3"))
    for begin in begun:
        with pytest.raises(ValueError, match=r".") as caught:
            begin()
        assert german.sentence(str(caught.value)) != str(caught.value), str(caught.value)


def test_methods_are_described_in_a_visitors_language() -> None:
    german = fragments.method_texts(i18n.Translator("de"))
    for method in METHODS.values():
        assert i18n.Translator("en")(f"method_{method.name}_what") == method.summary
        assert i18n.Translator("de")(f"method_{method.name}_what") in unescape(german)
    assert "Immer auch anhören" in fragments.about(i18n.Translator("de"))


# -- small pieces ----------------------------------------------------------------------------------

NASTY = '<img src=x onerror="alert(1)">'


def test_names_are_escaped_in_html() -> None:
    pieces = (
        fragments.work(NASTY, [NASTY], problems=[NASTY]),
        fragments.blind_session([(NASTY, Path(f"/tmp/{NASTY}"))]),
        fragments.player(Path(f"/tmp/{NASTY}")),
    )
    for html in pieces:
        assert "<img src=x" not in html


def test_urls_of_files_are_quoted() -> None:
    assert fragments.file_url(Path("/tmp/a b/#.wav")) == "gradio_api/file=/tmp/a%20b/%23.wav"


def test_the_progress_bar_is_accessible() -> None:
    assert 'aria-valuenow="42"' in fragments.work("Demucs", share=0.42)
    assert 'aria-valuenow="100"' in fragments.work("Demucs", share=1.7)
    assert "progressbar" not in fragments.work("Demucs")


def test_pages_claim_nothing_before_the_server_has_answered() -> None:
    with gr.Blocks() as studio, gr.Tab("page") as tab:
        compare.build(gr.State(), tab)
        blind_test.build(gr.State(), tab)
    assert [block.value for block in studio.blocks.values() if isinstance(block, gr.HTML)] == 2 * [fragments.skeleton()]
    answers = [event for event in studio.fns.values() if event.fn in (compare.show, blind_test.offer)]
    assert [event.queue for event in answers] == [False, False]
