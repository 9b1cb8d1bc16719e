"""Arrays in, matplotlib figures out.

Figures are made without pyplot, so that several can be drawn at once in a server, and on a
transparent ground in colours that read on white as well as on black.
"""

from separation.plots.scores import draw_precision_recall, draw_score_over_length, draw_score_over_time, draw_violins
from separation.plots.sound import (
    LOWEST,
    PictureMaker,
    SoundPicture,
    draw_sound,
    picture_of,
    save_difference,
    save_spectrogram,
)
from separation.plots.style import save

__all__ = [
    "LOWEST",
    "PictureMaker",
    "SoundPicture",
    "draw_precision_recall",
    "draw_score_over_length",
    "draw_score_over_time",
    "draw_sound",
    "draw_violins",
    "picture_of",
    "save",
    "save_difference",
    "save_spectrogram",
]
