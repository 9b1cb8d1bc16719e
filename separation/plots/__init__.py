"""Matplotlib figures of scores, waveforms and spectrograms.

Figures are made without pyplot, so that a server can draw several at once. The background is transparent, and the
colours are legible on white and on black.
"""

from separation.plots.curves import draw_precision_recall, draw_score_over_length, draw_score_over_time
from separation.plots.spectrogram import (
    F_MIN,
    Spectrogram,
    StreamingSpectrogram,
    draw_spectrogram,
    palette,
    reference_power,
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
    "palette",
    "reference_power",
    "save",
    "save_difference",
    "save_spectrogram",
    "spectrogram",
]
