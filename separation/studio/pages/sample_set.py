"""The download of MUSDB18's sample set that a visitor starts."""

from __future__ import annotations

from collections.abc import Iterator

from separation.datasets.sample_set import download_sample_set
from separation.studio.i18n import Translator
from separation.studio.inputs import songs
from separation.studio.pages.fetching import FetchError, fetch_in_turn

__all__ = ["fetch_sample_set"]


def fetch_sample_set(visitor: str, words: Translator) -> Iterator[str]:
    """Queue the download of the sample set, yielding HTML that shows its progress, or the error."""
    try:
        yield from fetch_in_turn(download_sample_set, visitor, words, retry='class="get get-tracks"')
    except FetchError as error:
        yield str(error)
    songs.musdb_tracks.cache_clear()
