"""The common style of all figures, and saving them."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["CHOSEN", "CHOSEN_INK", "COLOURS", "CYCLE", "INK", "save", "style_axes"]

INK = "#7d8596"  # 3.7:1 on white and 5.0:1 on near-black
COLOURS = {
    "mixture": "#8b93a5",
    "vocals": "#c94f7c",
    "drums": "#3f8fd2",
    "bass": "#9a6fd0",
    "other": "#2fa37c",
}
CHOSEN = "#e3a90b"  # the highlighted methods; Open-Unmix is yellow on the page too
CHOSEN_INK = "#a87600"  # the same colour for text: 4.0:1 on white and 4.8:1 on near-black
CYCLE = ("#3f8fd2", "#e0752d", "#2fa37c", "#9a6fd0", "#c94f7c", "#8b93a5")  # distinguishable with colour blindness


def style_axes(axes: Axes) -> None:
    """Style axes on a transparent background in a grey that is legible on white and on black."""
    axes.patch.set_alpha(0)
    axes.tick_params(colors=INK, labelsize=9, length=2, width=0.6)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    for spine in axes.spines.values():
        spine.set_visible(False)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, SVG or PDF by its suffix; raise ValueError for another."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ValueError(f"a figure is a .png, .svg or .pdf file, got {path.name!r}")
    figure.savefig(path)
    return path
