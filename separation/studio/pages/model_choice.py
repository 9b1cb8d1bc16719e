"""The choice of installed weights for a method."""

from __future__ import annotations

from typing import Any

import gradio as gr

from separation.separators import METHODS

__all__ = ["choose_weights", "default_weights", "installed_weights"]


def installed_weights(method: str) -> list[str]:
    """Return the names of a method's installed models."""
    from separation.weights import catalogue

    return [model.name for model in catalogue.list_models() if model.method == method and model.installed]


def default_weights(method: str) -> str | None:
    here, usual = installed_weights(method), METHODS[method].default_model
    return usual if usual in here else here[0] if here else None


def choose_weights(method: str, wanted: str | None = None) -> dict[str, Any]:
    """Return the update of a method's weights dropdown; `wanted` is selected if it is installed."""
    here = installed_weights(method)
    return gr.update(choices=here, value=wanted if wanted in here else default_weights(method), visible=bool(here))
