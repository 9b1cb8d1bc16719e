"""Scores over time, length and threshold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from separation.plots.spectrogram import Spectrogram, draw_waveform
from separation.plots.style import COLOURS, CYCLE, INK, style_axes

__all__ = ["TICKS", "draw_precision_recall", "draw_score_over_length", "draw_score_over_time"]

TICKS = (1, 2, 4, 7, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 36000)  # lengths in seconds


def draw_score_over_time(picture: Spectrogram, scores: Mapping[str, np.ndarray], *, name: str, metric: str) -> Figure:
    """Draw a score per frame under its waveform, one line per method, with gaps where it is undefined.

    Parameters
    ----------
    picture : Spectrogram
        Spectrogram of the reference or the mixture.
    scores : mapping of str to array
        Method -> score per frame of one second in dB, shape (frames,).
    name : str
        Name of the source; selects the waveform's colour.

    Raises
    ------
    ValueError
        If there is no method.
    """
    if not scores:
        raise ValueError("there are no scores to draw")
    figure = Figure(figsize=(7.2, 3.0), dpi=150, layout="constrained")
    figure.patch.set_alpha(0)
    wave, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2.6))
    peak = float(np.abs(picture.peaks).max())
    source_colour = COLOURS.get(name, COLOURS["mixture"])
    draw_waveform(wave, picture, source_colour, (0.0, picture.duration), peak)
    wave.set_ylabel(name, parse_math=False)
    for (method, values), colour in zip(scores.items(), _cycle(len(scores), without=source_colour), strict=True):
        time = np.arange(len(values)) + 0.5
        axes.plot(time, values, color=colour, linewidth=1.4, marker="o", markersize=2.5, label=method)
    axes.grid(axis="y", color=INK, alpha=0.25, linewidth=0.5)
    axes.set_ylabel(f"{metric} (dB)")
    axes.set_xlabel("time (s)")
    _legend(axes)
    for each in (wave, axes):
        style_axes(each)
    return figure


def draw_precision_recall(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, float]],
    *,
    chosen: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Draw precision against recall of masks, one line per label, with the average precision (AP) in the legend.

    Parameters
    ----------
    curves : mapping of str to (array, array, float)
        Precision and recall at every threshold, 0..1, and the average precision.
    chosen : mapping of str to (float, float), optional
        Precision and recall at the chosen threshold, drawn as a dot.

    Raises
    ------
    ValueError
        If there is no curve.
    """
    if not curves:
        raise ValueError("there are no curves to draw")
    figure = Figure(figsize=(3.4, 3.1), dpi=200, layout="constrained")
    figure.patch.set_alpha(0)
    plot = figure.subplots()
    colours = [COLOURS.get(label, colour) for label, colour in zip(curves, _cycle(len(curves)), strict=True)]
    for (label, (precision, recall, average)), colour in zip(curves.items(), colours, strict=True):
        plot.plot(recall, precision, color=colour, linewidth=1.5, label=f"{label}, AP {average:.2f}")
        if chosen and label in chosen:
            plot.plot(chosen[label][1], chosen[label][0], "o", color=colour, markersize=5)
    plot.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    plot.grid(color=INK, alpha=0.25, linewidth=0.5)
    marks = [Line2D([], [], color=INK, marker="o", markersize=5, linestyle="")] if chosen else []
    _legend(plot, *((mark, "at the chosen threshold") for mark in marks))
    style_axes(plot)
    return figure


def draw_score_over_length(points: Mapping[str, tuple[np.ndarray, np.ndarray]], *, metric: str) -> Figure:
    """Draw a score against the duration of the audio on a logarithmic axis: points, and a line of medians per length.

    Parameters
    ----------
    points : mapping of str to (array, array)
        Label -> durations in seconds and scores in dB, shape (points,) both; NaN is omitted.

    Raises
    ------
    ValueError
        If there are no points.
    """
    finite = {
        label: (lengths[np.isfinite(values)], values[np.isfinite(values)])
        for label, (lengths, values) in points.items()
        if np.isfinite(values).any()
    }
    if not finite:
        raise ValueError(f"there are no points to draw: no recording has a finite {metric}")
    figure = Figure(figsize=(6.4, 3.2), dpi=150, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    for (label, (lengths, values)), colour in zip(finite.items(), _cycle(len(finite)), strict=True):
        distinct = np.unique(lengths)
        medians = [np.median(values[lengths == length]) for length in distinct]
        axes.plot(distinct, medians, color=colour, linewidth=1.5, label=label)
        axes.scatter(lengths, values, s=12, color=colour, linewidths=0, alpha=0.8)
    axes.set_xscale("log")
    everything = np.concatenate([lengths for lengths, _ in finite.values()])
    shown = [tick for tick in TICKS if everything.min() * 0.9 <= tick <= everything.max() * 1.1]
    axes.xaxis.set_major_locator(FixedLocator(shown or sorted({float(everything.min()), float(everything.max())})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _duration(seconds)))
    axes.set(xlabel="length", ylabel=f"{metric} (dB)")
    axes.grid(color=INK, alpha=0.25, linewidth=0.5)
    _legend(axes)
    style_axes(axes)
    return figure


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3600 else f"{seconds / 3600:.3g} h"


def _cycle(count: int, without: str = "") -> list[str]:
    colours = [colour for colour in CYCLE if colour != without]
    return [colours[index % len(colours)] for index in range(count)]


def _legend(axes: Axes, *more: tuple[Line2D, str]) -> None:
    """Add a legend of all labelled lines, including labels with a leading underscore, which matplotlib omits."""
    lines = [(line, str(line.get_label())) for line in axes.get_lines()]
    named = [(line, label) for line, label in lines if not label.startswith("_child")] + list(more)
    legend = axes.legend([line for line, _ in named], [label for _, label in named], labelcolor=INK, frameon=False)
    for text in legend.get_texts():
        text.set_fontsize(8)
        text.set_parse_math(False)
