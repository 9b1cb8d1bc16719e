"""Visitors who press Separate at the same moment, each with a song of their own; they reload, and survive a restart."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import httpx
import numpy as np
import soundfile

from tests.trust.visitor import Visitor, is_busy, page

__all__ = ["Crowd", "Visit", "tone_of"]

RATE = 44100
POLL_SECONDS = 1.0  # as the page
MOST_SECONDS = 1800.0  # until a visitor gives up
TOKEN, GO_ON = 6, 3  # the places of the address and of "Go on" in a view; see JobParts.shown


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One visitor's separation.

    Attributes
    ----------
    told, done : float
        Seconds from pressing Separate to the first word, and to the end.
    places : tuple of int
        How many were ahead, as the visitor was told.
    served, own : bool
        It ended well; and with the visitor's own tone.
    reloads : int
        How often the visitor came back by the link.
    resumed : bool
        The job was interrupted, and the visitor pressed "Go on".
    """

    told: float
    done: float
    places: tuple[int, ...]
    served: bool
    own: bool
    reloads: int = 0
    resumed: bool = False


def tone_of(number: int, seconds: float) -> bytes:
    """A visitor's song, as a WAV file."""
    time_axis = np.arange(round(seconds * RATE)) / RATE
    wave = 0.3 * np.sin(2 * np.pi * _pitch(number) * time_axis)
    out = io.BytesIO()
    soundfile.write(out, np.stack([wave, wave], axis=1), RATE, format="WAV")
    return out.getvalue()


def _pitch(number: int) -> float:
    return 200.0 + 37.0 * number


@dataclass
class Page:
    """A visitor's page; it can be dropped and opened again by its link."""

    url: str
    token: str = ""
    visitor: Visitor = field(init=False)
    reloads: int = 0

    def __post_init__(self) -> None:
        self.visitor = Visitor(self.url, patience=600)

    def look(self) -> list[Any]:
        """The view that the page polls; a server that has been started again knows the page only by its link."""
        view = self.visitor.look()
        return view if view[TOKEN] == self.token else self.open()

    def reload(self) -> list[Any]:
        """Drop the page and come back."""
        self.reloads += 1
        return self.open()

    def open(self) -> list[Any]:
        """Open the link on a new page."""
        self.visitor.close()
        self.visitor = Visitor(self.url, patience=600)
        answer = self.visitor.ask("restore", None, query={"result": self.token})
        if answer.error is not None:
            raise ConnectionError(answer.error)
        return answer.output

    def go_on(self) -> list[Any]:
        """Press "Go on"."""
        answer = self.visitor.ask("go_on", None, None)
        if answer.error is not None:
            raise ConnectionError(answer.error)
        return answer.output


Answer = TypeVar("Answer")


def _until_connected(action: Callable[[], Answer], otherwise: Callable[[], Answer]) -> Answer:
    """Do the action; if the server is away, try something else until it is back."""
    give_up = time.monotonic() + MOST_SECONDS
    while True:
        try:
            return action()
        except (httpx.HTTPError, ConnectionError):
            if time.monotonic() > give_up:
                raise
            time.sleep(POLL_SECONDS)
            action = otherwise


@dataclass(kw_only=True)
class Crowd:
    """Visitors of one studio.

    Parameters
    ----------
    url : str
        Of the studio.
    users : int
        How many there are.
    seconds : float
        Length of each song.
    methods : tuple of str
        What they choose.
    reloads : int
        How often each visitor drops the page and comes back.
    """

    url: str
    users: int
    seconds: float
    methods: tuple[str, ...]
    reloads: int = 0

    def __post_init__(self) -> None:
        self._together = threading.Barrier(self.users)
        self._changed = threading.Condition()
        self._told = self._done = 0

    def wait_for_half(self, visits: list[Future[Visit]]) -> None:
        """Wait until everybody has been told something and half are done, or one of the visits has failed."""
        with self._changed:
            while not (self._told == self.users and 2 * self._done >= self.users):
                if any(visit.done() and visit.exception() for visit in visits):
                    return
                self._changed.wait(1.0)

    def visit(self, number: int) -> Visit:
        """Separate one visitor's song."""
        there = Page(self.url)
        try:
            song = there.visitor.upload("song.wav", tone_of(number, self.seconds))
            there.visitor.function("separate_1")
            self._together.wait(timeout=300)
            began = time.perf_counter()
            view = there.visitor.ask("separate_1", *page(song, self.methods)).output
            told = time.perf_counter() - began
            self._count(told=1)
            there.token = view[TOKEN]
            said, resumed = self._watch(there, view)
            done = time.perf_counter() - began
            self._count(done=1)
            while there.reloads < self.reloads:  # the result must be found as well
                said += json.dumps(_until_connected(there.reload, there.open))
            return self._judge(there, number, said, told=told, done=done, resumed=resumed)
        except BaseException:
            self._together.abort()  # nobody shall wait for one who does not come
            raise
        finally:
            there.visitor.close()

    def _watch(self, there: Page, view: list[Any]) -> tuple[str, bool]:
        """Look until the job has ended; returns all that was said, and whether it was interrupted."""
        said, resumed = json.dumps(view), False
        give_up = time.monotonic() + MOST_SECONDS
        while is_busy(view) or _can_go_on(view):
            if time.monotonic() > give_up:
                raise TimeoutError(said[-2000:])
            if _can_go_on(view):
                resumed = True
                view = _until_connected(there.go_on, there.open)
            else:
                time.sleep(POLL_SECONDS)
                view = _until_connected(there.reload if there.reloads < self.reloads else there.look, there.open)
            said += json.dumps(view)
        return said, resumed

    def _count(self, *, told: int = 0, done: int = 0) -> None:
        with self._changed:
            self._told, self._done = self._told + told, self._done + done
            self._changed.notify_all()

    def _judge(self, there: Page, number: int, said: str, *, told: float, done: float, resumed: bool) -> Visit:
        address = re.search(r"gradio_api/file=[^\"\\&]*/[\w-]{22}/player\.json", said)
        served = f"{len(self.methods)} of {len(self.methods)} methods" in said and address is not None
        own = False
        if served and address is not None:
            is_own = partial(self._is_own_song, there, address.group(), number)
            own = _until_connected(is_own, is_own)
        places = tuple(int(place) for place in re.findall(r"(\d+) ahead of you", said))
        return Visit(
            told=told, done=done, places=places, served=served, own=own, reloads=there.reloads, resumed=resumed
        )

    def _is_own_song(self, there: Page, address: str, number: int) -> bool:
        """Whether the stems of every method sum to something of the visitor's pitch."""
        folder = address.rpartition("/")[0]
        document = json.loads(there.visitor.fetch(address))
        groups = [group for group in document["groups"] if group["id"] in self.methods]
        return len(groups) == len(self.methods) and all(_pitch_fits(there, folder, group, number) for group in groups)


def _can_go_on(view: list[Any]) -> bool:
    return bool(view[GO_ON].get("visible"))


def _pitch_fits(there: Page, folder: str, group: dict[str, Any], number: int) -> bool:
    files = [f"{folder}/{track['wav']}" for track in group["tracks"] if track["wav"]]
    total = sum(soundfile.read(io.BytesIO(there.visitor.fetch(file)), always_2d=True)[0][:, 0] for file in files)
    spectrum = np.abs(np.fft.rfft(total * np.hanning(len(total))))
    return abs(int(spectrum.argmax()) * RATE / len(total) - _pitch(number)) < 2.0
