"""The separators of requests, and what is downloaded and loaded at start-up."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from separation.separators import DEFAULT_METHOD, METHODS, Method, create
from separation.separators.loaded import load
from separation.studio.inputs.request import OPEN_UNMIX_SEGMENT, SeparationRequest
from separation.studio.inputs.songs import Song, StudioError

if TYPE_CHECKING:
    from separation.separators.base import Separator

__all__ = ["fetch_models", "separator_for", "warm_up"]

log = logging.getLogger(__name__)


def separator_for(method: Method, song: Song, request: SeparationRequest) -> Separator:
    """Return a method's separator, which stays in memory unless it is an oracle."""
    options = request.options.get(method.name, {})
    if method.needs_references:
        if song.references is None:
            raise StudioError("an oracle needs the true sources: choose a sample or a MUSDB18 track, or upload them")
        return create(method.name, references=song.references, options=options)
    model = request.models.get(method.name) if method.has_model else None
    return load(method.name, model=model, options=options)


def _preloaded() -> list[str]:
    """Return the models in ``SEPARATION_PRELOAD``, a comma-separated list."""
    names = os.environ.get("SEPARATION_PRELOAD", "").split(",")
    return [name.strip() for name in names if name.strip()]


def fetch_models() -> None:
    """Download the models in ``SEPARATION_PRELOAD``; failures are logged."""
    from separation.weights import catalogue, download

    known = {model.name: model for model in catalogue.list_models()}
    for name in _preloaded():
        if name not in known:
            log.warning("SEPARATION_PRELOAD: no model %r; there are %s", name, ", ".join(known))
        elif not known[name].installed:
            log.warning("downloading %s", name)
            try:
                download.download_model(known[name])
            except ValueError as error:
                log.warning("SEPARATION_PRELOAD: %s", error)


def warm_up() -> None:
    """Load what the first separation needs, so that the first visitor does not wait for it."""
    import separation.evaluation.track_scores
    import separation.pipeline.to_folder
    import separation.studio.results.player_data  # noqa: F401
    from separation.weights import catalogue

    wanted: list[tuple[str, str | None]] = [(DEFAULT_METHOD, None), ("open-unmix", None), ("demucs", None)]
    for model in catalogue.list_models():
        if model.installed and model.name in _preloaded():
            usual = model.name == METHODS[model.method].default_model
            wanted.append((model.method, None if usual else model.name))
    for method, name in wanted:
        try:
            load(method, model=name, options={"segment": OPEN_UNMIX_SEGMENT} if method == "open-unmix" else {})
        except (ValueError, OSError) as error:
            log.warning("%s: %s", name or method, error)
