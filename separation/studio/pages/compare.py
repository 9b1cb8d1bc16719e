"""The Compare page: methods side by side on one song."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from separation.studio import components, storage
from separation.studio.i18n import Translator, translatable, translator_for
from separation.studio.storage import sort_sources

__all__ = ["build", "draw", "show"]


def build(token: gr.State, tab: gr.Tab) -> None:
    """Lay out the page in the current tab and connect its events; it shows the Separate page's result."""
    place = gr.HTML(components.hint(Translator("en")("compare_first")), elem_id="compare")
    button = gr.Button(translatable("draw_figures"), elem_id="draw-figures", elem_classes="narrow", visible=False)
    figures = gr.HTML(visible=False, elem_id="figures")
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(show, token, [place, button, figures], **private)
    button.click(draw, token, figures, concurrency_limit=2, show_progress="minimal", api_visibility="private")


def show(token: str | None, request: gr.Request) -> tuple[Any, ...]:
    """Return the spectrograms and curves of the result on the Separate page."""
    folder = storage.find_result(token)
    if folder is None:
        words = translator_for(request)
        return components.hint(words("compare_first")), gr.update(visible=False), gr.update(value="", visible=False)
    scored = any(group["scores"] for group in storage.read_player(folder)["groups"])
    return components.player(folder, view="compare"), gr.update(visible=scored), gr.update(value="", visible=False)


def draw(token: str | None, request: gr.Request) -> Any:
    """Return precision and recall of the masks, and this song among the published systems."""
    words, folder = translator_for(request), storage.find_result(token)
    if folder is None:
        return gr.update(value=components.work(words("over")), visible=True)
    scores = {
        words.named("method", group["id"], group["title"]): group["scores"]["targets"]
        for group in storage.read_player(folder)["groups"]
        if group["scores"]
    }
    html = _masks(folder, scores, words) + _violins(folder, scores, words)
    return gr.update(value=html, visible=bool(html))


def _masks(folder: Path, scores: dict[str, Any], words: Translator) -> str:
    """Return a figure per target with a curve per method."""
    from separation.plots import draw_precision_recall, save

    figures = {}
    every = dict.fromkeys(target for targets in scores.values() for target in targets)
    for number, target in enumerate(sort_sources(every)):  # a numbered file name, since stems may have any name
        curves = {}
        for title, targets in scores.items():
            masks = targets.get(target, {}).get("masks")
            if masks and masks["average_precision"] is not None:
                points = [point for point in masks["curve"] if point["recall"] is not None]
                precision, recall = (np.array([point[what] for point in points]) for what in ("precision", "recall"))
                curves[title] = precision, recall, masks["average_precision"]
        if curves:
            figure = draw_precision_recall(curves, axes=(words("recall"), words("precision")))
            figures[words.named("stem", target, target)] = save(figure, folder / f"masks-{number}.png")
    return components.small_figures(words("masks_title"), figures) if figures else ""


def _violins(folder: Path, scores: dict[str, Any], words: Translator) -> str:
    """Return violins of the published systems with this song as a point."""
    from separation.evaluation.published import published_scores
    from separation.plots import draw_violins, save

    published = published_scores("SDR")
    table: dict[str, dict[str, np.ndarray]] = {}
    ours = [words("this_song", method=title) for title in scores]
    for target in sort_sources(published):
        mine = {
            name: np.array([targets[target]["SDR"]])
            for name, targets in zip(ours, scores.values(), strict=True)
            if targets.get(target, {}).get("SDR") is not None
        }
        if mine:
            theirs = {name: np.array(list(tracks.values())) for name, tracks in published[target].items()}
            table[words.named("stem", target, target)] = theirs | mine
    if not table:
        return ""
    path = folder / "violins.png"
    save(draw_violins(table, metric="SDR", aggregation=words("per_track"), chosen=ours), path)
    return components.figure(words("among"), path, text=f"{words('among')}: {', '.join(ours)}")
