"""Loaded separators, kept between requests; preloading at start-up."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from separation.separators import DEFAULT_METHOD, METHODS, Method
from separation.studio.inputs.songs import Song, StudioError

if TYPE_CHECKING:
    from separation.separators.base import Separator
from separation.studio.inputs.request import OPEN_UNMIX_SEGMENT, SeparationRequest

__all__ = ["fetch_models", "separator_for", "warm_up"]

log = logging.getLogger(__name__)


def separator_for(method: Method, song: Song, request: SeparationRequest) -> Separator:
    """Return a method's separator; those with weights are cached."""
    from separation.separators import create

    options = request.options.get(method.name, {})
    if method.needs_references:
        if song.references is None:
            raise StudioError("an oracle needs the true sources: choose a sample or a MUSDB18 track, or upload them")
        return create(method.name, references=song.references, options=options)
    if method.preset is not None:
        return _preset(method.name, options)
    if not method.has_model:
        return create(method.name, options=options)
    return _with_weights(method, request.models.get(method.name), options)


def _with_weights(method: Method, model: str | None, options: Mapping[str, object]) -> Separator:
    """Return a cached separator, reloaded if its files have changed."""
    from separation.weights import catalogue

    found = catalogue.find_model(model or str(method.default_model), method=method.name)
    stats = [found.path(file).stat() for file in found.files]
    files = tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)
    return _loaded(method.name, model, tuple(sorted(options.items())), files)


def _preset(name: str, options: Mapping[str, object]) -> Separator:
    """Return a cached combination of methods, built anew if other models are installed."""
    from separation.weights import catalogue

    installed = tuple(model.name for model in catalogue.list_models() if model.installed)
    return _loaded(name, None, tuple(sorted(options.items())), installed)


@lru_cache(maxsize=8)
def _loaded(
    name: str, model: str | None, options: tuple[tuple[str, object], ...], files: tuple[object, ...]
) -> Separator:
    from separation.separators import create

    return create(name, model=model, options=dict(options))


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

    wanted: list[tuple[str, str | None]] = [("open-unmix", None), ("demucs", None)]
    for model in catalogue.list_models():
        if model.installed and model.name in _preloaded():
            usual = model.name == METHODS[model.method].default_model
            wanted.append((model.method, None if usual else model.name))
    try:
        _preset(DEFAULT_METHOD, {})
    except (ValueError, OSError) as error:
        log.warning("%s: %s", DEFAULT_METHOD, error)
    for method, name in wanted:
        try:
            _with_weights(METHODS[method], name, {"segment": OPEN_UNMIX_SEGMENT} if method == "open-unmix" else {})
        except (ValueError, OSError) as error:
            log.warning("%s: %s", name or method, error)
