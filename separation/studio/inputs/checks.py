"""Checks before queueing: refuse methods that are unknown, lack weights or true sources, or give no vocals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from separation.separators import METHODS
from separation.studio.i18n import Translator
from separation.studio.inputs.request import SeparationRequest
from separation.studio.inputs.songs import StudioError

__all__ = ["check_methods", "has_weights", "usable_part"]


def check_methods(methods: Sequence[str], *, estimates: bool) -> None:
    """Raise StudioError if there is neither a method nor another tool's stems, or a method is unknown or repeated."""
    if not methods and not estimates:
        raise StudioError("Choose at least one method.")
    if any(method not in METHODS for method in methods):
        raise StudioError("One of the methods does not exist.")
    if len(set(methods)) < len(methods):
        raise StudioError("Choose each method only once.")


def usable_part(
    request: SeparationRequest, *, references: bool, estimates: bool = False, words: Translator
) -> tuple[SeparationRequest, list[str]]:
    """Return the request without the methods that cannot work, and a sentence for each of those.

    Parameters
    ----------
    references, estimates : bool
        Whether the song comes with true sources, and with another tool's stems.

    Raises
    ------
    StudioError
        If nothing remains.
    """
    check_methods(request.methods, estimates=estimates)
    problems = {}
    for name in request.methods:
        if (problem := _problem(name, request, references=references)) is not None:
            problems[name] = words(problem, method=words.named("method", name, METHODS[name].title))
    usable = [name for name in request.methods if name not in problems]
    if not usable and not estimates:
        raise StudioError(" ".join(problems.values()))
    return replace(request, methods=usable), list(problems.values())


def _problem(name: str, request: SeparationRequest, *, references: bool) -> str | None:
    """Return the key of the sentence that says why a method cannot work; None if it can."""
    model = request.models.get(name)
    if METHODS[name].needs_references and not references:
        return "no_references"
    if not has_weights(name, model):
        return "no_weights"
    if request.karaoke and not _gives_vocals(name, model):
        return "no_vocals"
    return None


def _gives_vocals(name: str, model: str | None) -> bool:
    from separation.weights import catalogue

    wanted = model or METHODS[name].default_model
    return METHODS[name].names_sources and all(
        "vocals" in one.sources for one in catalogue.list_models() if one.name == wanted
    )


def has_weights(name: str, model: str | None = None) -> bool:
    """Return whether a method's weights are installed; a preset needs those of its parts, or of one of its choices."""
    from separation.weights import catalogue

    method = METHODS[name]
    if method.preset is not None and method.preset.first_installed:
        return any(has_weights(*choice.split(":")) for choice in method.preset.first_installed)
    if method.preset is not None:
        return all(has_weights(part.method, part.model) for part in method.preset.parts.values())
    wanted = model or method.default_model
    known = catalogue.list_models() if wanted else []
    return not wanted or any(one.name == wanted and one.method == name and one.installed for one in known)
