"""Pieces of HTML for the pages. Text from users and files is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from separation.separators import METHODS

if TYPE_CHECKING:
    from separation.studio.i18n import Translator
    from separation.weights.model import Model

__all__ = [
    "about",
    "blind_session",
    "file_url",
    "hint",
    "masthead",
    "method_cards",
    "model_cards",
    "player",
    "work",
]

#: The logo: one song and four stems.
_MARK = "".join(
    f'<path d="{path}" stroke="{colour}"/>'
    for path, colour in (
        ("M4 20h8", "currentColor"),
        ("M12 20c5 0 5-13 10-13h14", "#d9631a"),
        ("M12 20c5 0 5-4.5 10-4.5h14", "#2f7fc4"),
        ("M12 20c5 0 5 4.5 10 4.5h14", "#8656c4"),
        ("M12 20c5 0 5 13 10 13h14", "#1f8f69"),
    )
)


def masthead(words: Translator) -> str:
    svg = f'<svg viewBox="0 0 40 40" fill="none" stroke-width="3.4" stroke-linecap="round" aria-hidden="true">{_MARK}'
    return f'<div class="masthead">{svg}</svg><div><h1>Stemscope</h1><p>{escape(words("tagline"))}</p></div></div>'


def method_cards(words: Translator) -> str:
    """Describe each method in one paragraph."""
    cards = "".join(
        _card(words(f"method_{method.name}"), words(f"method_{method.name}_what"), method.reference)
        for method in METHODS.values()
    )
    return f'<div class="cards">{cards}</div>'


def _card(title: str, text: str, note: str = "") -> str:
    small = f"<small>{escape(note)}</small>" if note else ""
    return f'<article class="card"><h3>{escape(title)}</h3><p>{escape(text)}</p>{small}</article>'


#: Citations of the methods and data.
_PAPERS = (
    'ICA: Hyvärinen and Oja, "Independent component analysis: algorithms and applications", Neural Networks 13, 2000',
    'Open-Unmix: Stöter, Uhlich, Liutkus, Mitsufuji, "Open-Unmix", JOSS 4(41), 2019',
    'Demucs: Défossez, Usunier, Bottou, Bach, "Music source separation in the waveform domain", 2019',
    'Hybrid Demucs: Défossez, "Hybrid spectrogram and waveform source separation", MDX workshop at ISMIR 2021',
    "MUSDB18: Rafii, Liutkus, Stöter, Mimilakis, Bittner, 2017, doi:10.5281/zenodo.1117372",
    'museval, SiSEC: Stöter, Liutkus, Ito, "The 2018 signal separation evaluation campaign", LVA/ICA 2018',
    "norbert: Liutkus and Stöter, 2019, doi:10.5281/zenodo.3269749",
)


def about(words: Translator) -> str:
    """Describe the project, its origin, and how to cite it."""
    subjects = ("about_listen", "about_sound", "about_numbers", "about_yours")
    cards = "".join(_card(words(subject), words(f"{subject}_text")) for subject in subjects)
    papers = "".join(f"<li>{escape(paper)}.</li>" for paper in _PAPERS)
    return (
        f'<div class="about"><h2>{escape(words("about_title"))}</h2><div class="cards wide">{cards}</div>'
        f"<h3>{escape(words('about_cite'))}</h3><ul>{papers}</ul></div>"
    )


def hint(text: str) -> str:
    """Show a hint on an empty page."""
    return f'<div class="hint" role="status">{escape(text)}</div>'


def work(title: str, details: Iterable[str] = (), *, share: float | None = None, problems: Iterable[str] = ()) -> str:
    """Show progress: a title, details, a bar if `share` is in 0..1, and a line per problem."""
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


def file_url(path: Path) -> str:
    """Return the address at which Gradio serves a file, relative to the page."""
    return f"gradio_api/file={quote(str(path))}"


def player(folder: Path, *, view: str = "stems") -> str:
    """Return the player of a result; `view` is "stems", "compare" or "blind"."""
    manifest = escape(file_url(folder / "player.json"))
    return f'<stem-player view="{view}" manifest="{manifest}" token="{escape(folder.name)}"></stem-player>'


def blind_session(tests: Iterable[tuple[str, Path]]) -> str:
    """Return a blind test of several stems, each with the folder of its player; without any, earlier ratings only."""
    listed = [
        {"source": source, "token": folder.name, "manifest": file_url(folder / "player.json")}
        for source, folder in tests
    ]
    return f'<blind-session class="score-page" tests="{escape(json.dumps(listed))}"></blind-session>'


# -- models ----------------------------------------------------------------------------------------

#: The steps of each method, for its diagram.
_STEPS = {
    "open-unmix": ("STFT", "scale", "3 BLSTM layers", "mask", "Wiener filter"),
    "demucs": ("waveform", "encoder", "BLSTM", "decoder"),
    "hybrid-demucs": ("waveform + STFT", "2 encoders", "shared LSTM, attention", "2 decoders"),
    "htdemucs": ("waveform + STFT", "2 encoders", "cross-domain transformer", "2 decoders"),
    "roformer": ("STFT", "bands", "transformers along time and bands", "complex masks"),
    "spleeter": ("spectrogram", "U-Net per stem", "soft mask"),
}


def model_cards(models: Iterable[Model], speeds: Mapping[str, float], words: Translator) -> str:
    """Describe each model: purpose, diagram, size, terms and measured speed."""
    cards = []
    for model in models:
        state = "bundled" if model.bundled else "installed" if model.installed else "missing"
        speed = words.speed(speeds[model.name]) if model.name in speeds else words("unmeasured")
        size = f"{model.size / 1e6:.1f} MB" if model.size else f"~{4 * (model.parameters or 0) / 1e6:.0f} MB"
        facts = {
            words("size"): f"{size}, {words('parameters', millions=f'{(model.parameters or 0) / 1e6:.1f}')}",
            words("licence"): model.licence,
            words("trained_on"): model.trained_on,
            words("speed"): speed,
        }
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
        cards.append(
            f'<article class="card"><h3>{escape(model.name)}<span class="{state}">'
            f"{escape(words(f'state_{state}'))}</span></h3>"
            f"<p>{escape(METHODS[model.method].title)}: {escape(_source_names(model.sources, words))}</p>"
            f"{_diagram((*_STEPS[model.method], f'{len(model.sources)} stems'))}<dl>{rows}</dl></article>"
        )
    return f'<div class="models">{"".join(cards)}</div>'


def _source_names(sources: Iterable[str], words: Translator) -> str:
    return ", ".join(words.named("stem", source, source) for source in sources)


def _diagram(steps: Sequence[str]) -> str:
    """Draw boxes and arrows in the text's colour."""
    widths = [14 + 6.2 * len(step) for step in steps]
    x, parts = 1.0, []
    for step, width in zip(steps, widths, strict=True):
        parts.append(
            f'<rect x="{x:.0f}" y="4" width="{width:.0f}" height="26" rx="5" fill="none" stroke="currentColor"'
            f' opacity="0.55"/><text x="{x + width / 2:.0f}" y="21" text-anchor="middle" font-size="11"'
            f' fill="currentColor">{escape(step)}</text>'
        )
        x += width
        if step is not steps[-1]:
            parts.append(f'<path d="M{x + 2:.0f} 17h9m-4-3l4 3l-4 3" fill="none" stroke="currentColor"/>')
            x += 14
    label, across = escape(" → ".join(steps)), f"{x + 1:.0f}"
    return (
        f'<svg viewBox="0 0 {across} 34" style="max-width:{across}px" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )
