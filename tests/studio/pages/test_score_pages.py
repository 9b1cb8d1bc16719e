"""The pages of scores: Compare, Benchmark and the blind test, without a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from separation.evaluation.metrics import EXTRA_METRICS, FRAME_METRICS
from separation.studio.components import quality
from separation.studio.listening import blind_test, rating_agreement, rating_pool
from separation.studio.pages import benchmark, compare
from separation.studio.pages import blind_test as blind_page
from separation.studio.results import comparison, storage
from tests.studio.conftest import Request, run_session, short_song


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a result of three methods on seven seconds, enough for a test of significance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("separation.studio.results.storage.RESULTS", tmp_path_factory.mktemp("results"))
        return run_session(short_song(7.0, 1.0), "hpss", "mix", "irm").folder


@pytest.fixture(autouse=True)
def use_results_folder(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "RESULTS", result.parent)


# -- compare ---------------------------------------------------------------------------------------


def test_compare_shows_the_result_or_asks_for_one(result: Path) -> None:
    assert 'view="compare"' in compare.show(result.name, Request())  # type: ignore[arg-type]
    assert "Separate a song first" in compare.show(None, Request())  # type: ignore[arg-type]


def test_a_result_is_ranked_without_oracles_and_the_mixture(result: Path) -> None:
    found = comparison.compare_result(result)
    assert list(found["sources"]) == ["vocals", "drums", "bass", "other"]
    assert [metric["name"] for metric in found["metrics"]] == ["SDR", "ISR", "SIR", "SAR", "uSDR", "SI-SDR", "mask AP"]
    assert {metric["name"]: metric["unit"] for metric in found["metrics"]}["mask AP"] == ""
    assert (found["floor"], set(found["outside"])) == ("mix", {"mix", "irm"})
    drums = found["sources"]["drums"]["SDR"]
    assert drums["best"] == "hpss"
    assert drums["scores"]["irm"] > drums["scores"]["hpss"]
    json.dumps(found, allow_nan=False)


def test_further_metrics_are_ranked_too_without_a_unit(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = storage.read_player(result)
    for group in document["groups"]:
        for number, target in enumerate((group["scores"] or {"targets": {}})["targets"].values()):
            target |= dict.fromkeys(EXTRA_METRICS, number + (60.0 if group["id"] == "hpss" else 90.0))
    monkeypatch.setattr(storage, "read_player", lambda folder: document)
    found = comparison.compare_result(result)
    units = {metric["name"]: metric["unit"] for metric in found["metrics"]}
    assert {name: units[name] for name in ("SDR", "SI-SDR")} == {"SDR": "dB", "SI-SDR": "dB"}
    assert {name: units[name] for name in EXTRA_METRICS} == dict.fromkeys(EXTRA_METRICS, "")
    vocals = found["sources"]["vocals"]["l1_freq"]
    assert (vocals["best"], vocals["verdict"], vocals["scores"]["mix"]) == ("hpss", "only", 90.0)


def test_two_equal_methods_tie(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = storage.read_player(result)
    twin = next(dict(group, id="demucs") for group in document["groups"] if group["id"] == "hpss")
    monkeypatch.setattr(storage, "read_player", lambda folder: {"groups": [*document["groups"], twin]})
    found = comparison.compare_result(result)["sources"]["drums"]["SDR"]
    assert (found["verdict"], found["ties"]) == ("tie", ["demucs"])


def test_published_scores_are_packed_without_loss() -> None:
    from separation.evaluation.published import published_scores

    packed, scores = comparison.published("SIR"), published_scores("SIR")
    assert len(packed["tracks"]) == 50
    for target, systems in scores.items():
        for system, tracks in systems.items():
            its = dict(zip(packed["tracks"], packed["targets"][target][system], strict=True))
            assert {track: value for track, value in its.items() if value is not None} == tracks
    with pytest.raises(ValueError, match="no published 'uSDR'"):
        comparison.published("uSDR")


# -- benchmark -------------------------------------------------------------------------------------


def drawn(html: str) -> dict[str, Any]:
    """The document of a benchmark element."""
    document = json.loads(unescape(html.split('scores="')[1].split('"')[0]))
    assert isinstance(document, dict)
    return document


def test_the_benchmark_has_scores_intervals_tests_and_a_ranking() -> None:
    document = drawn(benchmark.draw(["open-unmix", "hpss", "mix"], "SDR", True, None, "mine", Request()))  # type: ignore[arg-type]
    assert document["published"]
    assert list(document["ours"]["targets"])[:4] == ["vocals", "drums", "bass", "other"]
    assert len(document["ours"]["tracks"]) == 20
    vocals = document["comparison"]["targets"]["vocals"]
    assert set(vocals["methods"]) == {"open-unmix", "hpss", "mix"}
    assert vocals["methods"]["open-unmix"]["low"] < vocals["methods"]["open-unmix"]["median"]
    assert {tuple(pair["methods"]) for pair in vocals["comparisons"]} == {
        ("open-unmix", "mix"),
        ("open-unmix", "hpss"),
        ("mix", "hpss"),
    }
    ranked = document["comparison"]["ranking"]["vocals"]["SDR"]
    assert (ranked["best"], ranked["verdict"]) == ("open-unmix", "sure")


def test_the_same_choice_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = (["hpss", "mix"], "SIR", False, None, "mine", Request())
    first = benchmark.draw(*choice)  # type: ignore[arg-type]
    monkeypatch.setattr(benchmark, "_comparison", lambda *_: pytest.fail("compared again"))
    assert benchmark.draw(*choice) == first  # type: ignore[arg-type]


def test_the_benchmark_offers_the_metrics_of_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert quality.our_metrics() == ["SDR", "ISR", "SIR", "SAR", "uSDR", "SI-SDR"]
    assert drawn(benchmark.draw(["mix"], "SDR", False, None, "", Request()))["unit"] == "dB"  # type: ignore[arg-type]
    results = tmp_path / "results.csv"
    results.write_text("method,track,target,SDR,fullness\nmix,a,vocals,1.0,80.5\nhpss,a,vocals,2.0,\n")
    monkeypatch.setattr(quality, "RESULTS", results)
    quality.our_scores.cache_clear()
    try:
        assert quality.our_metrics() == ["SDR", "fullness"]
        document = drawn(benchmark.draw(["mix", "hpss"], "fullness", True, None, "", Request()))  # type: ignore[arg-type]
    finally:
        quality.our_scores.cache_clear()
    assert (document["metric"], document["unit"]) == ("fullness", "")
    assert document["ours"]["targets"] == {"vocals": {"mix": [80.5]}}


def museval_files(folder: Path, value: float) -> list[str]:
    for number in range(3):
        frame = {"time": 0.0, "duration": 1.0, "metrics": dict.fromkeys(FRAME_METRICS, value + number)}
        (folder / f"track {number}.json").write_text(json.dumps({"targets": [{"name": "vocals", "frames": [frame]}]}))
    return sorted(map(str, folder.glob("*.json")))


def test_uploaded_scores_are_added_to_the_benchmark(tmp_path: Path) -> None:
    files = museval_files(tmp_path, 5.0)
    html = benchmark.draw([], "SDR", False, files, "<mine>", Request())  # type: ignore[arg-type]
    assert "<mine>" not in html
    document = drawn(html)
    assert document["comparison"]["targets"]["vocals"]["methods"]["<mine>"]["median"] == 6.0
    assert document["ours"]["targets"]["vocals"]["<mine>"] == [5.0, 6.0, 7.0]


def test_uploaded_scores_keep_the_name_of_their_track(tmp_path: Path) -> None:
    """Also if the first track lacks a source: comparisons are made track by track."""
    frame = {"time": 0.0, "duration": 1.0, "metrics": dict.fromkeys(FRAME_METRICS, 3.0)}
    for name, sources in {"a": ["vocals"], "b": ["vocals", "bass"]}.items():
        targets = [{"name": source, "frames": [frame]} for source in sources]
        (tmp_path / f"{name}.json").write_text(json.dumps({"targets": targets}))
    archive = tmp_path / "scores.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in ("a", "b"):
            zipped.write(tmp_path / f"{name}.json", f"folder/{name}.json")
    for files in ([str(archive)], sorted(map(str, tmp_path.glob("*.json")))):
        scores = benchmark.add(files, "mine", "SDR", {})
        assert scores == {"vocals": {"mine": {"a": 3.0, "b": 3.0}}, "bass": {"mine": {"b": 3.0}}}


def test_large_score_files_are_refused_unread(tmp_path: Path) -> None:
    """A document in memory is twenty times its size, and an archive of zeros a thousandth."""
    (tmp_path / "long.json").write_text("[" * (int(benchmark.MOST_BYTES) + 1))
    with zipfile.ZipFile(tmp_path / "long.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "long.json", "long.json")
    for name in ("long.json", "long.zip"):
        with pytest.raises(ValueError, match=r"'long\.json' is larger than 8 MB"):
            benchmark.add([str(tmp_path / name)], "mine", "SDR", {})


def test_infinite_uploaded_scores_do_not_break_the_page(tmp_path: Path) -> None:
    files = museval_files(tmp_path, float("inf"))
    document = drawn(benchmark.draw(["mix"], "SDR", False, files, "mine", Request()))  # type: ignore[arg-type]
    assert set(document["ours"]["targets"]["vocals"]["mine"]) == {None}


def test_invalid_score_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("{}")
    html = benchmark.draw(["mix"], "SDR", False, [str(path)], "x", Request())  # type: ignore[arg-type]
    assert "That did not work" in html


# -- blind test ------------------------------------------------------------------------------------


def test_sources_are_sorted_by_number_of_methods(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert blind_test.ratable_sources(result) == ["vocals", "drums", "bass", "other"]
    tracks = [["component 1", "component 2"], ["other", "drums", "residual"], ["drums", "vocals"]]
    groups = [{"id": str(n), "working": False, "tracks": [{"name": t} for t in its]} for n, its in enumerate(tracks)]
    monkeypatch.setattr(storage, "read_player", lambda folder: {"groups": groups})
    assert blind_test.ratable_sources(result) == ["drums", "vocals", "other", "component 1", "component 2"]


@pytest.fixture(scope="module")
def vocals_test(result: Path) -> Path:
    """The folder of a blind test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "RESULTS", result.parent)
        return blind_test.begin_test(result, "vocals")


def test_a_blind_test_does_not_reveal_the_methods(vocals_test: Path) -> None:
    text = (vocals_test / "player.json").read_text()
    for telling in ("hpss", "irm", "Harmonic", "Oracle", "estimate"):
        assert telling not in text
    group = {g["id"]: g for g in json.loads(text)["groups"]}["blind"]
    assert [track["name"] for track in group["tracks"]] == ["A", "B", "C", "D", "E"]  # 3 methods, reference, mixture
    levels = [track["level"] for track in group["tracks"]]
    assert max(levels) - min(levels) < 0.1
    assert not any(track["wav"] for track in group["tracks"])


def test_stimuli_are_shuffled_for_each_test(result: Path) -> None:
    orders = set()
    for _ in range(10):  # two may agree by chance
        token = blind_test.begin_test(result, "drums").name
        rows = blind_test.reveal(token, "{}")["rows"]
        orders.add(tuple(row["method"] for row in sorted(rows, key=lambda row: row["letter"])))
        if len(orders) > 1:
            break
    assert len(orders) > 1


def test_several_stems_make_one_session(result: Path) -> None:
    html = blind_page.begin(result.name, ["vocals", "bass"], Request())  # type: ignore[arg-type]
    tests = json.loads(unescape(html.split('tests="')[1].split('"')[0]))
    assert [test["source"] for test in tests] == ["vocals", "bass"]
    assert len({test["token"] for test in tests}) == 2
    assert f'result="{result.name}"' in html
    assert "Choose at least one stem" in blind_page.begin(result.name, [], Request())  # type: ignore[arg-type]


def test_ratings_are_returned_with_their_methods_and_all_metrics(vocals_test: Path) -> None:
    rows = blind_test.reveal(vocals_test.name, json.dumps({"A": 100, "B": 20, "C": 55.5, "D": None}))["rows"]
    assert [row["rating"] for row in rows] == [100, 55.5, 20, None, None]
    assert {row["method"] for row in rows} == {"hpss", "mix", "irm", "references", "song"}
    assert {(row["song"], row["source"]) for row in rows} == {("Night drive", "vocals")}
    scored = {row["method"]: row["scores"] for row in rows}
    assert scored["irm"]["SDR"] > scored["mix"]["SDR"]
    assert set(scored["mix"]) == {"SDR", "ISR", "SIR", "SAR", "uSDR", "SI-SDR", "mask AP"}
    assert scored["song"] == scored["references"] == {}


@pytest.mark.parametrize(
    "ratings",
    [
        "",
        "[]",
        '{"A": 101}',
        '{"A": "good"}',
        '{"Z": 5}',
        '{"A": NaN}',
        "null",
        pytest.param("[" * 100_000, id="nested"),
    ],
)
def test_invalid_ratings_are_refused(vocals_test: Path, ratings: str) -> None:
    with pytest.raises(ValueError, match="one number from 0 to 100 for each letter"):
        blind_test.reveal(vocals_test.name, ratings)


def test_a_test_goes_on_after_a_restart_and_its_key_expires(result: Path) -> None:
    token = blind_test.begin_test(result, "bass").name
    show = f"from separation.studio.listening import blind_test; print(blind_test.reveal({token!r}, '{{}}')['rows'])"
    another = dict(os.environ, STEMSCOPE_RESULTS=str(result.parent))
    said = subprocess.run([sys.executable, "-c", show], env=another, capture_output=True, text=True, check=True)
    assert said.stdout == f"{blind_test.reveal(token, '{}')['rows']}\n"
    key = storage.hidden_folder() / f"{token}.json"
    os.utime(key, (0, 0))
    storage.remove_expired()
    assert not key.exists()
    with pytest.raises(ValueError, match="this test no longer exists"):
        blind_test.reveal(token, "{}")


def test_a_test_of_another_result_is_refused(result: Path) -> None:
    with pytest.raises(ValueError, match="no longer exists"):
        blind_test.reveal(result.name, "{}")


def test_blind_test_stimuli_last_at_most_thirty_seconds(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.ones((40 * 8000, 1)) * 0.1, 8000)
    sounds, rate = blind_test._levelled({"song": path})
    assert rate == 8000
    assert sounds["song"].shape[1] == 30 * 8000


# -- agreement -------------------------------------------------------------------------------------


def test_ratings_are_shared_only_with_consent_once_and_without_the_song(result: Path) -> None:
    ratings = json.dumps({"A": 90, "B": 10, "C": 50, "D": 40, "E": None})
    token = blind_test.begin_test(result, "vocals").name
    blind_test.reveal(token, ratings)
    assert rating_pool.pooled_ratings() == []
    rows = blind_test.reveal(token, ratings, share=True)["rows"]
    blind_test.reveal(token, ratings, share=True)
    expected = [row for row in rows if row["rating"] is not None and row["scores"]]
    pooled = rating_pool.pooled_ratings()
    assert [row["rating"] for row in pooled] == [row["rating"] for row in expected]
    assert all(set(row) == {"source", "method", "rating", "scores"} for row in pooled)


def test_the_pool_is_limited_and_survives_a_broken_line(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"source": "bass", "method": "mix", "rating": 50, "scores": {"SDR": 1.0}, "song": "secret"}
    monkeypatch.setattr(rating_pool, "MAX_ROWS", 3)
    assert rating_pool.add_ratings([row, row]) == 2
    with rating_pool._file().open("a") as file:
        file.write('{"source": "ba\n')
    assert rating_pool.add_ratings([row, row]) == 1
    assert len(rating_pool.pooled_ratings()) == 3
    assert "secret" not in rating_pool._file().read_text()


def test_further_metrics_are_compared_with_ratings_if_they_are_known() -> None:
    rows = [{"rating": 10 * n, "scores": {"SDR": 1.0 * n} | ({"log_wmse": 2.0 * n} if n else {})} for n in range(6)]
    visitor = rating_agreement.compare_ratings(json.dumps(rows))["visitor"]
    assert {metric: its["count"] for metric, its in visitor.items()} == {"SDR": 6, "log_wmse": 5}


def test_ratings_of_a_visitor_and_of_all_are_compared_with_each_metric() -> None:
    rows = [{"rating": 10 * n, "scores": {"SDR": float(n), "SAR": float(-n), "SIR": None}} for n in range(6)]
    rating_pool.add_ratings({"source": "x", "method": "y", **row} for row in rows[:5])
    found = rating_agreement.compare_ratings(json.dumps(rows))
    assert found["visitor"]["SDR"]["correlation"] == pytest.approx(1)
    assert found["visitor"]["SAR"]["correlation"] == pytest.approx(-1)
    assert found["visitor"]["SIR"]["count"] == 0
    assert (found["visitor"]["SDR"]["count"], found["pooled"]["SDR"]["count"]) == (6, 5)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    "ratings",
    [
        "",
        "null",
        "{}",
        "[1]",
        "[" * 100_000,
        '[{"rating": "5", "scores": {}}]',
        '[{"rating": 5}]',
        '[{"scores": {"SDR": 1}}]',
        '[{"rating": 5, "scores": {"SDR": Infinity}}]',
        '[{"rating": true, "scores": {}}]',
        '[{"rating": 5, "scores": {"SDR": 1%s}}]' % ("0" * 400),
        '[{"rating": NaN, "scores": {}}]',
        json.dumps([{"rating": 1, "scores": {}}] * (rating_agreement.MAX_RATINGS + 1)),
    ],
    ids=lambda text: text[:30],
)
def test_ratings_of_another_form_are_refused(ratings: str) -> None:
    with pytest.raises(ValueError, match="the ratings must be a list"):
        rating_agreement.compare_ratings(ratings)


def test_benchmark_knows_which_tracks_this_studio_can_play(monkeypatch: pytest.MonkeyPatch) -> None:
    track = "AM Contra - Heart Peripheral"
    monkeypatch.setattr(benchmark.songs, "musdb_tracks", lambda: {f"{track} (test)": None, f"{track} (train)": None})
    html = benchmark.draw(["mix"], "SDR", False, None, "", Request())  # type: ignore[arg-type]
    document = json.loads(unescape(html.split('scores="')[1].split('"')[0]))
    assert document["songs"] == {track: f"{track} (test)"}
