"""The studio's small pieces of HTML. Everything that is not ours is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from separation.separators import Method

if TYPE_CHECKING:
    from separation.studio.jobs import MethodResult, Stem

__all__ = ["known_sounds", "masthead", "method_cards", "method_result", "work"]


def masthead() -> str:
    return (
        '<div class="masthead"><h1>Stemscope</h1>'
        "<p>Hear, see and score how ICA, Open-Unmix and Demucs take a song apart.</p></div>"
    )


def method_cards(methods: Iterable[Method]) -> str:
    """What each method is, in plain words."""
    cards = "".join(
        f'<article class="method-card"><h4>{escape(method.title)}</h4><p>{escape(method.summary)}</p>'
        f"<small>{escape(method.reference)}</small></article>"
        for method in methods
    )
    return f'<div class="method-cards">{cards}</div>'


def work(title: str, details: Iterable[str] = (), *, share: float | None = None, problems: Iterable[str] = ()) -> str:
    """What is going on: a line of words, with `share` in 0..1 a bar, and a line for each problem."""
    words = "".join(f"<span>{escape(detail)}</span>" for detail in details)
    bar = ""
    if share is not None:
        percent = round(100 * min(max(share, 0.0), 1.0))
        bar = (
            f'<div class="track" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}"'
            f' aria-label="{escape(title)}"><i style="width:{percent}%"></i></div>'
        )
    lines = "".join(f"<p>{escape(problem)}</p>" for problem in problems)
    head = f'<div class="line"><strong>{escape(title)}</strong>{words}</div>'
    return f'<div class="work" role="status">{head}{bar}{lines}</div>'


def known_sounds(stems: Iterable[Stem]) -> str:
    """The mixture, and the true sources if they are known."""
    mixture, *references = stems
    parts = _section("Mixture", "", "".join([_sound(mixture, "mixture")]), "known")
    if references:
        sounds = "".join(_sound(stem, "references") for stem in references)
        parts += _section("True sources", "<span>what the methods should find</span>", sounds, "references")
    return parts


def method_result(section: MethodResult) -> str:
    """One method's stems, with what there is to say of them."""
    result = section.result
    details = [
        f"{result.seconds:.1f} s, {result.real_time_factor:.2f} of real time, on {result.device}",
        "no residual" if result.residual_db is None else f"residual {result.residual_db:.1f} dB",
    ]
    if result.model:
        details.insert(0, result.model)
    if result.gain_db:
        details.append(f"all stems lowered by {-result.gain_db:.1f} dB so that none clips")
    words = "".join(f"<span>{escape(detail)}</span>" for detail in details)
    notes = "".join(f"<em>{escape(warning)}</em>" for warning in result.warnings)
    name = section.method.name
    archive = (
        f'<a class="zip" id="zip-{name}" href="{_url(section.archive)}" download="{escape(section.archive.name)}">'
        "All stems (ZIP)</a>"
    )
    sounds = "".join(_sound(stem, name) for stem in section.stems)
    return _section(section.method.title, words + notes + archive, sounds, name)


def _section(title: str, details: str, sounds: str, name: str) -> str:
    return (
        f'<section class="result" id="result-{name}" aria-label="{escape(title)}">'
        f'<header><h3>{escape(title)}</h3>{details}</header><div class="sounds">{sounds}</div></section>'
    )


def _sound(stem: Stem, method: str) -> str:
    """A player, its picture, and a way to keep it. Served files, never rescaled."""
    name = escape(stem.name)
    url = _url(stem.path)
    file_name = escape(f"{stem.name}.wav" if method in ("mixture", "references") else f"{stem.name} - {method}.wav")
    return (
        f'<figure class="sound" id="sound-{method}-{name.replace(" ", "-")}">'
        f'<figcaption>{name.capitalize()}<a href="{url}" download="{file_name}" aria-label="Download {name}">WAV</a>'
        f'</figcaption><audio controls preload="metadata" src="{url}" aria-label="{name}, {method}"></audio>'
        f'<img src="{_url(stem.picture)}" alt="Waveform and spectrogram of {name}, {method}"></figure>'
    )


def _url(path: Path) -> str:
    """Where Gradio serves a file, relative to the page."""
    return f"gradio_api/file={quote(str(path))}"
