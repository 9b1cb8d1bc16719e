"""The method cards: checkboxes in three groups, each with the method's description, quality and speed.

The component's value is the list of chosen methods. Its script is ``assets/page/method_cards.js``.
"""

from __future__ import annotations

from html import escape

import gradio as gr

from separation.resources import ASSETS
from separation.separators import DEFAULT_METHOD, METHODS, Method
from separation.separators.factory import first_installed
from separation.studio.components.icons import icon
from separation.studio.components.quality import vocals_sdr
from separation.studio.i18n import Translator
from separation.studio.inputs.checks import has_weights
from separation.studio.jobs.speeds import speed_of
from separation.studio.limits import may_manage_models

__all__ = ["method_cards", "method_choice"]

_SCRIPT = (ASSETS / "page" / "method_cards.js").read_text("utf-8")

#: Button -> the methods that it chooses; "all" chooses every single method that can work.
_SETS = {"best": ["best"], "fast": ["fast"], "all": [name for name, method in METHODS.items() if not method.preset]}
_SET_ICONS = {"best": "star", "fast": "bolt", "all": "compare"}

_GROUPS = ("neural", "classical", "bounds")
_BEST_SDR = 10.0  # dB; fills the quality bar


def method_choice() -> gr.HTML:
    """Return the cards as an input; it triggers ``fetch_model`` with a method's name when its weights are wanted."""
    return gr.HTML(
        [DEFAULT_METHOD],
        html_template="${cards}",
        js_on_load=_SCRIPT,
        elem_id="methods",
        cards=method_cards(Translator("en")),
        truth=False,  # whether the true sources of the song are known
    )


def method_cards(words: Translator, fetching: dict[str, str] | None = None) -> str:
    """Return the cards as HTML.

    Parameters
    ----------
    fetching : dict of str to str, optional
        Method -> HTML that replaces the download button of its weights.
    """
    sets = "".join(
        f'<button type="button" class="set" aria-pressed="false" data-set="{" ".join(_SETS[name])}">'
        f"{icon(_SET_ICONS[name])}{escape(words(f'set_{name}'))}</button>"
        for name in _SETS
    )
    groups = "".join(_group(group, words, fetching or {}) for group in _GROUPS)
    return (
        f'<fieldset class="methods"><legend>{escape(words("methods_label"))}</legend>'
        f'<div class="sets" role="group" aria-label="{escape(words("sets"))}">{sets}</div>'
        f'<p class="field-error" id="methods-error" hidden></p>{groups}</fieldset>'
    )


def _group_of(method: Method) -> str:
    if method.needs_references or method.name == "mix":
        return "bounds"
    return "neural" if method.has_model or method.preset is not None else "classical"


def _group(group: str, words: Translator, fetching: dict[str, str]) -> str:
    cards = "".join(_card(method, words, fetching) for method in METHODS.values() if _group_of(method) == group)
    return (
        f'<div class="method-group" role="group" aria-labelledby="group-{group}">'
        f'<h3 id="group-{group}">{escape(words(f"methods_{group}"))}</h3><div class="method-cards">{cards}</div></div>'
    )


def _card(method: Method, words: Translator, fetching: dict[str, str]) -> str:
    name = method.name
    here = has_weights(name)
    oracle = ' data-needs="truth"' if method.needs_references else ""
    title = escape(words.named("method", name, method.title))
    foot = _facts(name, words) if here else fetching.get(name) or _fetch_button(method, words)
    need = f'<p class="need">{escape(words("needs_truth"))}</p>' if method.needs_references else ""
    return (
        f'<div class="method{"" if here else " missing"}" id="card-{name}"{oracle}>'
        f'<input type="checkbox" id="method-{name}" value="{name}" aria-describedby="about-{name}"'
        f'{"" if here else " disabled"}><label for="method-{name}">{title}</label>'
        f'<p id="about-{name}" class="about-method">{escape(words.named("line", name, method.summary))}</p>{need}'
        f'<div class="method-foot">{foot}</div></div>'
    )


def _facts(name: str, words: Translator) -> str:
    """Return the measured quality and speed of a method."""
    facts = []
    evaluated, choice = _choice(name, words)
    if choice:
        facts.append(f'<span class="choice">{escape(words("chooses", method=choice))}</span>')
    sdr, speed = vocals_sdr().get(evaluated), speed_of(name)
    if sdr is not None:
        share = round(100 * min(max(sdr / _BEST_SDR, 0.0), 1.0))
        hint = escape(words("quality_hint"))
        facts.append(
            f'<span class="quality" title="{hint}"><i aria-hidden="true"><b style="width:{share}%"></b></i>'
            f"{escape(words('quality', db=words.number(sdr, 1)))}</span>"
        )
    if speed is not None and _group_of(METHODS[name]) != "bounds":  # nobody chooses these for their speed
        facts.append(f'<span class="speed">{icon("gauge")}{escape(words.speed(speed))}</span>')
    return "".join(facts)


def _choice(name: str, words: Translator) -> tuple[str, str]:
    """Return the method whose scores hold for a method, or "", and the title of what it chooses, if it chooses."""
    preset = METHODS[name].preset
    if preset is None or not preset.first_installed:
        return name, ""
    method, model = first_installed(preset)
    title = words.named("method", method, METHODS[method].title)
    return ("", f"{title}: {model}") if model else (method, title)  # other models than its own are not evaluated


def _fetch_button(method: Method, words: Translator) -> str:
    from separation.weights import catalogue

    model = next((one for one in catalogue.list_models() if one.name == method.default_model), None)
    if model is None or not may_manage_models() or model.package:
        return f'<span class="missing-note">{escape(words("state_missing"))}</span>'
    licence = words.sentence(model.licence)
    terms = words(f"restriction_{model.restriction}") if model.restriction else licence
    megabytes = words.number((model.bytes or 4 * (model.parameters or 0)) / 1e6, 0)
    label = words("get_it", megabytes=megabytes, licence=terms)
    title = escape(words.named("method", method.name, method.title))
    return (
        f'<button type="button" class="get" id="get-{method.name}" data-method="{method.name}"'
        f' aria-label="{title}: {escape(label)}" title="{escape(words("licence"))}: {escape(licence)}">'
        f"{icon('download')}<span>{escape(label)}</span></button>"
    )
