"""The model cards: description, terms and speed of each set of weights, and a download button."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from separation.separators import METHODS
from separation.studio.components import fragments
from separation.studio.components.icons import icon
from separation.studio.i18n import Translator
from separation.studio.jobs.speeds import speed_of
from separation.studio.limits import may_manage_models

if TYPE_CHECKING:
    from separation.weights.model import Model

__all__ = ["model_cards", "model_list"]

_SCRIPT = """element.addEventListener("click", (event) => {
  const get = event.target.closest(".get");
  if (get) trigger("fetch_model", { model: get.dataset.model });
});"""


def model_list() -> gr.HTML:
    """Return the place of the cards; it triggers ``fetch_model`` with a model's name when the visitor wants it."""
    return gr.HTML(fragments.skeleton(), js_on_load=_SCRIPT, elem_id="models")


#: The keys of the steps of each method, for its diagram; stems are always the last.
_STEPS = {
    "open-unmix": ("stft", "scale", "lstm_layers", "mask", "wiener"),
    "demucs": ("waveform", "encoder", "lstm", "decoder"),
    "hybrid-demucs": ("both_inputs", "encoders", "shared_lstm", "decoders"),
    "htdemucs": ("both_inputs", "encoders", "cross_transformer", "decoders"),
    "roformer": ("stft", "bands", "axial_transformers", "complex_masks"),
    "spleeter": ("spectrogram", "unets", "soft_mask"),
}


def model_cards(models: Iterable[Model], words: Translator, fetching: Mapping[str, str] | None = None) -> str:
    """Describe each model: purpose, diagram, size, terms and measured speed.

    Parameters
    ----------
    fetching : mapping of str to str, optional
        Model -> HTML that replaces its download button.
    """
    cards = [_card(model, words, (fetching or {}).get(model.name, "")) for model in models]
    return f'<div class="models">{"".join(cards)}</div>'


def _card(model: Model, words: Translator, fetching: str) -> str:
    state = "bundled" if model.bundled else "installed" if model.installed else "missing"
    factor = speed_of(model.method, model.name)
    facts = {
        words(
            "size"
        ): f"{model.stated_size}, {words('parameters', millions=words.number((model.parameters or 0) / 1e6, 1))}",
        words("licence"): words.sentence(model.licence),
        words("trained_on"): words.sentence(model.trained_on),
        words("speed"): words("unmeasured") if factor is None else words.speed(factor),
    }
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    method = escape(words.named("method", model.method, METHODS[model.method].title))
    steps = [*(words(f"step_{step}") for step in _STEPS[model.method]), words("step_stems", count=len(model.sources))]
    return (
        f'<article class="card" id="model-{escape(model.name)}"><h3>{escape(model.name)}<span class="{state}">'
        f"{escape(words(f'state_{state}'))}</span></h3>"
        f"<p>{method}: {escape(_source_names(model.sources, words))}</p>"
        f"{_diagram(steps)}<dl>{rows}</dl>"
        f"{fetching or _fetch_button(model, words)}</article>"
    )


def _fetch_button(model: Model, words: Translator) -> str:
    if model.installed or model.own or model.package or not may_manage_models():
        return ""
    label = f"{words('download')} ({model.stated_size})"
    name = escape(model.name)
    return (
        f'<button type="button" class="get" id="get-model-{name}" data-model="{name}"'
        f' aria-label="{name}: {escape(label)}">{icon("download")}<span>{escape(label)}</span></button>'
    )


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
