"""The About page: what the project is, its origin, and how to cite it."""

from __future__ import annotations

import gradio as gr

from separation.studio.components import fragments
from separation.studio.i18n import Translator

__all__ = ["build"]


def build() -> gr.HTML:
    """Lay out the page in the current tab."""
    return gr.HTML(fragments.about(Translator("en")))
