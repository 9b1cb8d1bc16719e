"""The Separate page: choose a song and methods, listen, and download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from separation.resources import ASSETS
from separation.separators import METHODS
from separation.studio.components import fragments
from separation.studio.components.method_cards import method_choice
from separation.studio.i18n import Translator, translatable
from separation.studio.jobs.history import history
from separation.studio.pages import song_choice
from separation.studio.pages.job_control import JobParts, status_line, wire
from separation.studio.pages.method_choice import wire_methods
from separation.studio.pages.model_choice import weights_dropdown
from separation.studio.pages.song_choice import SongChoice

__all__ = ["SeparatePage", "build"]

#: The choice, or that all places of the visitor are taken; scripts fill them in.
_CHOICE = '<p id="places" role="status"></p><p class="folded-text" id="choice"><strong></strong><span></span></p>'
_FOLDING = (ASSETS / "page" / "folding.js").read_text("utf-8")


@dataclass(frozen=True, kw_only=True)
class SeparatePage:
    """Components of this page that other pages use."""

    token: gr.State
    job: JobParts
    defaults: gr.BrowserState
    weights: dict[str, gr.Dropdown]
    hero: gr.HTML
    song: SongChoice
    methods: gr.HTML
    folded: gr.HTML


def build() -> SeparatePage:
    """Lay out the page in the current Blocks and connect its events."""
    with gr.Column(elem_id="form"):
        hero = gr.HTML(fragments.hero(Translator("en")))
        song = song_choice.build()
        with gr.Row(elem_id="action"):
            run = gr.Button(translatable("separate"), variant="primary", elem_id="separate", size="lg", scale=0)
            gr.HTML(_CHOICE)
        methods = method_choice()
        with gr.Accordion(translatable("advanced"), open=False, elem_id="advanced"):
            with gr.Row():
                # Gradio's own audio player has an element called "duration".
                start = gr.Number(0, label=translatable("start"), elem_id="start", minimum=0, min_width=140)
                duration = gr.Number(0, label=translatable("duration"), elem_id="length", minimum=0, min_width=140)
            advanced, weights = _advanced()
        with gr.Accordion(translatable("own"), open=False, elem_id="own"):
            own = _own_sounds()
    with gr.Row(elem_id="now"):
        folded = gr.HTML(
            "",
            html_template="${line}",
            line=fragments.folded_line(Translator("en")),
            problem="",  # with the song, for the script
            js_on_load=_FOLDING,
            elem_id="folded",
        )
        stop = gr.Button(translatable("stop"), variant="stop", elem_id="stop", interactive=False, scale=0, min_width=96)
    status = status_line()
    go_on = gr.Button(translatable("go_on"), variant="primary", elem_id="go-on", visible=False, min_width=100)
    place = gr.HTML(visible=False, elem_id="result")
    earlier = gr.HTML(history([], Translator("en")), elem_id="history")
    defaults = gr.BrowserState({}, storage_key="stemscope-defaults", secret="stemscope")
    choice = [*song.values, methods, start, duration, *own, *advanced, *weights.values()]
    job = JobParts.around(run=run, stop=stop, go_on=go_on, status=status, place=place, history=earlier)
    wire(job, choice)
    song_choice.wire(song, references=own[0], methods=methods, folded=folded, visitor=job.visitor)
    wire_methods(methods, job.visitor)
    return SeparatePage(
        token=job.token,
        job=job,
        defaults=defaults,
        weights=weights,
        hero=hero,
        song=song,
        methods=methods,
        folded=folded,
    )


def _own_sounds() -> list[Any]:
    gr.Markdown(translatable("references_info"), elem_classes="note")
    references, estimates = (
        gr.File(label=translatable(name), file_count="multiple", type="filepath", elem_id=name, height=150)
        for name in ("references", "estimates")
    )
    name = gr.Textbox(
        "",
        label=translatable("estimates_name"),
        placeholder=translatable("method_own_stems"),
        elem_id="yours",
        max_length=40,
    )
    return [references, estimates, name]


def _advanced() -> tuple[list[Any], dict[str, gr.Dropdown]]:
    karaoke = gr.Checkbox(False, label=translatable("karaoke"), info=translatable("karaoke_info"), elem_id="karaoke")
    together = gr.Checkbox(False, label=translatable("sum"), info=translatable("sum_info"), elem_id="sum")
    more = gr.Checkbox(False, label=translatable("metrics"), info=translatable("metrics_info"), elem_id="metrics")
    iterations = gr.Slider(0, 4, value=1, step=1, label=translatable("iterations"), elem_id="iterations")
    shifts = gr.Slider(0, 10, value=0, step=1, label=translatable("shifts"), elem_id="shifts")
    gr.Markdown(translatable("model_of"), elem_classes="note")
    with gr.Row():
        weights = {name: weights_dropdown(name, f"weights-{name}") for name, one in METHODS.items() if one.has_model}
    return [karaoke, together, more, iterations, shifts], weights
