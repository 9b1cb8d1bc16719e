"""The studio's small pieces of HTML. Everything that is not ours is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from separation.separators import METHODS, Method

if TYPE_CHECKING:
    from separation.checkpoints import Model
    from separation.studio.words import Words

__all__ = ["figure", "file_url", "masthead", "method_cards", "model_cards", "player", "table", "work"]


def masthead(words: Words) -> str:
    return f'<div class="masthead"><h1>Stemscope</h1><p>{escape(words("tagline"))}</p></div>'


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


def file_url(path: Path) -> str:
    """Where Gradio serves a file, relative to the page."""
    return f"gradio_api/file={quote(str(path))}"


def player(folder: Path, *, view: str = "stems") -> str:
    """The player of a result. `view` is "stems", "compare" or "blind"."""
    manifest = escape(file_url(folder / "player.json"))
    return f'<stem-player view="{view}" manifest="{manifest}" token="{escape(folder.name)}"></stem-player>'


def figure(title: str, image: Path, *, text: str, note: str = "") -> str:
    """A picture with a heading; `text` says what it shows to those who cannot see it."""
    return (
        f'<div class="figure"><h4>{escape(title)}</h4><img src="{file_url(image)}" alt="{escape(text)}">'
        f"<p>{escape(note)}</p></div>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    """A table whose first column names the rows."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="figure scroll" tabindex="0" role="region" aria-label="{escape(caption or head[0])}"><table>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table><p>{escape(caption)}</p></div>"
    )


# -- models ----------------------------------------------------------------------------------------

#: What happens to a sound, step by step.
_STEPS = {
    "open-unmix": ("STFT", "scale", "3 BLSTM layers", "mask", "Wiener filter", "4 stems"),
    "demucs": ("waveform", "encoder", "BLSTM", "decoder", "4 stems"),
    "hybrid-demucs": ("waveform + STFT", "2 encoders", "shared LSTM, attention", "2 decoders", "4 stems"),
}


def model_cards(models: Iterable[Model], speeds: Mapping[str, float], words: Words) -> str:
    """Each model: what it is, a picture, its size, terms, and how fast it is here."""
    cards = []
    for model in models:
        state = "bundled" if model.bundled else "installed" if model.installed else "missing"
        speed = (
            words("of_real_time", factor=f"{speeds[model.name]:.2f}") if model.name in speeds else words("unmeasured")
        )
        size = f"{model.size / 1e6:.1f} MB" if model.size else f"~{4 * (model.parameters or 0) / 1e6:.0f} MB"
        facts = {
            words("size"): f"{size}, {(model.parameters or 0) / 1e6:.1f} M",
            words("licence"): model.licence,
            words("trained_on"): model.trained_on,
            words("speed"): speed,
        }
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
        cards.append(
            f"<article><h4>{escape(model.name)}<span>{escape(words(f'state_{state}'))}</span></h4>"
            f"<p>{escape(METHODS[model.method].title)}: {escape(', '.join(model.sources))}</p>"
            f"{_diagram(_STEPS.get(model.method, ()))}<dl>{rows}</dl></article>"
        )
    return f'<div class="models">{"".join(cards)}</div>'


def _diagram(steps: Sequence[str]) -> str:
    """Boxes and arrows, in the text's own colour."""
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
    label = escape(" → ".join(steps))
    return f'<svg viewBox="0 0 {x + 1:.0f} 34" role="img" aria-label="{label}">{"".join(parts)}</svg>'
