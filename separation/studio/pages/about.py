"""What this is, where it comes from, and how to cite it."""

from __future__ import annotations

import gradio as gr

from separation.studio import components
from separation.studio.i18n import Translator

__all__ = ["build"]


def build() -> gr.HTML:
    """Lay the page out inside its tab; the studio puts it into the visitor's language."""
    return gr.HTML(components.about(Translator("en")))
