"""The Separate page: choose a song and methods, listen, and download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from separation.separators import DEFAULT_METHOD, METHODS
from separation.studio import components, songs
from separation.studio.history import history
from separation.studio.i18n import Translator, translatable
from separation.studio.job_page import JobParts, go_on_button, wire
from separation.studio.model_choice import default_weights, installed_weights

__all__ = ["SeparatePage", "build"]


@dataclass(frozen=True, kw_only=True)
class SeparatePage:
    """Components of this page that other pages use."""

    token: gr.State
    job: JobParts
    defaults: gr.BrowserState
    weights: dict[str, gr.Dropdown]
    described: gr.HTML


def build() -> SeparatePage:
    """Lay out the page in the current Blocks and connect its events."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            song = _song_choice()
            with gr.Accordion(translatable("own"), open=False, elem_id="own"):
                own = _own_sounds()
        with gr.Column(scale=5, min_width=300):
            methods = _method_choice()
            with gr.Accordion(translatable("what_methods"), open=False):
                described = gr.HTML(components.method_cards(Translator("en")))
            with gr.Row(elem_classes="pair"):
                start = gr.Number(0, label=translatable("start"), elem_id="start", minimum=0, min_width=100)
                duration = gr.Number(0, label=translatable("duration"), elem_id="duration", minimum=0, min_width=100)
            with gr.Accordion(translatable("advanced"), open=False, elem_id="advanced"):
                advanced, weights = _advanced()
            with gr.Row(elem_classes="pair"):
                run = gr.Button(translatable("separate"), variant="primary", elem_id="separate", scale=3, min_width=100)
                stop = gr.Button(
                    translatable("stop"), variant="stop", elem_id="stop", interactive=False, scale=1, min_width=80
                )
    status = gr.HTML(components.hint(Translator("en")("ready")), elem_id="status")
    go_on = go_on_button()
    place = gr.HTML(visible=False, elem_id="result")
    earlier = gr.HTML(history([], Translator("en")), elem_id="history")
    defaults = gr.BrowserState({}, storage_key="stemscope-defaults", secret="stemscope")
    choice = [*song, methods, start, duration, *own, *advanced, *weights.values()]
    job = JobParts.around(run=run, stop=stop, go_on=go_on, status=status, place=place, history=earlier)
    wire(job, choice)
    return SeparatePage(token=job.token, job=job, defaults=defaults, weights=weights, described=described)


def _song_choice() -> list[Any]:
    tracks = list(songs.musdb_tracks())
    titles = list(songs.samples())
    kinds = ["upload", "sample", *(["musdb"] if tracks else [])]
    kind = gr.Radio(
        [(translatable(f"kind_{name}"), name) for name in kinds],
        value="upload",
        label=translatable("song"),
        elem_id="kind",
    )
    upload = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",  # a file, not gr.Audio's decoding, which would open playlists
        label=translatable("your_song"),
        elem_id="upload",
        buttons=[],
    )
    sample = gr.Dropdown(
        titles, value=titles[0] if titles else None, label=translatable("sample"), visible=False, elem_id="sample"
    )
    track = gr.Dropdown(tracks, label=translatable("musdb"), visible=False, elem_id="musdb", filterable=True)
    kind.change(
        lambda chosen: [gr.update(visible=chosen == name) for name in ("upload", "sample", "musdb")],
        kind,
        [upload, sample, track],
        show_progress="hidden",
        api_visibility="private",
    )
    return [kind, upload, sample, track]


def _method_choice() -> gr.CheckboxGroup:
    return gr.CheckboxGroup(
        [(translatable(f"method_{name}"), name) for name in METHODS],
        value=[DEFAULT_METHOD],
        label=translatable("methods_label"),
        info=translatable("methods_info"),
        elem_id="methods",
    )


def _own_sounds() -> list[Any]:
    gr.Markdown(translatable("references_info"), elem_classes="note")
    references, estimates = (
        gr.File(label=translatable(name), file_count="multiple", type="filepath", elem_id=name, height=150)
        for name in ("references", "estimates")
    )
    name = gr.Textbox("Your separator", label=translatable("estimates_name"), elem_id="yours", max_length=40)
    return [references, estimates, name]


def _advanced() -> tuple[list[Any], dict[str, gr.Dropdown]]:
    karaoke = gr.Checkbox(False, label=translatable("karaoke"), info=translatable("karaoke_info"), elem_id="karaoke")
    together = gr.Checkbox(False, label=translatable("sum"), info=translatable("sum_info"), elem_id="sum")
    iterations = gr.Slider(0, 4, value=1, step=1, label=translatable("iterations"), elem_id="iterations")
    shifts = gr.Slider(0, 10, value=0, step=1, label=translatable("shifts"), elem_id="shifts")
    gr.Markdown(translatable("model_of"), elem_classes="note")
    with gr.Row():
        weights = {
            method.name: gr.Dropdown(
                installed_weights(method.name),
                value=default_weights(method.name),
                label=method.title,
                elem_id=f"weights-{method.name}",
                visible=bool(installed_weights(method.name)),
            )
            for method in METHODS.values()
            if method.has_model
        }
    return [karaoke, together, iterations, shifts], weights
