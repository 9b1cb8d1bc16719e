"""The choice of methods on the Separate page: events of the method cards."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from separation.separators import METHODS
from separation.studio.components.method_cards import method_cards
from separation.studio.i18n import translator_for
from separation.studio.pages.fetching import fetch_in_turn
from separation.studio.visitor import visitor_name

__all__ = ["fetch_method", "wire_methods"]


def wire_methods(methods: gr.HTML, visitor: gr.BrowserState) -> None:
    """Connect the buttons with which weights are fetched."""
    methods.fetch_model(
        fetch_method, visitor, methods, concurrency_limit=None, show_progress="hidden", api_visibility="private"
    )


def fetch_method(request: gr.Request, visitor: Any, event: gr.EventData) -> Iterator[dict[str, Any]]:
    """Queue the download of a method's default weights, with progress in its card."""
    from separation.weights import catalogue, download

    words = translator_for(request)
    method = METHODS.get(str(event._data.get("method"))) if isinstance(event._data, dict) else None
    known = catalogue.list_models() if method else []
    model = next((one for one in known if method and one.name == method.default_model), None)
    if method is None or model is None:
        return
    fetch, who = partial(download.download_model, model), visitor_name(visitor, request)
    for news in fetch_in_turn(fetch, who, words, retry=f'class="get" data-method="{method.name}"'):
        yield gr.update(cards=method_cards(words, {method.name: news}))
