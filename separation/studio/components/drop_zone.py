"""The drop zone: where a song is dropped, chosen or recorded, with the limits; then its name and length.

gr.Audio does the work out of sight, so that the API stays Gradio's. The component's script is
``assets/page/drop_zone.js``.
"""

from __future__ import annotations

from html import escape

import gradio as gr

from separation.resources import ASSETS
from separation.studio.components.icons import icon
from separation.studio.i18n import Translator
from separation.studio.limits import LIMITS

__all__ = ["drop_zone", "drop_zone_html"]

_SCRIPT = (ASSETS / "page" / "drop_zone.js").read_text("utf-8")


def drop_zone() -> gr.HTML:
    """Return the drop zone; `song` and `length` are what the server has found an upload to be."""
    return gr.HTML(
        "",
        html_template="${zone}",
        zone=drop_zone_html(Translator("en")),
        song="",
        length="",
        js_on_load=_SCRIPT,
        elem_id="drop",
    )


def drop_zone_html(words: Translator) -> str:
    """Return all states of the zone; the script shows one of them."""
    megabytes, minutes = words.number(LIMITS.file_bytes / 1e6), words.number(LIMITS.seconds / 60)
    limits = words("drop_limits", megabytes=megabytes, minutes=minutes)
    choose = f"{icon('folder')}{escape(words('drop_choose'))}"
    return (
        f'<div class="drop" role="group" aria-label="{escape(words("your_song"))}" tabindex="-1"'
        f' data-bytes="{LIMITS.file_bytes:.0f}" data-seconds="{LIMITS.seconds:g}">'
        f'<div class="drop-empty"><span class="drop-mark">{icon("waveform")}</span>'
        f'<strong class="drop-mouse">{escape(words("drop_title"))}</strong>'
        f'<strong class="drop-touch">{escape(words("your_song"))}</strong>'
        f'<div class="drop-ways"><button type="button" class="drop-choose">{choose}</button>'
        f'<button type="button" class="drop-record">{icon("microphone")}{escape(words("drop_record"))}</button></div>'
        f"<small>{escape(words('drop_formats'))}<br>{escape(limits)}</small></div>"
        f'<div class="drop-uploading" role="status"><strong>{escape(words("drop_uploading"))}</strong>'
        f'<span class="drop-name"></span><div class="track"><i></i></div></div>'
        f'<div class="drop-chosen"><span class="drop-mark">{icon("waveform")}</span>'
        f'<strong class="drop-name"></strong><time></time>'
        f'<button type="button" class="drop-remove">{icon("close")}{escape(words("drop_remove"))}</button></div>'
        f'<div class="drop-recording"><strong>{escape(words("drop_recording"))}</strong>'
        f'<button type="button" class="drop-choose">{choose}</button></div></div>'
    )
