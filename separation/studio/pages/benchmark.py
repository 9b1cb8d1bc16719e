"""The Benchmark page: violin plots over a data set, of our, published and uploaded scores."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from separation.resources import ASSETS
from separation.studio import components, storage
from separation.studio.i18n import Translator, translatable, translator_for

__all__ = ["add", "build", "draw", "our_scores"]

FILE = ASSETS / "results" / "musdb18-test.csv"
METRICS = ("SDR", "ISR", "SIR", "SAR")
SHOWN = ("open-unmix", "demucs", "hpss", "mix")

Scores = dict[str, dict[str, dict[str, float]]]  # target -> method -> track -> dB


@cache
def our_scores(metric: str) -> Scores:
    """Return every method's scores on the MUSDB18 test clips, from ``make results``."""
    found: Scores = {}
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row[metric]:
                found.setdefault(row["target"], {}).setdefault(row["method"], {})[row["track"]] = float(row[metric])
    return found


def build(tab: gr.Tab) -> None:
    """Lay out the page in the current tab and connect its events."""
    gr.Markdown(translatable("bench_intro"), elem_classes="intro")
    ours = list(dict.fromkeys(method for methods in our_scores("SDR").values() for method in methods))
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            methods = gr.CheckboxGroup(ours, value=list(SHOWN), label=translatable("methods"), elem_id="bench-methods")
        with gr.Column(scale=1, min_width=300):
            metric = gr.Radio(list(METRICS), value="SDR", label=translatable("metric"), elem_id="bench-metric")
    published = gr.Checkbox(True, label=translatable("published"), elem_id="bench-published", container=False)
    with gr.Accordion(translatable("own_scores_title"), open=False, elem_id="bench-own"):
        files = gr.File(
            label=translatable("own_scores"), file_count="multiple", type="filepath", elem_id="bench-files", height=150
        )
        name = gr.Textbox("mine", label=translatable("own_scores_name"), elem_id="bench-name", max_length=40)
    place = gr.HTML(elem_id="benchmark")
    choice = [methods, metric, published, files, name]
    chosen = [tab.select, methods.input, metric.input, published.input, files.change, name.submit, name.blur]
    gr.on(
        chosen,
        draw,
        choice,
        place,
        trigger_mode="always_last",
        concurrency_limit=2,
        show_progress="minimal",
        api_visibility="private",
    )


def add(files: list[str], name: str, metric: str, scores: Scores) -> Scores:
    """Add one method from museval's files, or ZIPs of them; raise ValueError for other files."""
    from separation.evaluation.museval_json import read_result, scores_by_target
    from separation.studio.uploads import unpack

    title = name.strip()[:40] or "mine"
    with storage.scratch() as folder:
        found = unpack(files, folder, suffixes=(".json",))
        tracks = scores_by_target([read_result(path) for path in found.values()], metric)
    if not tracks:
        raise ValueError(f"these files contain no {metric}")
    named = {target: dict(zip(found, values.values(), strict=False)) for target, values in tracks.items()}
    return {
        target: scores.get(target, {}) | ({title: named[target]} if target in named else {})
        for target in (*scores, *(target for target in named if target not in scores))
    }


def draw(
    methods: list[str], metric: str, published: bool, files: list[str] | None, name: str, request: gr.Request
) -> str:
    """Return the figure and the table."""
    words = translator_for(request)
    try:
        ours = {
            target: {method: tracks for method, tracks in found.items() if method in methods}
            for target, found in our_scores(metric).items()
        }
        if files:
            ours = add(files, name, metric, ours)
        return _figure(ours, metric, published, words) + _table(ours, metric, words)
    except (ValueError, KeyError) as error:
        return components.work(words("failed_title"), problems=[str(error)])


def _figure(ours: Scores, metric: str, published: bool, words: Translator) -> str:
    from separation.evaluation.published import published_scores
    from separation.plots import draw_violins, save

    chosen = list(dict.fromkeys(method for methods in ours.values() for method in methods))
    others = published_scores(metric) if published else {}
    targets = {
        words.named("stem", target, target): {
            method: np.array(list(tracks.values()))
            for method, tracks in {**others.get(target, {}), **ours[target]}.items()
        }
        for target in storage.sort_sources(ours)
    }
    figure = draw_violins(targets, metric=metric, aggregation=words("per_track"), chosen=chosen)
    storage.remove_expired()
    path = save(figure, storage.new_folder() / "violins.png")
    return components.figure(metric, path, text=f"{metric}: {', '.join(chosen)}")


def _table(ours: Scores, metric: str, words: Translator) -> str:
    """Return the medians per target, best first, and the tests of their differences."""
    from separation.evaluation.comparison import compare

    targets = compare(ours, metric)["targets"]
    html = "".join(_of_target(target, targets[target], metric, words) for target in storage.sort_sources(targets))
    if not html:
        return ""
    return (
        f'<details class="figure"><summary>{escape(words("table"))}</summary><div class="tables">{html}</div>'
        f"<p>{escape(words('wilcoxon'))}</p></details>"
    )


def _of_target(target: str, found: Mapping[str, Any], metric: str, words: Translator) -> str:
    title = words.named("stem", target, target)
    medians = [(method, row) for method, row in found["methods"].items() if row["median"] is not None]
    medians.sort(key=lambda pair: -pair[1]["median"])
    rows = [
        (
            method,
            f"{row['median']:.2f}",
            "" if row["low"] is None else words("to", low=f"{row['low']:.2f}", high=f"{row['high']:.2f}"),
            str(row["tracks"]),
        )
        for method, row in medians
    ]
    html = components.table((title, f"{metric} (dB)", "95 %", "n"), rows, caption=f"{title}: {metric}")
    pairs = [
        (
            " \N{EN DASH} ".join(pair["methods"]),
            f"{pair['median_difference']:+.2f}",
            f"{pair['p_holm']:.2g}",
            str(pair["tracks"]),
        )
        for pair in found["comparisons"]
        if pair["p_holm"] is not None
    ]
    if pairs:
        html += components.table(("", "Δ (dB)", "p", "n"), pairs, caption=f"{title}: {words('wilcoxon')}")
    return f"<div>{html}</div>" if rows else ""
