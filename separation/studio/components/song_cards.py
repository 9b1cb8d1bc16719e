"""The example cards: songs that are separated with one click, and the sample set of MUSDB18.

The component's script is ``assets/page/song_cards.js``.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np
import soundfile

from separation.resources import ASSETS
from separation.studio.components.icons import icon
from separation.studio.i18n import Translator
from separation.studio.inputs import songs
from separation.studio.limits import may_manage_models

__all__ = ["EXAMPLE_TRACK", "example_buttons", "example_track", "song_cards"]

_SCRIPT = (ASSETS / "page" / "song_cards.js").read_text("utf-8")
_BARS = 56

EXAMPLE_TRACK = "Al James - Schoolboy Facination (test)"  # in the full set and in the sample set


def example_buttons() -> gr.HTML:
    """Return the cards; they trigger ``choose_example`` with a song's name, or ``fetch_tracks``."""
    return gr.HTML(song_cards(Translator("en")), js_on_load=_SCRIPT, elem_id="examples")


def example_track() -> str | None:
    """Return the MUSDB18 track of the third card, or None if there are no tracks."""
    tracks = songs.musdb_tracks()
    return EXAMPLE_TRACK if EXAMPLE_TRACK in tracks else next(iter(tracks), None)


def song_cards(words: Translator, fetching: str = "") -> str:
    """Return the cards as HTML; `fetching` is HTML that replaces the button for the sample set."""
    cards = []
    for title, path in songs.samples().items():
        about = json.loads((path.parent / "track.json").read_text("utf-8"))
        details = words("sample_details", seconds=round(about["seconds"]), tempo=about["tempo"])
        cards.append(_card(title, details, words, art=_bars(path)))
    if (track := example_track()) is not None:
        artist, _, title = track.rpartition(" (")[0].partition(" - ")
        cards.append(_card(track, words("musdb_details", artist=artist), words, title=title or artist))
    elif fetching:
        cards.append(f'<div class="song-card waiting">{fetching}</div>')
    elif may_manage_models():
        cards.append(
            f'<button type="button" class="song-card get-tracks" id="get-tracks"><span class="song-icon">'
            f"{icon('download')}</span><strong>{escape(words('get_tracks'))}</strong>"
            f"<small>{escape(words('get_tracks_info'))}</small></button>"
        )
    names = f'aria-label="{escape(words("examples"))}" data-full="{escape(words("places_full"))}"'
    return f'<div class="song-cards" role="group" {names}>{"".join(cards)}</div>'


def _card(song: str, details: str, words: Translator, *, title: str = "", art: str = "") -> str:
    shown = title or song
    picture = art or '<span class="song-art plain" aria-hidden="true"></span>'
    return (
        f'<button type="button" class="song-card" data-song="{escape(song)}"'
        f' aria-label="{escape(words("separate_song", song=shown))}">{picture}'
        f'<span class="song-go">{icon("play")}</span><strong>{escape(shown)}</strong>'
        f"<small>{escape(details)}</small></button>"
    )


@cache
def _bars(path: Path) -> str:
    """Draw a song's waveform as bars."""
    samples = soundfile.read(path, dtype="float32", always_2d=True)[0]
    peaks = [float(np.abs(part).max()) for part in np.array_split(samples, _BARS)]
    loudest = max(*peaks, 1e-9)
    bars = "".join(
        f'<rect x="{5 * number}" y="{24 - 22 * peak / loudest:.1f}" width="3" rx="1.5"'
        f' height="{max(2.0, 44 * peak / loudest):.1f}"/>'
        for number, peak in enumerate(peaks)
    )
    return (
        f'<svg class="song-art" viewBox="0 0 {5 * _BARS - 2} 48" preserveAspectRatio="none" fill="currentColor"'
        f' aria-hidden="true">{bars}</svg>'
    )
