"""Pieces of HTML for the pages. Text from users and files is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import separation
from separation.separators import METHODS
from separation.studio.components.icons import icon

if TYPE_CHECKING:
    from separation.studio.i18n import Translator

__all__ = [
    "Retry",
    "about",
    "bar",
    "blind_session",
    "file_url",
    "folded_line",
    "footer",
    "hero",
    "hint",
    "job_facts",
    "masthead",
    "method_texts",
    "player",
    "refusal",
    "skeleton",
    "work",
]

#: The logo: one song and four stems.
_MARK = "".join(
    f'<path d="{path}" stroke="{colour}"/>'
    for path, colour in (
        ("M4 20h8", "currentColor"),
        ("M12 20c5 0 5-13 10-13h14", "#d6447f"),
        ("M12 20c5 0 5-4.5 10-4.5h14", "#2f7fc4"),
        ("M12 20c5 0 5 4.5 10 4.5h14", "#8656c4"),
        ("M12 20c5 0 5 13 10 13h14", "#1f8f69"),
    )
)


def masthead(words: Translator) -> str:
    """Return the logo and the name, after a link that skips to the page."""
    svg = f'<svg viewBox="0 0 40 40" fill="none" stroke-width="3.4" stroke-linecap="round" aria-hidden="true">{_MARK}'
    return (
        f'<a class="skip" href="#main">{escape(words("skip"))}</a>'
        f'<div class="masthead">{svg}</svg><h1>Stemscope</h1></div>'
    )


def hero(words: Translator) -> str:
    """Say what the studio does, above the form."""
    return (
        f'<div class="hero" id="main" tabindex="-1"><h2>{escape(words("hero"))}</h2>'
        f"<p>{escape(words('tagline'))}</p></div>"
    )


def folded_line(words: Translator) -> str:
    """Return the folded form: a line that a script fills in, and the button that unfolds it."""
    change = f'<button type="button" id="change">{escape(words("change"))}</button>'
    return f'<div class="folded-line"><p class="folded-text"><strong></strong><span></span></p>{change}</div>'


def method_texts(words: Translator) -> str:
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
    'HT-Demucs: Rouard, Massa, Défossez, "Hybrid transformers for music source separation", ICASSP 2023',
    'Spleeter: Hennequin, Khlif, Voituret, Moussallam, "Spleeter", JOSS 5(50), 2020',
    'BS-RoFormer: Lu, Wang, Kong, Hung, "Music source separation with band-split RoPE transformer", ICASSP 2024',
    'Mel-Band RoFormer: Wang, Lu, Won, "Mel-Band RoFormer for music source separation", arXiv:2310.01809, 2023',
    'Harmonic-percussive: Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010',
    'Wiener filter: Duong, Vincent, Gribonval, "Under-determined reverberant audio source separation using a full-rank '
    'spatial covariance model", IEEE TASLP 18(7), 2010',
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
        f"<h3>{escape(words('about_methods'))}</h3>{method_texts(words)}"
        f"<h3>{escape(words('about_cite'))}</h3><ul>{papers}</ul></div>"
    )


def footer(words: Translator) -> str:
    """Return the version, the licence, and a button for Gradio's page about the API."""
    return (
        f'<footer class="foot"><span>Stemscope {separation.__version__}</span>'
        f"<span>{escape(words('foot_licence'))}</span>"
        f'<button type="button" id="api">{escape(words("foot_api"))}</button></footer>'
    )


def hint(text: str) -> str:
    """Show a hint on an empty page."""
    return f'<div class="hint" role="status">{escape(text)}</div>'


def skeleton() -> str:
    """Take the place of a page's content until the server has answered what it is."""
    return '<div class="score-page"><div class="chart-skeleton" aria-hidden="true"></div></div>'


class Retry(NamedTuple):
    """A problem with a button that tries a method again; `label` names the method for screen readers."""

    sentence: str
    method: str
    text: str
    label: str


def work(
    title: str, details: Iterable[str] = (), *, share: float | None = None, problems: Iterable[str | Retry] = ()
) -> str:
    """Show progress: a title, details, a bar if `share` is in 0..1, and a line per problem."""
    details = list(details)
    words = "".join(f"<span>{escape(detail)}</span>" for detail in details)
    lines = "".join(map(_problem, problems))
    head = f'<div class="line"><strong>{escape(title)}</strong>{words}</div>'
    refused = "" if details or share is not None or not lines else " refused"  # nothing was begun
    return f'<div class="work{refused}" role="status">{head}{bar(title, share)}{lines}</div>'


def job_facts(song: str, methods: str) -> str:
    """Tell the page's script what the job is about, for the folded form of a page that was opened by a link."""
    return f'<p class="job" hidden data-song="{escape(song)}" data-methods="{escape(methods)}"></p>'


def refusal(sentence: str, field: str, key: str) -> str:
    """Tell the page's script why nothing was begun and at which field, or ""; it tells each `key` once."""
    at = f' data-field="{escape(field)}" data-key="{escape(key)}"'
    return f'<p class="refusal" hidden{at}>{escape(sentence)}</p>'


def bar(label: str, share: float | None) -> str:
    """Return a progress bar; nothing if the share, 0 to 1, is not known."""
    if share is None:
        return ""
    percent = round(100 * min(max(share, 0.0), 1.0))
    return (
        f'<div class="track" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}"'
        f' aria-label="{escape(label)}"><i style="width:{percent}%"></i></div>'
    )


def _problem(problem: str | Retry) -> str:
    if isinstance(problem, str):
        return f"<p>{escape(problem)}</p>"
    button = (
        f'<button type="button" class="retry" data-method="{escape(problem.method)}"'
        f' aria-label="{escape(problem.label)}">{icon("retry")}{escape(problem.text)}</button>'
    )
    return f"<p>{escape(problem.sentence)}{button}</p>"


def file_url(path: Path) -> str:
    """Return the address at which Gradio serves a file, relative to the page."""
    return f"gradio_api/file={quote(str(path))}"


def player(folder: Path, *, view: str = "stems", run: int = 1) -> str:
    """Return the player of a result; `view` is "stems", "compare" or "blind". Another `run` makes it load again."""
    manifest = escape(file_url(folder / "player.json") + (f"?run={run}" if run > 1 else ""))
    return f'<stem-player view="{view}" manifest="{manifest}" token="{escape(folder.name)}"></stem-player>'


def blind_session(tests: Iterable[tuple[str, Path]], result: Path | None = None) -> str:
    """Return a blind test of several stems of a result, each with the folder of its player.

    Without stems, the test of that result that the visitor has begun, if any, and the earlier ratings.
    """
    listed = [
        {"source": source, "token": folder.name, "manifest": file_url(folder / "player.json")}
        for source, folder in tests
    ]
    of = escape(result.name) if result else ""
    tests_of = f'result="{of}" tests="{escape(json.dumps(listed))}"'
    return f'<blind-session class="score-page" {tests_of}></blind-session>'
