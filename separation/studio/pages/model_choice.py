"""The choice of installed weights for a method."""

from __future__ import annotations

from typing import Any

import gradio as gr

from separation.separators import METHODS
from separation.studio.i18n import translatable

__all__ = ["choose_weights", "weights_dropdown"]


def weights_dropdown(method: str, elem_id: str) -> gr.Dropdown:
    """Return the choice of a method's installed weights."""
    here, title = _installed(method), translatable(f"method_{method}")
    return gr.Dropdown(here, value=_default(method, here), label=title, elem_id=elem_id, visible=bool(here))


def _installed(method: str) -> list[str]:
    from separation.weights import catalogue

    return [model.name for model in catalogue.list_models() if model.method == method and model.installed]


def _default(method: str, here: list[str]) -> str | None:
    usual = METHODS[method].default_model
    return usual if usual in here else here[0] if here else None


def choose_weights(method: str, wanted: str | None = None) -> dict[str, Any]:
    """Return the update of a method's weights dropdown; `wanted` is selected if it is installed."""
    here = _installed(method)
    return gr.update(choices=here, value=wanted if wanted in here else _default(method, here), visible=bool(here))
