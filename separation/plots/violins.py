"""Violin plots of scores per track."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MultipleLocator

from separation.plots.style import CHOSEN, CHOSEN_INK, INK, style_axes

__all__ = ["OTHERS", "SHAPED", "draw_violins"]

OTHERS = "#6f8fb5"  # methods that are not highlighted

SHAPED = 4  # minimum number of tracks for a violin; fewer are drawn as points


def draw_violins(
    scores: Mapping[str, Mapping[str, np.ndarray]],
    *,
    metric: str,
    unit: str = "dB",
    aggregation: str,
    chosen: Collection[str] = (),
) -> Figure:
    """Draw one row per target and one column per method, sorted by the mean of their medians over the targets.

    A violin shows its tracks as points, a bar between the quartiles and the median as a line. Outliers are
    triangles at the edge, outside the violin.

    Parameters
    ----------
    scores : mapping of str to mapping of str to array
        Target -> method -> score per track; NaN is omitted.
    metric : str
        Label of the axis.
    unit : str
        Unit of the axis; empty for a number without a unit.
    aggregation : str
        Description of a point, written below the figure.
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
        raise ValueError(f"there is no {metric} to draw: no track has a finite one")
    order = _by_median(finite)
    width = max(3.6, 1.2 + (0.55 if len(order) <= 12 else 0.3) * len(order))
    figure = Figure(figsize=(width, 0.9 + 1.7 * len(finite)), dpi=150, layout="constrained")
    figure.patch.set_alpha(0)
    rows = figure.subplots(len(finite), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (target, methods) in zip(rows, finite.items(), strict=True):
        _draw_row(axes, methods, order, chosen)
        axes.set_ylabel(f"{target}\n{metric} ({unit})" if unit else f"{target}\n{metric}", parse_math=False)
        style_axes(axes)
    bottom = rows[-1]
    bottom.xaxis.set_major_locator(FixedLocator(range(len(order))))
    crowded = len(order) > 12
    bottom.set_xticklabels(order, rotation=90 if crowded else 30, ha="center" if crowded else "right")
    for label in bottom.get_xticklabels():
        label.set_parse_math(False)  # names of folders may contain dollar signs
        if label.get_text() in chosen:
            label.set_color(CHOSEN_INK)
            label.set_fontweight("bold")
    figure.supxlabel(aggregation, fontsize=8, color=INK)
    return figure


def _by_median(scores: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """Return the methods, worst first, by their medians relative to those of all methods on the same targets."""
    usual = {target: np.median([np.median(v) for v in methods.values()]) for target, methods in scores.items()}
    lead: dict[str, list[float]] = {}
    for target, methods in scores.items():
        for method, values in methods.items():
            lead.setdefault(method, []).append(float(np.median(values) - usual[target]))
    return sorted(lead, key=lambda method: float(np.mean(lead[method])))


def _draw_row(axes: Axes, methods: Mapping[str, np.ndarray], order: list[str], chosen: Collection[str]) -> None:
    everything = np.concatenate(list(methods.values()))
    low, high = _limits(everything)
    random = np.random.default_rng(0)  # horizontal jitter only
    for index, method in enumerate(order):
        if method not in methods:
            continue
        values, colour = methods[method], CHOSEN if method in chosen else OTHERS
        if len(values) >= SHAPED and np.ptp(values) > 1e-6:
            _draw_body(axes, index, values, (low, high), colour)
        jitter = index + random.uniform(-0.16, 0.16, len(values))
        inside = (values >= low) & (values <= high)
        # A few points must stay visible next to the median's line.
        size, above = (26, 5) if len(values) < SHAPED else (6, 2.5)
        axes.scatter(jitter[inside], values[inside], s=size, color=colour, alpha=0.75, linewidths=0, zorder=above)
        for outside, edge, marker in ((values < low, low, "v"), (values > high, high, "^")):
            axes.scatter(jitter[outside], np.full(outside.sum(), edge), s=9, color=colour, marker=marker, linewidths=0)
        median = np.clip(np.median(values), low, high)
        axes.plot([index - 0.28, index + 0.28], [median, median], color=INK, linewidth=1.4, zorder=4)
    margin = 0.04 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.grid(axis="y", color=INK, alpha=0.25, linewidth=0.5)
    axes.yaxis.set_major_locator(MultipleLocator(_step(high - low)))


def _draw_body(axes: Axes, position: int, values: np.ndarray, limits: tuple[float, float], colour: str) -> None:
    """Draw the density within the limits, and a bar between the quartiles."""
    shaped = values[(values >= limits[0]) & (values <= limits[1])]
    if len(shaped) >= SHAPED and np.ptp(shaped) > 1e-6:
        parts = axes.violinplot([shaped], positions=[position], widths=0.8, showextrema=False)
        for body in parts["bodies"]:  # type: ignore[attr-defined]  # a list, contrary to the stubs
            body.set(facecolor=colour, edgecolor=colour, alpha=0.35, linewidth=0.6)
    first, third = np.percentile(values, [25, 75]).clip(*limits)
    axes.plot([position, position], [first, third], color=INK, linewidth=2.2, solid_capstyle="butt", zorder=3)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return the axis limits: without outliers, and at least 2 apart."""
    lower, upper = np.percentile(values, [10, 90])
    spread = max(upper - lower, 1.0)
    low, high = max(float(values.min()), lower - spread), min(float(values.max()), upper + spread)
    short = max(2.0 - (high - low), 0.0)
    return low - short / 2, high + short / 2


def _step(span: float) -> float:
    """Return the distance of about five ticks."""
    return next((step for step in (0.5, 1, 2, 5, 10, 20, 50) if span / step <= 6), 100)
