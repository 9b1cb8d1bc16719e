"""Which method is best, not knowing which is which: a listening test in the manner of MUSHRA.

The stimuli are the methods' estimates of one source, the true source if it is known (the hidden
reference) and the mixture (the anchor): in random order, under letters, all at the same level, each
newly encoded so that nothing but its sound tells it apart. What is behind a letter stays on the
server until the ratings are in.

References
----------
ITU-R BS.1534-3, "Method for the subjective assessment of intermediate quality level of audio systems".
"""

from __future__ import annotations

import csv
import json
import secrets
import string
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import gradio as gr

from separation.studio import cards, jobs, results
from separation.studio.words import Words, label, words_for

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["begin", "build", "reveal", "sources"]

LONGEST = 30.0  # seconds: who can judge more at once
MOST_GAIN = 10.0  # 20 dB


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """What is behind a letter."""

    title: str
    method: str
    scores: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class BlindTest:
    """A test that is under way."""

    song: str
    source: str
    stimuli: Mapping[str, Stimulus]
    began: float


_tests: dict[str, BlindTest] = {}  # by the token of its folder; nowhere in that folder


def build(token: gr.State, tab: gr.Tab) -> None:
    """Lay the page out inside its tab, and wire it."""
    gr.Markdown(label("blind_intro"), elem_classes="intro")
    with gr.Row(elem_classes="pair actions narrow"):
        source = gr.Dropdown(
            [], label=label("source"), elem_id="blind-source", visible=False, container=False, min_width=120
        )
        button = gr.Button(label("begin"), variant="primary", elem_id="begin", visible=False, min_width=120)
    place = gr.HTML(cards.hint(Words("en")("compare_first")), elem_id="blind")
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(_offer, token, [source, button, place], **private)
    button.click(_begin, [token, source], place, concurrency_limit=2, show_progress="minimal", api_visibility="private")


def _offer(token: str | None, request: gr.Request) -> tuple[Any, ...]:
    words, folder = words_for(request), results.find(token)
    names = sources(folder) if folder else []
    if not names:
        return gr.update(visible=False), gr.update(visible=False), cards.hint(words("compare_first"))
    choices = [(words.named("stem", name, name), name) for name in names]
    return gr.update(choices=choices, value=names[0], visible=True), gr.update(visible=True), ""


def sources(folder: Path) -> list[str]:
    """The sources of which a finished method has an estimate: first those that most methods have."""
    found: Counter[str] = Counter()
    for group in results.read_player(folder)["groups"]:
        if group["id"] not in ("song", "references") and not group["working"]:
            found.update(track["name"] for track in group["tracks"] if track["name"] != "residual")
    return sorted(results.in_order(found), key=lambda name: -found[name])


def _begin(token: str | None, source: str | None, request: gr.Request) -> str:
    words, folder = words_for(request), results.find(token)
    if folder is None:
        return cards.work(words("over"))
    try:
        return cards.player(begin(folder, source or ""), view="blind")
    except (ValueError, OSError) as error:
        return cards.work(words("failed_title"), problems=[jobs.reason(error)])


def begin(folder: Path, source: str) -> Path:
    """Make a test of a result: the folder of its player.

    Parameters
    ----------
    folder : path
        Of the result.
    source : str
        One of :func:`sources`.

    Raises
    ------
    ValueError
        If no method has that source.
    """
    from separation.studio.player import Player

    document = results.read_player(folder)
    found = _estimates(document, folder, source)
    if not found:
        raise ValueError(f"no method gives {source!r}")
    found["song"] = ("mixture", folder / unquote(document["groups"][0]["tracks"][0]["wav"]), {})
    sounds, rate = _levelled({name: path for name, (_, path, _) in found.items()})
    frames = next(iter(sounds.values())).shape[1]
    results.sweep()
    place = results.new_folder()
    player = Player(place, document["name"], rate=rate, frames=frames)
    song = player.group("song", "Song")
    player.write(song, {"mixture": sounds["song"]})
    player.finish(song)
    if "references" in sounds:
        known = player.group("known", "True source")
        player.write(known, {"reference": sounds["references"]})
        known.working = False
    order = list(sounds)
    secrets.SystemRandom().shuffle(order)
    letters = dict(zip(string.ascii_uppercase, order, strict=False))
    group = player.group("blind", "Blind test")
    player.write(group, {letter: sounds[name] for letter, name in letters.items()})
    group.working = player.working = False
    player.publish()
    _forget_old()
    _tests[place.name] = BlindTest(
        song=document["name"],
        source=source,
        stimuli={
            letter: Stimulus(title=found[name][0], method=name, scores=found[name][2])
            for letter, name in letters.items()
        },
        began=time.time(),
    )
    return place


def _estimates(
    document: Mapping[str, Any], folder: Path, source: str
) -> dict[str, tuple[str, Path, Mapping[str, Any]]]:
    """Group -> title, file and scores, of those that have the source."""
    found = {}
    for group in document["groups"]:
        track = next((track for track in group["tracks"] if track["name"] == source and track["wav"]), None)
        if track is not None:
            scores = ((group["scores"] or {}).get("targets") or {}).get(source, {})
            found[group["id"]] = (group["title"], folder / unquote(track["wav"]), scores)
    return found


def _levelled(paths: Mapping[str, Path]) -> tuple[dict[str, Tensor], int]:
    """All sounds at the level of the true source, or else of the loudest estimate; and their rate."""
    from separation.audio import read

    read_sounds = {name: read(path, duration=LONGEST) for name, path in paths.items()}
    levels = {name: float(audio.waveform.double().square().mean().sqrt()) for name, audio in read_sounds.items()}
    wanted = levels.get("references") or max(levels.values())
    sounds = {}
    for name, audio in read_sounds.items():
        gain = min(wanted / levels[name], MOST_GAIN) if levels[name] > 0 else 1.0
        sounds[name] = audio.waveform * gain
    return sounds, next(iter(read_sounds.values())).sample_rate


def _forget_old() -> None:
    now = time.time()
    for token in [token for token, test in _tests.items() if now - test.began > results.KEEP_SECONDS]:
        del _tests[token]


def reveal(token: str, ratings: str) -> dict[str, Any]:
    """What was behind the letters, beside the ratings and the scores; and a CSV of it.

    Parameters
    ----------
    token : str
        Of the test.
    ratings : str
        JSON: letter -> 0..100, or null.

    Raises
    ------
    ValueError
        If there is no such test, or a rating is none.
    """
    folder, test = results.find(token), _tests.get(token)
    if folder is None or test is None:
        raise ValueError("this test is not there any more")
    given = _checked(ratings, test)
    metrics = ("SDR", "ISR", "SIR", "SAR")
    rows = [
        {"letter": letter, "title": stimulus.title, "method": stimulus.method, "rating": given[letter]}
        | {metric: stimulus.scores.get(metric) for metric in metrics}
        for letter, stimulus in test.stimuli.items()
    ]
    rows.sort(key=lambda row: -1 if row["rating"] is None else row["rating"], reverse=True)
    path = folder / "ratings.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["song", "source", "letter", "method", "rating", *metrics])
        for row in rows:
            scores = ["" if row[metric] is None else round(row[metric], 3) for metric in metrics]
            rating = "" if row["rating"] is None else row["rating"]
            writer.writerow([_plain(test.song), _plain(test.source), row["letter"], row["method"], rating, *scores])
    return {"rows": rows, "csv": cards.file_url(path)}


def _checked(ratings: str, test: BlindTest) -> dict[str, float | None]:
    try:
        given = json.loads(ratings)
    except ValueError:
        given = None
    if not isinstance(given, dict) or set(given) - set(test.stimuli):
        raise ValueError("ratings are a letter's numbers from 0 to 100")
    for value in given.values():
        if value is not None and not (isinstance(value, int | float) and 0 <= value <= 100):
            raise ValueError("ratings are a letter's numbers from 0 to 100")
    return {letter: given.get(letter) for letter in test.stimuli}


def _plain(text: str) -> str:
    """A stranger's text for a table: spreadsheets take what begins with =, +, - or @ for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text
