"""The choice of a song on the Separate page: a drop zone, example cards, and a list with search."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from separation.datasets.sample_set import download_sample_set
from separation.studio.components.drop_zone import drop_zone
from separation.studio.components.song_cards import example_buttons, song_cards
from separation.studio.errors import visitor_message
from separation.studio.i18n import Translator, translatable, translator_for
from separation.studio.inputs import songs
from separation.studio.jobs.history import clock_time
from separation.studio.pages.fetching import fetch_in_turn
from separation.studio.visitor import visitor_name

__all__ = ["SongChoice", "build", "choose_example", "choose_from_library", "describe_choice", "library", "wire"]

_PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_PRESS = "() => setTimeout(() => document.getElementById('separate').click())"  # after the page has its new values


@dataclass(frozen=True, kw_only=True)
class SongChoice:
    """Components; `kind` is "upload", "sample" or "musdb"."""

    kind: gr.Textbox
    drop: gr.HTML
    upload: gr.Audio
    examples: gr.HTML
    library: gr.Dropdown

    @property
    def values(self) -> list[Any]:
        """The inputs of a form: kind, upload, sample, track."""
        return [self.kind, self.upload, self.library, self.library]


def build() -> SongChoice:
    """Lay out the choice in the current Blocks."""
    kind = gr.Textbox("upload", visible=False)
    with gr.Row(elem_id="song", equal_height=True):
        with gr.Column(scale=5, min_width=280):
            drop = drop_zone()
            upload = gr.Audio(
                sources=["upload", "microphone"],
                type="filepath",  # a file, not gr.Audio's decoding, which would open playlists
                label=translatable("your_song"),
                elem_id="upload",
                buttons=[],
            )
        with gr.Column(scale=6, min_width=280):
            examples = example_buttons()
            listed = gr.Dropdown(
                library(), value=None, label=translatable("library"), elem_id="library", filterable=True
            )
    return SongChoice(kind=kind, drop=drop, upload=upload, examples=examples, library=listed)


def wire(song: SongChoice, *, references: gr.File, methods: gr.HTML, folded: gr.HTML, visitor: gr.BrowserState) -> None:
    """Connect the events; oracles can be chosen once the true sources are known."""
    shown = [song.kind, methods, folded, song.drop]
    for event in (song.upload.change, references.change):
        event(describe_choice, [song.upload, song.library, references], shown, queue=False, **_PRIVATE)
    song.upload.input(lambda: None, None, song.library, queue=False, **_PRIVATE)
    song.upload.stop_recording(name_recording, song.upload, song.upload, queue=False, **_PRIVATE)
    song.library.input(
        choose_from_library,
        [song.upload, song.library, references],
        [song.upload, *shown],
        queue=False,
        **_PRIVATE,
    )
    chosen = song.examples.choose_example(
        choose_example, references, [song.upload, song.library, *shown], queue=False, **_PRIVATE
    )
    chosen.then(None, None, None, js=_PRESS, queue=False, **_PRIVATE)
    song.examples.fetch_tracks(fetch_tracks, visitor, [song.examples, song.library], concurrency_limit=None, **_PRIVATE)


def library() -> list[str]:
    """Return the names of the songs that the studio has."""
    return [*songs.samples(), *songs.musdb_tracks()]


def describe_choice(
    request: gr.Request, upload: str | None, chosen: str | None, references: list[str] | None
) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the kind of the song, and updates of the methods, the folded line and the drop zone.

    They are: whether the true sources are known; the song's name and problem; an upload's name and length.
    """
    kind = "upload" if upload or not chosen else "sample" if chosen in songs.samples() else "musdb"
    truth = bool(references) or kind != "upload"
    length, problem = _header_of(upload, translator_for(request)) if upload else ("", "")
    name = Path(upload).name if upload else ""
    song = gr.update(value=name or chosen or "", problem=problem)
    return kind, gr.update(truth=truth), song, gr.update(song=name, length=length)


def name_recording(request: gr.Request, upload: str | None) -> Any:
    """Return a copy of a new recording under a name for people; the browser calls each one audio.wav."""
    if not upload:
        return gr.skip()
    named = Path(upload).with_name(f"{translator_for(request)('recording')}.wav")
    shutil.copyfile(upload, named)
    return str(named)


def _header_of(upload: str, words: Translator) -> tuple[str, str]:
    """Return the length of an upload as far as its header tells it, and why it cannot be used."""
    try:
        seconds = songs.check_choice("upload", upload)
    except (ValueError, OSError) as error:
        return "", visitor_message(error, words)
    return ("" if seconds is None else clock_time(seconds)), ""


def choose_from_library(
    request: gr.Request, upload: str | None, chosen: str | None, references: list[str] | None
) -> tuple[Any, ...]:
    """Choose a song in the list, in place of an upload; a list that was only opened chooses nothing."""
    if not chosen:
        return (gr.skip(), *describe_choice(request, upload, None, references))
    return (None, *describe_choice(request, None, chosen, references))


def choose_example(request: gr.Request, references: list[str] | None, event: gr.EventData) -> tuple[Any, ...]:
    """Choose the song of a card; the event's data is not trusted."""
    song = event._data.get("song") if isinstance(event._data, dict) else None
    known = song if isinstance(song, str) and song in library() else None
    return (None, known, *describe_choice(request, None, known, references))


def fetch_tracks(request: gr.Request, visitor: Any) -> Any:
    """Queue the download of MUSDB18's sample set, with progress in its card."""
    words, who = translator_for(request), visitor_name(visitor, request)
    for news in fetch_in_turn(download_sample_set, who, words, retry='class="get get-tracks"'):
        if news:
            yield song_cards(words, fetching=news), gr.skip()
    songs.musdb_tracks.cache_clear()
    if songs.musdb_tracks():
        yield song_cards(words), gr.update(choices=library())
