"""Blind listening tests in the manner of MUSHRA.

The stimuli are the methods' estimates of one source, the true source if it is known (the hidden reference)
and the mixture (the anchor): in random order, under letters, at equal level, each newly encoded so that it can be
identified by ear only. The methods behind the letters stay on the server until the ratings are in, in a file that is
not served, so that the test can go on after a restart.

References
----------
ITU-R BS.1534-3, "Method for the subjective assessment of intermediate quality level of audio systems".
"""

from __future__ import annotations

import json
import secrets
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from separation.studio.listening.rating_pool import add_ratings
from separation.studio.results import storage
from separation.studio.results.comparison import metrics_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MAX_GAIN", "MAX_SECONDS", "BlindTest", "Stimulus", "begin_test", "ratable_sources", "reveal"]

MAX_SECONDS = 30.0  # longest stimulus that can be judged at once, in seconds

MAX_GAIN = 10.0  # 20 dB


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """The method behind a letter."""

    title: str
    method: str
    scores: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class BlindTest:
    """A running blind test.

    Attributes
    ----------
    stimuli : mapping of str to Stimulus
        By letter.
    shared : bool
        Whether its ratings are in the pool, which takes them once.
    """

    song: str
    source: str
    stimuli: Mapping[str, Stimulus]
    shared: bool = False


def ratable_sources(folder: Path) -> list[str]:
    """Return the sources that a finished method has estimated, starting with those that most methods have."""
    found: Counter[str] = Counter()
    for group in storage.read_player(folder)["groups"]:
        if group["id"] not in ("song", "references") and not group["working"]:
            found.update(track["name"] for track in group["tracks"] if track["name"] != "residual")
    return sorted(storage.sort_sources(found), key=lambda name: -found[name])


def begin_test(folder: Path, source: str) -> Path:
    """Create a blind test of a result and return the folder of its player.

    Parameters
    ----------
    folder : path
        Folder of the result.
    source : str
        One of :func:`ratable_sources`.

    Raises
    ------
    ValueError
        If no method has that source.
    """
    from separation.studio.results.player_data import Player

    document = storage.read_player(folder)
    found = _estimates(document, folder, source)
    if not found:
        raise ValueError(f"no method has the source {source!r}")
    found["song"] = ("mixture", folder / unquote(document["groups"][0]["tracks"][0]["wav"]), {})
    sounds, rate = _levelled({name: path for name, (_, path, _) in found.items()})
    frames = next(iter(sounds.values())).shape[1]
    storage.remove_expired()
    place = storage.new_folder()
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
    stimuli = {
        letter: Stimulus(title=found[name][0], method=name, scores=found[name][2]) for letter, name in letters.items()
    }
    _keep(place.name, BlindTest(song=document["name"], source=source, stimuli=stimuli))
    return place


def _estimates(
    document: Mapping[str, Any], folder: Path, source: str
) -> dict[str, tuple[str, Path, Mapping[str, float | None]]]:
    """Return group -> title, file and scores, for groups with the source."""
    found: dict[str, tuple[str, Path, Mapping[str, float | None]]] = {}
    for group in document["groups"]:
        track = next((track for track in group["tracks"] if track["name"] == source and track["wav"]), None)
        if track is not None:
            scores = ((group["scores"] or {}).get("targets") or {}).get(source, {})
            found[group["id"]] = (group["title"], folder / unquote(track["wav"]), metrics_of(scores))
    return found


def _levelled(paths: Mapping[str, Path]) -> tuple[dict[str, Tensor], int]:
    """Return all stimuli at the level of the true source, or else of the loudest estimate, and their sample rate."""
    from separation.audio.files import read

    read_sounds = {name: read(path, duration=MAX_SECONDS) for name, path in paths.items()}
    levels = {name: float(audio.waveform.double().square().mean().sqrt()) for name, audio in read_sounds.items()}
    wanted = levels.get("references") or max(levels.values())
    sounds = {}
    for name, audio in read_sounds.items():
        gain = min(wanted / levels[name], MAX_GAIN) if levels[name] > 0 else 1.0
        sounds[name] = audio.waveform * gain
    return sounds, next(iter(read_sounds.values())).sample_rate


def _key(token: str) -> Path:
    return storage.hidden_folder() / f"{token}.json"


def _keep(token: str, test: BlindTest) -> None:
    storage.private_folder(storage.hidden_folder())
    storage.write_document(_key(token), asdict(test))


def _find(token: str) -> BlindTest:
    """Return the test of a token, which comes from a page; raise ValueError if it does not exist."""
    try:
        if storage.find_result(token) is None:
            raise FileNotFoundError(token)
        document = json.loads(_key(token).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError("this test no longer exists") from error
    stimuli = {letter: Stimulus(**stimulus) for letter, stimulus in document["stimuli"].items()}
    return BlindTest(**{**document, "stimuli": stimuli})


def reveal(token: str, ratings: str, share: bool = False) -> dict[str, Any]:
    """Return the methods behind the letters with ratings and scores.

    Parameters
    ----------
    token : str
        Token of the test.
    ratings : str
        JSON: letter -> 0..100, or null.
    share : bool
        Whether the visitor lets this server keep the ratings for its pooled figures.

    Returns
    -------
    dict
        ``{"rows": [{"song", "source", "letter", "title", "method", "rating", "scores": {metric: number or None}}]}``,
        the highest rating first.

    Raises
    ------
    ValueError
        If the test does not exist, or a rating is invalid.
    """
    test = _find(token)
    given = _checked(ratings, test)
    rows: list[dict[str, Any]] = [
        {
            "song": test.song,
            "source": test.source,
            "letter": letter,
            "title": stimulus.title,
            "method": stimulus.method,
            "rating": given[letter],
            "scores": dict(stimulus.scores),
        }
        for letter, stimulus in test.stimuli.items()
    ]
    rows.sort(key=lambda row: -1 if row["rating"] is None else row["rating"], reverse=True)
    if share and not test.shared:
        _keep(token, replace(test, shared=True))
        add_ratings(rows)
    return {"rows": rows}


def _checked(ratings: str, test: BlindTest) -> dict[str, float | None]:
    try:
        given = json.loads(ratings)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or set(given) - set(test.stimuli):
        raise ValueError("the ratings must be one number from 0 to 100 for each letter")
    for value in given.values():
        if value is not None and not (isinstance(value, int | float) and 0 <= value <= 100):
            raise ValueError("the ratings must be one number from 0 to 100 for each letter")
    return {letter: given.get(letter) for letter in test.stimuli}
