"""What this is, where it comes from, and how to cite it."""

from __future__ import annotations

import gradio as gr

from separation.studio import cards
from separation.studio.words import Words

__all__ = ["build"]


def build() -> gr.HTML:
    """Lay the page out inside its tab; the studio puts it into the visitor's language."""
    return gr.HTML(cards.about(Words("en")))
