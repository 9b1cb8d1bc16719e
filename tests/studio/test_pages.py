"""The pages' handlers, without a server."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from functools import partial
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from separation.separators import METHODS
from separation.studio import blind_test, checks, components, i18n, songs, storage
from separation.studio.pages import benchmark, compare
from tests.studio.conftest import Request, run_session, short_song


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three methods, one of which is another tool's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("separation.studio.storage.RESULTS", tmp_path_factory.mktemp("results"))
        return run_session(short_song(), "hpss", "mix", "irm").folder


@pytest.fixture(autouse=True)
def use_results_folder(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "RESULTS", result.parent)


# -- languages -------------------------------------------------------------------------------------


def test_all_languages_have_the_same_keys() -> None:
    keys = i18n.languages()
    assert set(keys) >= {"en", "de"}
    for language, texts in keys.items():
        assert set(texts) == set(keys["en"]), language
        for key, text in texts.items():  # the same blanks to fill in
            assert set(_blanks(text)) == set(_blanks(keys["en"][key])), (language, key)


def test_every_translation_key_is_used() -> None:
    sources = [*Path(i18n.__file__).parent.rglob("*.py"), *Path(i18n.__file__).parents[2].glob("assets/p*/*.js")]
    said = "".join(path.read_text("utf-8") for path in sources)
    kinds = (
        "stage_",
        "stem_",
        "state_",
        "set_",
        "method_",
        "methods_",
        "line_",
        "error_",
        "told_",
        "about_",
    )  # put together where they are said
    silent = [
        key for key in i18n.languages()["en"] if not key.startswith(kinds) and not re.search(f"[\"'.]{key}\\b", said)
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
        ("Choose each method once.", "Wähle jedes Verfahren nur einmal."),
        (
            "cannot read 'a: b.mp3': it is not an audio file that can be decoded (Format not recognised)",
            "'a: b.mp3' kann nicht gelesen werden: "
            "es ist keine Audiodatei, die sich dekodieren lässt (Format not recognised)",
        ),
        ("cannot read 'x.wav': the file is empty", "'x.wav' kann nicht gelesen werden: die Datei ist leer"),
        ("no sentence that is known", "no sentence that is known"),
    ],
)
def test_messages_of_the_library_are_translated(english: str, german: str) -> None:
    assert i18n.Translator("de").sentence(english) == german
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
    german = components.method_texts(i18n.Translator("de"))
    for method in METHODS.values():
        assert i18n.Translator("en")(f"method_{method.name}_what") == method.summary
        assert i18n.Translator("de")(f"method_{method.name}_what") in unescape(german)
    assert "Immer auch anhören" in components.about(i18n.Translator("de"))


# -- compare ---------------------------------------------------------------------------------------


def test_compare_shows_the_result_and_draws_its_figures(result: Path) -> None:
    html, button, _ = compare.show(result.name, Request())  # type: ignore[arg-type]
    assert 'view="compare"' in html
    assert button["visible"]
    drawn = compare.draw(result.name, Request())["value"]  # type: ignore[arg-type]
    assert drawn.count("<img") == 5  # a curve for each of four targets, and the violins
    assert (result / "violins.png").read_bytes().startswith(b"\x89PNG")


def test_compare_without_a_result_asks_for_a_separation() -> None:
    html, button, _ = compare.show(None, Request())  # type: ignore[arg-type]
    assert "Separate a song first" in html
    assert not button["visible"]


def test_figures_use_the_visitors_language(result: Path) -> None:
    drawn = compare.draw(result.name, Request("de"))["value"]  # type: ignore[arg-type]
    for word in (
        "Gesang",
        "Schlagzeug",
        "Genauigkeit und Trefferquote der Masken",
        "Orakel: Verhältnismaske, dieser Song",
    ):
        assert word in drawn


# -- blind test ------------------------------------------------------------------------------------


def test_sources_are_sorted_by_number_of_methods(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert blind_test.ratable_sources(result) == ["vocals", "drums", "bass", "other"]
    tracks = [["component 1", "component 2"], ["other", "drums", "residual"], ["drums", "vocals"]]
    groups = [{"id": str(n), "working": False, "tracks": [{"name": t} for t in its]} for n, its in enumerate(tracks)]
    monkeypatch.setattr(storage, "read_player", lambda folder: {"groups": groups})
    assert blind_test.ratable_sources(result) == ["drums", "vocals", "other", "component 1", "component 2"]


def test_a_blind_test_does_not_reveal_the_methods(result: Path) -> None:
    folder = blind_test.begin_test(result, "vocals")
    text = (folder / "player.json").read_text()
    for telling in ("hpss", "irm", "Harmonic", "Oracle", "estimate"):
        assert telling not in text
    group = {g["id"]: g for g in json.loads(text)["groups"]}["blind"]
    assert [track["name"] for track in group["tracks"]] == ["A", "B", "C", "D", "E"]  # 3 methods, reference, mixture
    levels = [track["level"] for track in group["tracks"]]
    assert max(levels) - min(levels) < 0.1
    assert not any(track["wav"] for track in group["tracks"])


def test_stimuli_are_shuffled_for_each_test(result: Path) -> None:
    orders = set()
    for _ in range(6):
        token = blind_test.begin_test(result, "drums").name
        rows = blind_test.reveal(token, "{}")["rows"]
        orders.add(tuple(row["method"] for row in sorted(rows, key=lambda row: row["letter"])))
    assert len(orders) > 1


def test_ratings_are_returned_with_their_methods(result: Path) -> None:
    folder = blind_test.begin_test(result, "vocals")
    answer = blind_test.reveal(folder.name, json.dumps({"A": 100, "B": 20, "C": 55.5, "D": None}))
    assert [row["rating"] for row in answer["rows"]] == [100, 55.5, 20, None, None]
    assert {row["method"] for row in answer["rows"]} == {"hpss", "mix", "irm", "references", "song"}
    scored = {row["method"]: row["SDR"] for row in answer["rows"]}
    assert scored["irm"] > scored["mix"]
    assert scored["song"] is None
    with Path(unquote(answer["csv"].removeprefix("gradio_api/file="))).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rating"] for row in rows] == ["100", "55.5", "20", "", ""]
    assert {row["source"] for row in rows} == {"vocals"}


@pytest.mark.parametrize("ratings", ["", "[]", '{"A": 101}', '{"A": "good"}', '{"Z": 5}', '{"A": NaN}', "null"])
def test_invalid_ratings_are_refused(result: Path, ratings: str) -> None:
    token = blind_test.begin_test(result, "vocals").name
    with pytest.raises(ValueError, match="one number from 0 to 100 for each letter"):
        blind_test.reveal(token, ratings)


def test_a_test_of_another_result_is_refused(result: Path) -> None:
    with pytest.raises(ValueError, match="no longer exists"):
        blind_test.reveal(result.name, "{}")


def test_song_names_cannot_inject_formulas_into_the_csv() -> None:
    assert blind_test._plain("=HYPERLINK()") == "'=HYPERLINK()"
    assert blind_test._plain("song") == "song"


# -- benchmark -------------------------------------------------------------------------------------


def test_the_benchmark_page_draws_violins_and_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    html = benchmark.draw(["open-unmix", "mix"], "SDR", True, None, "mine", Request())  # type: ignore[arg-type]
    assert "<img" in html
    assert "open-unmix \N{EN DASH} mix" in html
    assert "Wilcoxon" in html


def test_uploaded_scores_are_added_to_the_benchmark(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        frame = {"time": 0.0, "duration": 1.0, "metrics": dict.fromkeys(benchmark.METRICS, 5.0 + number)}
        path = tmp_path / f"track {number}.json"
        path.write_text(json.dumps({"targets": [{"name": "vocals", "frames": [frame]}]}))
        files.append(str(path))
    html = benchmark.draw([], "SDR", False, files, "<mine>", Request())  # type: ignore[arg-type]
    assert "&lt;mine&gt;" in html
    assert "6.00" in html


def test_invalid_score_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("{}")
    html = benchmark.draw(["mix"], "SDR", False, [str(path)], "x", Request())  # type: ignore[arg-type]
    assert "That did not work" in html
    nothing = benchmark.draw([], "SDR", False, None, "x", Request())  # type: ignore[arg-type]
    assert "no SDR to draw" in nothing


# -- small pieces ----------------------------------------------------------------------------------

NASTY = '<img src=x onerror="alert(1)">'


def test_names_are_escaped_in_html() -> None:
    pieces = (
        components.work(NASTY, [NASTY], problems=[NASTY]),
        components.figure(NASTY, Path("/x.png"), text=NASTY, note=NASTY),
        components.table((NASTY, "b"), [(NASTY, NASTY)], caption=NASTY),
        components.player(Path(f"/tmp/{NASTY}")),
    )
    for html in pieces:
        assert "<img src=x" not in html


def test_urls_of_files_are_quoted() -> None:
    assert components.file_url(Path("/tmp/a b/#.wav")) == "gradio_api/file=/tmp/a%20b/%23.wav"


def test_the_progress_bar_is_accessible() -> None:
    assert 'aria-valuenow="42"' in components.work("Demucs", share=0.42)
    assert 'aria-valuenow="100"' in components.work("Demucs", share=1.7)
    assert "progressbar" not in components.work("Demucs")


def test_blind_test_stimuli_last_at_most_thirty_seconds(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.ones((40 * 8000, 1)) * 0.1, 8000)
    sounds, rate = blind_test._levelled({"song": path})
    assert rate == 8000
    assert sounds["song"].shape[1] == 30 * 8000
