"""What scores look like: violins over tracks, scores over a track, over length, and precision over recall."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MultipleLocator, NullLocator

from separation.plots.sound import SoundPicture, draw_waveform
from separation.plots.style import CHOSEN, CHOSEN_INK, COLOURS, CYCLE, INK, tone_down

__all__ = ["draw_precision_recall", "draw_score_over_length", "draw_score_over_time", "draw_violins"]

OTHERS = "#6f8fb5"  # the methods that the chosen ones are seen among
SHAPED = 4  # tracks that a violin needs; fewer are points
TICKS = (1, 2, 4, 7, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 36000)  # lengths in seconds


# -- violins ---------------------------------------------------------------------------------------


def draw_violins(
    scores: Mapping[str, Mapping[str, np.ndarray]],
    *,
    metric: str,
    aggregation: str,
    chosen: Collection[str] = (),
) -> Figure:
    """One row per target, one column per method, the methods sorted by the mean over the targets of their medians.

    A violin holds its tracks as points, a bar from quartile to quartile and the median as a line.
    What lies far from all else is a triangle at the edge, outside of the violin.

    Parameters
    ----------
    scores : mapping of str to mapping of str to array
        Target -> method -> score per track, dB; NaN is left out.
    metric : str
        Names the axis.
    aggregation : str
        What a point is, written below.
    chosen : collection of str
        Methods in yellow; the others are blue.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    finite = {
        target: {method: values[np.isfinite(values)] for method, values in methods.items()}
        for target, methods in scores.items()
    }
    finite = {target: {m: v for m, v in methods.items() if len(v)} for target, methods in finite.items()}
    finite = {target: methods for target, methods in finite.items() if methods}
    if not finite:
        raise ValueError(f"there is no {metric} to draw: no track has one")
    order = _by_median(finite)
    width = max(3.6, 1.2 + (0.55 if len(order) <= 12 else 0.3) * len(order))
    figure = Figure(figsize=(width, 0.9 + 1.7 * len(finite)), dpi=150, layout="constrained")
    figure.patch.set_alpha(0)
    rows = figure.subplots(len(finite), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (target, methods) in zip(rows, finite.items(), strict=True):
        _draw_row(axes, methods, order, chosen)
        axes.set_ylabel(f"{target}\n{metric} (dB)", parse_math=False)
        tone_down(axes)
    bottom = rows[-1]
    bottom.xaxis.set_major_locator(FixedLocator(range(len(order))))
    crowded = len(order) > 12
    bottom.set_xticklabels(order, rotation=90 if crowded else 30, ha="center" if crowded else "right")
    for label in bottom.get_xticklabels():
        label.set_parse_math(False)  # a method is called what its folder is called, dollars and all
        if label.get_text() in chosen:
            label.set_color(CHOSEN_INK)
            label.set_fontweight("bold")
    figure.supxlabel(aggregation, fontsize=8, color=INK)
    return figure


def _by_median(scores: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """The methods, worst first; each by the targets it has, relative to what all methods reach on these."""
    usual = {target: np.median([np.median(v) for v in methods.values()]) for target, methods in scores.items()}
    lead: dict[str, list[float]] = {}
    for target, methods in scores.items():
        for method, values in methods.items():
            lead.setdefault(method, []).append(float(np.median(values) - usual[target]))
    return sorted(lead, key=lambda method: float(np.mean(lead[method])))


def _draw_row(axes: Axes, methods: Mapping[str, np.ndarray], order: list[str], chosen: Collection[str]) -> None:
    everything = np.concatenate(list(methods.values()))
    low, high = _limits(everything)
    random = np.random.default_rng(0)  # where a point lies within its column means nothing
    for place, method in enumerate(order):
        if method not in methods:
            continue
        values, colour = methods[method], CHOSEN if method in chosen else OTHERS
        if len(values) >= SHAPED and np.ptp(values) > 1e-6:
            _draw_body(axes, place, values, (low, high), colour)
        jitter = place + random.uniform(-0.16, 0.16, len(values))
        inside = (values >= low) & (values <= high)
        size, above = (26, 5) if len(values) < SHAPED else (6, 2.5)  # few must not drown in their median's line
        axes.scatter(jitter[inside], values[inside], s=size, color=colour, alpha=0.75, linewidths=0, zorder=above)
        for outside, edge, marker in ((values < low, low, "v"), (values > high, high, "^")):
            axes.scatter(jitter[outside], np.full(outside.sum(), edge), s=9, color=colour, marker=marker, linewidths=0)
        middle = np.clip(np.median(values), low, high)
        axes.plot([place - 0.28, place + 0.28], [middle, middle], color=INK, linewidth=1.4, zorder=4)
    margin = 0.04 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.grid(axis="y", color=INK, alpha=0.25, linewidth=0.5)
    axes.yaxis.set_major_locator(MultipleLocator(_step(high - low)))


def _draw_body(axes: Axes, place: int, values: np.ndarray, limits: tuple[float, float], colour: str) -> None:
    """The shape of what lies within the limits, and a bar from quartile to quartile of all."""
    shaped = values[(values >= limits[0]) & (values <= limits[1])]
    if len(shaped) >= SHAPED and np.ptp(shaped) > 1e-6:
        parts = axes.violinplot([shaped], positions=[place], widths=0.8, showextrema=False)
        for body in parts["bodies"]:  # type: ignore[attr-defined]  # a list, whatever the stubs say
            body.set(facecolor=colour, edgecolor=colour, alpha=0.35, linewidth=0.6)
    first, third = np.percentile(values, [25, 75]).clip(*limits)
    axes.plot([place, place], [first, third], color=INK, linewidth=2.2, solid_capstyle="butt", zorder=3)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Of the axis, dB: all but what lies several times the usual spread away, and never less than 2 dB."""
    lower, upper = np.percentile(values, [10, 90])
    spread = max(upper - lower, 1.0)
    low, high = max(float(values.min()), lower - spread), min(float(values.max()), upper + spread)
    short = max(2.0 - (high - low), 0.0)
    return low - short / 2, high + short / 2


def _step(span: float) -> float:
    """Between ticks, dB: about five of them."""
    return next((step for step in (0.5, 1, 2, 5, 10, 20, 50) if span / step <= 6), 100)


# -- over a track ----------------------------------------------------------------------------------


def draw_score_over_time(
    picture: SoundPicture, scores: Mapping[str, np.ndarray], *, name: str, metric: str, window: float = 1.0
) -> Figure:
    """A score per frame under the waveform it belongs to, a line per method, with gaps where it is undefined.

    Parameters
    ----------
    picture : SoundPicture
        Of the reference, or of the mixture.
    scores : mapping of str to array
        Method -> score per frame, shape (frames,), dB.
    name : str
        Of the sound; picks the waveform's colour where it is a usual source.
    window : float
        Seconds that a frame stands for.

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
    own = COLOURS.get(name, COLOURS["mixture"])
    draw_waveform(wave, picture, own, (0.0, picture.duration), peak)
    wave.set_ylabel(name, parse_math=False)
    for (method, values), colour in zip(scores.items(), _cycle(len(scores), without=own), strict=True):
        time = (np.arange(len(values)) + 0.5) * window
        axes.plot(time, values, color=colour, linewidth=1.4, marker="o", markersize=2.5, label=method)
    axes.grid(axis="y", color=INK, alpha=0.25, linewidth=0.5)
    axes.set_ylabel(f"{metric} (dB)")
    axes.set_xlabel("time (s)")
    _legend(axes)
    for each in (wave, axes):
        tone_down(each)
    return figure


# -- precision and recall --------------------------------------------------------------------------


def draw_precision_recall(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, float]],
    *,
    chosen: Mapping[str, tuple[float, float]] | None = None,
    axes: tuple[str, str] = ("recall", "precision"),
) -> Figure:
    """Precision over recall of masks, a line per label, the average precision (AP) in the legend.

    Parameters
    ----------
    curves : mapping of str to (array, array, float)
        Precision and recall at every threshold, 0..1, and the average precision.
    chosen : mapping of str to (float, float), optional
        Precision and recall at the chosen threshold: a dot on the line.
    axes : (str, str)
        What the two are called.

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
    plot.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel=axes[0], ylabel=axes[1])
    plot.grid(color=INK, alpha=0.25, linewidth=0.5)
    marks = [Line2D([], [], color=INK, marker="o", markersize=5, linestyle="")] if chosen else []
    _legend(plot, *((mark, "at the chosen threshold") for mark in marks))
    tone_down(plot)
    return figure


# -- over length -----------------------------------------------------------------------------------


def draw_score_over_length(points: Mapping[str, tuple[np.ndarray, np.ndarray]], *, metric: str) -> Figure:
    """A score over how long the sound is, on a logarithmic axis: points, and a line through the medians of each length.

    Parameters
    ----------
    points : mapping of str to (array, array)
        Label -> lengths in seconds and scores in dB, shape (points,) both; NaN is left out.

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
        raise ValueError(f"there are no points to draw: no sound has any {metric}")
    figure = Figure(figsize=(6.4, 3.2), dpi=150, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    for (label, (lengths, values)), colour in zip(finite.items(), _cycle(len(finite)), strict=True):
        distinct = np.unique(lengths)
        middle = [np.median(values[lengths == length]) for length in distinct]
        axes.plot(distinct, middle, color=colour, linewidth=1.5, label=label)
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
    tone_down(axes)
    return figure


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3600 else f"{seconds / 3600:.3g} h"


# -- what they share -------------------------------------------------------------------------------


def _cycle(count: int, without: str = "") -> list[str]:
    colours = [colour for colour in CYCLE if colour != without]
    return [colours[index % len(colours)] for index in range(count)]


def _legend(axes: Axes, *more: tuple[Line2D, str]) -> None:
    """Of all lines with a label, also of such as begin with an underscore, which matplotlib would leave out."""
    lines = [(line, str(line.get_label())) for line in axes.get_lines()]
    named = [(line, label) for line, label in lines if not label.startswith("_child")] + list(more)
    legend = axes.legend([line for line, _ in named], [label for _, label in named], labelcolor=INK, frameon=False)
    for text in legend.get_texts():
        text.set_fontsize(8)
        text.set_parse_math(False)
