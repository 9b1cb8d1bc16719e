"""Icons, drawn as SVG paths in the colour of the text."""

from __future__ import annotations

__all__ = ["icon"]

_PATHS = {
    "bolt": "M13 3 5 14h6l-1 7 8-11h-6z",
    "close": "M6 6l12 12M18 6 6 18",
    "compare": "M4 6h9M4 12h16M4 18h12",
    "download": "M12 4v11m-5-5 5 5 5-5M5 20h14",
    "folder": "M3.5 18.5v-13H9l2 2.5h9.5v10.5z",
    "gauge": "M4 17a8 8 0 1 1 16 0m-8 0 4-6",
    "microphone": "M12 3.5a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0v-5a3 3 0 0 1 3-3M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3",
    "play": "M8 5v14l11-7z",
    "retry": "M5 12a7 7 0 1 0 2-4.9M7 3v4.5h4.5",
    "star": "m12 4 2.4 5.2 5.6.7-4.1 3.9 1.1 5.6-5-2.8-5 2.8 1.1-5.6L4 9.9l5.6-.7z",
    "waveform": "M3 10v4M7.5 6v12M12 3v18M16.5 7v10M21 10v4",
}


def icon(name: str) -> str:
    """Return an icon, which screen readers skip."""
    return (
        '<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2"'
        f' stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="{_PATHS[name]}"/></svg>'
    )
