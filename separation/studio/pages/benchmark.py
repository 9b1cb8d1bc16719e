"""The Benchmark page: scores over a data set, of our, published and uploaded methods."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from separation.evaluation.metrics import EXTRA_METRICS, METRIC_UNITS
from separation.studio.components import fragments
from separation.studio.components.quality import Scores, our_metrics, our_scores
from separation.studio.errors import visitor_message
from separation.studio.i18n import translatable, translator_for
from separation.studio.inputs import songs
from separation.studio.results import storage
from separation.studio.results.comparison import finite, outside_ranking, pack_scores

if TYPE_CHECKING:
    from separation.evaluation.museval_json import TrackResult

__all__ = ["add", "build", "draw"]

MOST_BYTES = 8e6  # of a track's scores: ten hours take 4 MB, and a document in memory up to 20 times its size
SHOWN = ("best-offline", "open-unmix", "demucs", "hpss", "mix")


def build(tab: gr.Tab) -> None:
    """Lay out the page in the current tab and connect its events."""
    gr.Markdown(translatable("bench_intro"), elem_classes="intro")
    ours = list(dict.fromkeys(method for methods in our_scores("SDR").values() for method in methods))
    choices = [(translatable(f"method_{name}"), name) for name in ours]
    metrics = [(_title(name), name) for name in our_metrics()]
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            methods = gr.CheckboxGroup(
                choices, value=list(SHOWN), label=translatable("methods"), elem_id="bench-methods", elem_classes="pills"
            )
        with gr.Column(scale=1, min_width=300):
            metric = gr.Radio(
                metrics, value="SDR", label=translatable("metric"), elem_id="bench-metric", elem_classes="pills"
            )
    published = gr.Checkbox(True, label=translatable("published"), elem_id="bench-published", elem_classes="pill")
    with gr.Accordion(translatable("own_scores_title"), open=False, elem_id="bench-own"):
        files = gr.File(
            label=translatable("own_scores"), file_count="multiple", type="filepath", elem_id="bench-files", height=150
        )
        name = gr.Textbox(
            "",
            label=translatable("own_scores_name"),
            placeholder=translatable("mine"),
            elem_id="bench-name",
            max_length=40,
        )
    place = gr.HTML(_element(_scores(SHOWN, "SDR"), "SDR", published=True), elem_id="benchmark")
    choice = [methods, metric, published, files, name]
    chosen = [tab.select, methods.input, metric.input, published.input, files.change, name.submit, name.blur]
    gr.on(
        chosen,
        draw,
        choice,
        place,
        trigger_mode="always_last",
        concurrency_limit=2,
        show_progress="hidden",
        api_visibility="private",
    )


def _title(metric: str) -> Any:
    return translatable(f"metric_name_{metric}") if metric in EXTRA_METRICS else metric


def add(files: list[str], name: str, metric: str, scores: Scores) -> Scores:
    """Add one method from museval's files, or ZIPs of them; raise ValueError for other files."""
    from separation.evaluation.museval_json import scores_by_target
    from separation.studio.inputs.uploads import unpack

    with storage.scratch() as folder:
        found = unpack(files, folder, suffixes=(".json",))
        tracks = scores_by_target([_read(path, called) for called, path in found.items()], metric)
    if not tracks:
        raise ValueError(f"these files contain no {metric}")
    return {
        target: scores.get(target, {}) | ({name: tracks[target]} if target in tracks else {})
        for target in (*scores, *(target for target in tracks if target not in scores))
    }


def _read(path: Path, name: str) -> TrackResult:
    """Read a track's scores under the visitor's name for the file."""
    from separation.evaluation.museval_json import read_result

    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"'{name}.json' is larger than {MOST_BYTES / 1e6:g} MB, the limit for a track's scores")
    try:
        return replace(read_result(path), name=name)
    except ValueError as error:
        raise ValueError(f"'{name}.json' is not a track's scores as museval writes them") from error


def draw(
    methods: list[str], metric: str, published: bool, files: list[str] | None, name: str, request: gr.Request
) -> str:
    """Return the element that draws the scores, with the answer and the table."""
    words = translator_for(request)
    try:
        if not files:
            own = _scores(methods, metric)
            return _element(own, metric, published=published, comparison=_own_comparison(tuple(methods), metric))
        scores = add(files, name.strip()[:40] or words("mine"), metric, _scores(methods, metric))
        return _element(scores, metric, published=published, comparison=_comparison(scores, metric))
    except ValueError as error:
        return fragments.work(words("failed_title"), problems=[visitor_message(error, words)])


@lru_cache(maxsize=32)
def _own_comparison(methods: tuple[str, ...], metric: str) -> dict[str, Any]:
    """Return the comparison of our own methods; the same choice is compared once."""
    return _comparison(_scores(methods, metric), metric)


def _scores(methods: tuple[str, ...] | list[str], metric: str) -> Scores:
    return {
        target: {method: tracks for method, tracks in found.items() if method in methods}
        for target, found in our_scores(metric).items()
    }


def _comparison(scores: Scores, metric: str) -> dict[str, Any]:
    """Return medians with intervals, tests of all pairs, and the ranking for the answer."""
    from separation.evaluation.comparison import compare
    from separation.evaluation.ranking import rank_scores

    compared = finite(compare(scores, metric)["targets"])
    targets = {target: compared[target] for target in storage.sort_sources(compared) if compared[target]["methods"]}
    ranking = {
        target: {
            metric: rank_scores(
                {method: row["median"] for method, row in its["methods"].items()},
                scores[target],
                outside=outside_ranking(its["methods"]),
            )
        }
        for target, its in targets.items()
    }
    return {"targets": targets, "ranking": ranking}


def _element(scores: Scores, metric: str, *, published: bool, comparison: dict[str, Any] | None = None) -> str:
    ours = pack_scores(scores)
    here = {name.removesuffix(" (test)"): name for name in songs.musdb_tracks() if name.endswith(" (test)")}
    playable = {track: here[track] for track in ours["tracks"] if track in here}
    document = {
        "metric": metric,
        "unit": METRIC_UNITS[metric],
        "published": published,
        "ours": ours,
        "comparison": comparison,
        "songs": playable,
    }
    text = escape(json.dumps(document, allow_nan=False))
    return f'<score-benchmark class="score-page" scores="{text}"></score-benchmark>'
