"""Figures of scores show what they were given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from separation.plots import (
    Spectrogram,
    draw_precision_recall,
    draw_score_over_length,
    draw_score_over_time,
    draw_violins,
    save,
)
from separation.plots.style import CHOSEN, CHOSEN_INK, COLOURS

RANDOM = np.random.default_rng(0)


def violins(scores: dict[str, dict[str, np.ndarray]], **more: object) -> Figure:
    return draw_violins(scores, metric="SDR", aggregation="one point per track", **more)  # type: ignore[arg-type]


def labels(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def points(axes: Axes) -> int:
    """Of the tracks: circles and the triangles at the edge, not the violins' bodies."""
    collections: list[Any] = [c for c in axes.collections if type(c).__name__ == "PathCollection"]
    return sum(len(collection.get_offsets()) for collection in collections)


@pytest.fixture(scope="module", params=[1, 2, 40])
def many(request: pytest.FixtureRequest) -> Figure:
    """The violins of so many methods."""
    names = [f"Méthode {n}" for n in range(request.param)]
    scores = {target: {name: RANDOM.normal(n, 2, 20) for n, name in enumerate(names)} for target in ("vocals", "bass")}
    return violins(scores)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_violins_of_any_number_of_methods(tmp_path: Path, suffix: str, many: Figure) -> None:
    path = save(many, tmp_path / f"figure{suffix}")
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert path.read_bytes().startswith(starts[suffix])


def test_methods_are_sorted_by_median_and_the_first_is_highlighted() -> None:
    scores = {"vocals": {"good": RANDOM.normal(9, 1, 30), "bad": RANDOM.normal(0, 1, 30), "fair": np.arange(5.0)}}
    figure = violins(scores, chosen=["fair"])
    (axes,) = figure.axes
    assert labels(axes) == ["bad", "fair", "good"]
    bodies: list[Any] = [c for c in axes.collections if type(c).__name__ == "FillBetweenPolyCollection"]
    assert sorted(to_hex(body.get_facecolor()[0]) == CHOSEN for body in bodies) == [False, False, True]
    assert [label.get_color() == CHOSEN_INK for label in axes.get_xticklabels()] == [False, True, False]
    assert axes.get_ylabel() == "vocals\nSDR (dB)"


def test_each_track_is_one_point() -> None:
    values = np.append(RANDOM.normal(5, 1, 20), [np.nan, -400.0, np.inf])
    (axes,) = violins({"vocals": {"method": values}}).axes
    assert points(axes) == 21  # NaN and infinity have no place
    assert axes.get_ylim()[0] > -20  # one stray track does not flatten all others


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0, 2.0, 2.0, 2.0], [1.0, 2.0]])
def test_few_scores_are_drawn_as_points(values: list[float]) -> None:
    (axes,) = violins({"vocals": {"method": np.array(values)}}).axes
    assert points(axes) == len(values)
    assert all(type(c).__name__ == "PathCollection" for c in axes.collections)


def test_outlying_methods_are_drawn_as_triangles_at_the_edge() -> None:
    scores = {f"method {n}": RANDOM.normal(5, 1, 50) for n in range(20)} | {"awful": RANDOM.normal(-60, 0.1, 50)}
    (axes,) = violins({"vocals": scores}).axes
    assert labels(axes)[0] == "awful"
    assert points(axes) == 21 * 50
    assert sum(type(c).__name__ == "FillBetweenPolyCollection" for c in axes.collections) == 20
    assert axes.get_ylim()[0] > -5


def test_a_single_track_has_a_readable_axis() -> None:
    (axes,) = violins({"vocals": {"method": np.array([5.2])}}).axes
    low, high = axes.get_ylim()
    assert low < 5.2 < high
    assert sum(low <= tick <= high for tick in axes.get_yticks()) >= 2


def test_names_are_not_interpreted_as_markup(tmp_path: Path) -> None:
    name = r"_größer $\foo$"
    save(violins({name: {name: np.arange(5.0)}}), tmp_path / "violins.png")
    figures = [
        draw_score_over_time(picture(), {name: np.ones(6)}, name=name, metric="SDR"),
        draw_precision_recall({name: (np.ones(3), np.linspace(1, 0, 3), 1.0)}),
        draw_score_over_length({name: (np.array([7.0]), np.array([1.0]))}, metric="SDR"),
    ]
    for number, figure in enumerate(figures):
        legend = figure.axes[-1].get_legend()
        assert legend is not None
        assert [text.get_text()[: len(name)] for text in legend.get_texts()] == [name]
        save(figure, tmp_path / f"figure-{number}.png")


def test_a_method_without_a_target_leaves_a_gap() -> None:
    scores = {
        "vocals": {"a": np.ones(5), "b": 2 * np.ones(5)},
        "bass": {"b": np.ones(5)},
        "other": {"a": np.full(3, np.nan)},
    }
    figure = violins(scores)
    assert len(figure.axes) == 2  # nobody has a score for other
    assert labels(figure.axes[-1]) == ["a", "b"]
    assert [points(axes) for axes in figure.axes] == [10, 5]


def test_empty_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no SDR to draw"):
        violins({"vocals": {"a": np.array([np.nan])}})
    with pytest.raises(ValueError, match="no scores"):
        draw_score_over_time(picture(), {}, name="vocals", metric="SDR")
    with pytest.raises(ValueError, match="no curves"):
        draw_precision_recall({})
    with pytest.raises(ValueError, match="no points"):
        draw_score_over_length({"a": (np.array([]), np.array([]))}, metric="SDR")


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a figure is a \.png, \.svg or \.pdf file, got 'figure.txt'"):
        save(violins({"vocals": {"a": np.ones(5)}}), tmp_path / "figure.txt")


def picture() -> Spectrogram:
    peaks = np.stack([-np.ones(50), np.ones(50)]).astype(np.float32) / 2
    return Spectrogram(peaks=peaks, power=np.ones((4, 50)), duration=6.5, sample_rate=44100)


def test_scores_over_time_align_with_the_waveform(tmp_path: Path) -> None:
    scores = {"a": np.array([1.0, np.nan, 3.0, 4.0, 5.0, 6.0]), "b": np.zeros(6)}
    figure = draw_score_over_time(picture(), scores, name="vocals", metric="SIR")
    wave, axes = figure.axes
    line = axes.get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), np.arange(6) + 0.5)
    np.testing.assert_array_equal(line.get_ydata(), scores["a"])
    assert COLOURS["vocals"] not in [line.get_color() for line in axes.get_lines()]  # that is the waveform's
    assert wave.get_xlim() == (0, 6.5)
    assert axes.get_xlim() == (0, 6.5)
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("SIR (dB)", "time (s)")
    assert save(figure, tmp_path / "figure.svg").stat().st_size > 1000


def test_precision_recall_curves() -> None:
    precision, recall = np.linspace(0.2, 1, 11), np.linspace(1, 0, 11)
    figure = draw_precision_recall({"vocals": (precision, recall, 0.614)}, chosen={"vocals": (0.6, 0.5)})
    (axes,) = figure.axes
    curve, dot = axes.get_lines()
    place: Any = dot.get_xydata()
    np.testing.assert_array_equal(curve.get_xdata(), recall)
    np.testing.assert_array_equal(curve.get_ydata(), precision)
    assert place.tolist() == [[0.5, 0.6]]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "vocals, AP 0.61",
        "at the chosen threshold",
    ]


def test_lengths_are_labelled_in_seconds_and_minutes() -> None:
    lengths = np.array([7.0, 7.0, 60.0, 1800.0])
    figure = draw_score_over_length({"whole": (lengths, np.array([4.0, 6.0, 3.0, 1.0]))}, metric="SDR")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [5.0, 3.0, 1.0])
    figure.canvas.draw()
    assert labels(axes) == ["7 s", "15 s", "30 s", "1 min", "2 min", "5 min", "10 min", "30 min"]


def test_undefined_scores_do_not_extend_the_length_axis() -> None:
    lengths, scores = np.array([3.0, 3.0, 3.4]), np.array([np.nan, np.nan, 2.0])
    figure = draw_score_over_length({"some": (lengths, scores), "none": (lengths, np.full(3, np.nan))}, metric="SDR")
    (axes,) = figure.axes
    line: Any = axes.get_lines()[0].get_xydata()
    assert line.tolist() == [[3.4, 2.0]]
    assert len(axes.get_lines()) == 1
    figure.canvas.draw()
    assert labels(axes) == ["3.4 s"]
    with pytest.raises(ValueError, match="no recording has a finite SDR"):
        draw_score_over_length({"none": (lengths, np.full(3, np.nan))}, metric="SDR")
