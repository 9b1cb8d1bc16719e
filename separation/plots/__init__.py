"""Arrays in, matplotlib figures out.

Figures are made without pyplot, so that several can be drawn at once in a server, and on a
transparent ground in colours that read on white as well as on black.
"""

from separation.plots.curves import draw_precision_recall, draw_score_over_length, draw_score_over_time
from separation.plots.spectrogram import (
    F_MIN,
    Spectrogram,
    StreamingSpectrogram,
    draw_spectrogram,
    save_difference,
    save_spectrogram,
    spectrogram,
)
from separation.plots.style import save
from separation.plots.violins import draw_violins

__all__ = [
    "F_MIN",
    "Spectrogram",
    "StreamingSpectrogram",
    "draw_precision_recall",
    "draw_score_over_length",
    "draw_score_over_time",
    "draw_spectrogram",
    "draw_violins",
    "save",
    "save_difference",
    "save_spectrogram",
    "spectrogram",
]
