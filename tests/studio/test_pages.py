"""The pages' handlers, without a server."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from separation.studio import benchmark_page, blind_page, cards, compare_page, results, separate_page, words
from tests.studio.conftest import short_song, work


class Request:
    """What a handler sees of a visitor."""

    def __init__(self, language: str = "en", **query: str) -> None:
        self.headers = {"accept-language": language}
        self.query_params = query
        self.session_hash = "somebody"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three methods, one of which is another tool's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("separation.studio.results.RESULTS", tmp_path_factory.mktemp("results"))
        return work(short_song(), "hpss", "mix", "irm").folder


@pytest.fixture(autouse=True)
def here(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", result.parent)


# -- languages -------------------------------------------------------------------------------------


def test_all_languages_have_the_same_words() -> None:
    files = sorted(Path(words.__file__).parents[2].glob("assets/languages/*.json"))
    keys = {path.stem: json.loads(path.read_text("utf-8")) for path in files}
    assert set(keys) >= {"en", "de"}
    for language, texts in keys.items():
        assert set(texts) == set(keys["en"]), language
        for key, text in texts.items():  # the same blanks to fill in
            assert sorted(part for part in text.split() if "{" in part) is not None
            assert set(_blanks(text)) == set(_blanks(keys["en"][key])), (language, key)


def _blanks(text: str) -> list[str]:
    return [part.split("}")[0] for part in text.split("{")[1:]]


def test_a_visitor_is_spoken_to_in_their_language() -> None:
    assert words.words_for(Request("de-AT,de;q=0.9,en;q=0.5"))("separate") == "Trennen"  # type: ignore[arg-type]
    assert words.words_for(Request("fr,en"))("separate") == "Separate"  # type: ignore[arg-type]
    assert words.words_for(None)("separate") == "Separate"


# -- separate --------------------------------------------------------------------------------------


def test_a_link_finds_its_result_and_a_wrong_one_says_so(result: Path) -> None:
    status, place, token = separate_page.restore(Request(result=result.name))  # type: ignore[arg-type]
    assert "Done" in status
    assert result.name in place["value"]
    assert token == result.name
    status, _, token = separate_page.restore(Request(result="a" * 22))  # type: ignore[arg-type]
    assert "kept for an hour" in status
    assert token is None


# -- compare ---------------------------------------------------------------------------------------


def test_compare_shows_the_result_and_draws_its_figures(result: Path) -> None:
    html, button, _ = compare_page.show(result.name, Request())  # type: ignore[arg-type]
    assert 'view="compare"' in html
    assert button["visible"]
    drawn = compare_page.draw(result.name, Request())["value"]  # type: ignore[arg-type]
    assert drawn.count("<img") == 5  # a curve for each of four targets, and the violins
    assert (result / "violins.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_result_compare_says_what_to_do() -> None:
    html, button, _ = compare_page.show(None, Request())  # type: ignore[arg-type]
    assert "Separate a song first" in html
    assert not button["visible"]


# -- blind test ------------------------------------------------------------------------------------


def test_a_blind_test_hides_what_is_behind_the_letters(result: Path) -> None:
    folder = blind_page.begin(result, "vocals")
    text = (folder / "player.json").read_text()
    for telling in ("hpss", "irm", "Harmonic", "Oracle", "estimate"):
        assert telling not in text
    group = {g["id"]: g for g in json.loads(text)["groups"]}["blind"]
    assert [track["name"] for track in group["tracks"]] == ["A", "B", "C", "D", "E"]  # 3 methods, reference, mixture
    levels = [track["level"] for track in group["tracks"]]
    assert max(levels) - min(levels) < 0.1
    assert not any(track["wav"] for track in group["tracks"])


def test_the_order_is_another_each_time(result: Path) -> None:
    orders = set()
    for _ in range(6):
        token = blind_page.begin(result, "drums").name
        rows = blind_page.reveal(token, "{}")["rows"]
        orders.add(tuple(row["method"] for row in sorted(rows, key=lambda row: row["letter"])))
    assert len(orders) > 1


def test_ratings_come_back_with_what_they_were_for(result: Path) -> None:
    folder = blind_page.begin(result, "vocals")
    answer = blind_page.reveal(folder.name, json.dumps({"A": 100, "B": 20, "C": 55.5, "D": None}))
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
def test_what_is_no_rating_is_refused(result: Path, ratings: str) -> None:
    token = blind_page.begin(result, "vocals").name
    with pytest.raises(ValueError, match="numbers from 0 to 100"):
        blind_page.reveal(token, ratings)


def test_another_result_is_no_test(result: Path) -> None:
    with pytest.raises(ValueError, match="not there any more"):
        blind_page.reveal(result.name, "{}")


def test_a_song_called_like_a_formula_is_no_formula_in_the_csv() -> None:
    assert blind_page._plain("=HYPERLINK()") == "'=HYPERLINK()"
    assert blind_page._plain("song") == "song"


# -- benchmark -------------------------------------------------------------------------------------


def test_the_benchmark_draws_and_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    html = benchmark_page.draw(["open-unmix", "mix"], "SDR", True, None, "mine", Request())  # type: ignore[arg-type]
    assert "<img" in html
    assert "open-unmix - mix" in html
    assert "Wilcoxon" in html


def test_own_scores_join_it(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        frame = {"time": 0.0, "duration": 1.0, "metrics": dict.fromkeys(benchmark_page.METRICS, 5.0 + number)}
        path = tmp_path / f"track {number}.json"
        path.write_text(json.dumps({"targets": [{"name": "vocals", "frames": [frame]}]}))
        files.append(str(path))
    html = benchmark_page.draw([], "SDR", False, files, "<mine>", Request())  # type: ignore[arg-type]
    assert "&lt;mine&gt;" in html
    assert "6.00" in html


def test_what_are_no_scores_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("{}")
    html = benchmark_page.draw(["mix"], "SDR", False, [str(path)], "x", Request())  # type: ignore[arg-type]
    assert "That did not work" in html
    nothing = benchmark_page.draw([], "SDR", False, None, "x", Request())  # type: ignore[arg-type]
    assert "no SDR to draw" in nothing


# -- small pieces ----------------------------------------------------------------------------------

NASTY = '<img src=x onerror="alert(1)">'


def test_names_are_escaped_wherever_they_are_shown() -> None:
    pieces = (
        cards.work(NASTY, [NASTY], problems=[NASTY]),
        cards.figure(NASTY, Path("/x.png"), text=NASTY, note=NASTY),
        cards.table((NASTY, "b"), [(NASTY, NASTY)], caption=NASTY),
        cards.player(Path(f"/tmp/{NASTY}")),
    )
    for html in pieces:
        assert "<img src=x" not in html


def test_addresses_of_files_are_quoted() -> None:
    assert cards.file_url(Path("/tmp/a b/#.wav")) == "gradio_api/file=/tmp/a%20b/%23.wav"


def test_the_bar_tells_assistive_technology_how_far_it_is() -> None:
    assert 'aria-valuenow="42"' in cards.work("Demucs", share=0.42)
    assert 'aria-valuenow="100"' in cards.work("Demucs", share=1.7)
    assert "progressbar" not in cards.work("Demucs")


def test_blind_stimuli_are_thirty_seconds_at_most(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.ones((40 * 8000, 1)) * 0.1, 8000)
    sounds, rate = blind_page._levelled({"song": path})
    assert rate == 8000
    assert sounds["song"].shape[1] == 30 * 8000
