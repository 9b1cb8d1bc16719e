"""Limits on uploaded files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from separation.audio.files import Recording, read
from separation.audio.limits import Limits
from separation.audio.stream import AudioError
from separation.studio import limits as studio_limits
from tests.audio.helpers import EVERY, RATE, chord

KINDS = ("wav-16", "flac-16", "ogg", "mp3", "m4a", "vorbis.webm")  # the last ones do not tell their length


def song(kind: str, folder: Path) -> Path:
    """Two seconds of stereo."""
    EVERY[kind](folder / "song", chord(2 * RATE))
    return folder / "song"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(file_bytes=5000), "the limit is 0.005 MB"),
        (Limits(seconds=1.5), "it lasts longer than 0.025 min, the limit"),
        (Limits(channels=1), "the audio has 2 channels; 1 to 1 are supported"),
        (Limits(sample_rate=32000), "its sample rate is 44100 Hz; the limit is 32000 Hz"),
        (Limits(decoded_bytes=500_000), "it unpacks to more than 0.5 MB, the limit"),
    ],
)
def test_input_beyond_a_limit_is_refused_with_the_limit(kind: str, limits: Limits, said: str, tmp_path: Path) -> None:
    path = song(kind, tmp_path)

    def record() -> None:
        with Recording(path, tmp_path, limits=limits) as recording:
            recording.digest()

    attempts: list[Callable[[], object]] = [lambda: read(path, limits=limits), record]
    for attempt in attempts:
        with pytest.raises(AudioError) as caught:
            attempt()
        assert str(caught.value).startswith("cannot read 'song': ")
        assert said in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_input_within_all_limits_is_read(kind: str, tmp_path: Path) -> None:
    limits = Limits(file_bytes=1e6, seconds=2.1, channels=2, sample_rate=RATE, decoded_bytes=800_000)
    assert read(song(kind, tmp_path), limits=limits).duration == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_excerpt_of_a_long_song_is_within_the_limit(kind: str, tmp_path: Path) -> None:
    excerpt = read(song(kind, tmp_path), start=1, duration=0.5, limits=Limits(seconds=0.6))
    assert excerpt.duration == pytest.approx(0.5)


def test_by_default_there_is_no_limit() -> None:
    assert Limits() == Limits(file_bytes=float("inf"), seconds=float("inf"), decoded_bytes=float("inf"))


@pytest.mark.parametrize("text", ["much", "-1", "0", "inf", "nan"])
def test_a_limit_that_is_not_a_number_is_refused_at_start_up(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMSCOPE_MAX_MB", text)
    with pytest.raises(ValueError, match=f"STEMSCOPE_MAX_MB must be a number above 0, got '{text}'"):
        studio_limits._number("STEMSCOPE_MAX_MB", 200)


def test_a_limit_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert studio_limits._number("STEMSCOPE_MAX_MB", 200) == 200
    monkeypatch.setenv("STEMSCOPE_MAX_MB", "12.5")
    assert studio_limits._number("STEMSCOPE_MAX_MB", 200) == 12.5
