"""Many visitors at once: whether each is served, and their own song, how long they wait, what the studio holds.

Prints JSON. Everybody uploads a tone of their own under the same name and presses Separate at the
same moment, as the page does it; what comes back must be that tone. Then come hundreds of requests
one after the other, and the server's memory is looked at.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.benchmarks.machine import anonymous_memory, describe
from tests.studio.server import Server, running
from tests.trust.visitor import Visitor, is_busy, page

__all__ = ["Visit", "many_requests", "tone_of", "visit_concurrently"]

RATE = 44100
SECONDS = 10.0


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
    """

    told: float
    done: float
    places: tuple[int, ...]
    served: bool
    own: bool


def tone_of(number: int, seconds: float) -> bytes:
    """A visitor's song, as a WAV file."""
    time_axis = np.arange(round(seconds * RATE)) / RATE
    wave = 0.3 * np.sin(2 * np.pi * _pitch(number) * time_axis)
    out = io.BytesIO()
    soundfile.write(out, np.stack([wave, wave], axis=1), RATE, format="WAV")
    return out.getvalue()


def _pitch(number: int) -> float:
    return 200.0 + 37.0 * number


def visit_concurrently(url: str, *, users: int, seconds: float, methods: tuple[str, ...]) -> list[Visit]:
    """All at once."""
    together = threading.Barrier(users)
    with ThreadPoolExecutor(users) as pool:
        visits = [pool.submit(_visit, url, number, seconds, methods, together) for number in range(users)]
        return [visit.result() for visit in visits]


def _visit(url: str, number: int, seconds: float, methods: tuple[str, ...], together: threading.Barrier) -> Visit:
    visitor = Visitor(url, patience=600)
    try:
        song = visitor.upload("song.wav", tone_of(number, seconds))
        visitor.function("separate_1")
        together.wait(timeout=300)
        began = time.perf_counter()
        view = visitor.ask("separate_1", *page(song, methods)).output
        told, said = time.perf_counter() - began, json.dumps(view)
        while is_busy(view):
            time.sleep(1)
            view = visitor.look()
            said += json.dumps(view)
        done = time.perf_counter() - began
        address = re.search(r"gradio_api/file=[^\"\\&]*/[\w-]{22}/player\.json", said)
        served = f"{len(methods)} of {len(methods)} methods" in said and address is not None
        own = served and address is not None and _is_own_song(visitor, address.group(), number, methods)
        places = tuple(int(place) for place in re.findall(r"(\d+) ahead of you", said))
        return Visit(told=told, done=done, places=places, served=served, own=own)
    except BaseException:
        together.abort()  # nobody shall wait for one who does not come
        raise
    finally:
        visitor.close()


def _is_own_song(visitor: Visitor, address: str, number: int, methods: tuple[str, ...]) -> bool:
    """Whether the stems of every method sum to something of the visitor's pitch."""
    folder = address.rpartition("/")[0]
    document = json.loads(visitor.fetch(address))
    groups = [group for group in document["groups"] if group["id"] in methods]
    return len(groups) == len(methods) and all(_pitch_fits(visitor, folder, group, number) for group in groups)


def _pitch_fits(visitor: Visitor, folder: str, group: dict[str, Any], number: int) -> bool:
    files = [f"{folder}/{track['wav']}" for track in group["tracks"] if track["wav"]]
    total = sum(soundfile.read(io.BytesIO(visitor.fetch(file)), always_2d=True)[0][:, 0] for file in files)
    spectrum = np.abs(np.fft.rfft(total * np.hanning(len(total))))
    return abs(int(spectrum.argmax()) * RATE / len(total) - _pitch(number)) < 2.0


def many_requests(server: Server, count: int, *, seconds: float = 3.0) -> float:
    """So many separations one after the other; the megabytes that the server holds in the end."""
    visitor = Visitor(server.url)
    song = visitor.upload("song.wav", tone_of(0, seconds))
    for _ in range(count):
        answer = visitor.ask("separate", song, ["mix"], 0, None)
        if answer.error is not None:
            raise RuntimeError(answer.error)
    visitor.close()
    return anonymous_memory(server.pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", help="not needed")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--requests", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        visit_concurrently(
            server.url, users=2, seconds=3.0, methods=("mix", "open-unmix")
        )  # everything is loaded from here on
        visits = visit_concurrently(server.url, users=arguments.users, seconds=SECONDS, methods=("open-unmix",))
        memory = [round(many_requests(server, arguments.requests // 5)) for _ in range(5)]
    result = {
        "benchmark": "load",
        **describe(),
        "users at once": arguments.users,
        "song (s)": SECONDS,
        "method": "open-unmix",
        "served": sum(visit.served for visit in visits),
        "their own song": sum(visit.own for visit in visits),
        "first word (s)": percentiles([visit.told for visit in visits]),
        "done (s)": percentiles([visit.done for visit in visits]),
        "requests one by one": arguments.requests,
        "server's memory after each fifth of them (MB)": memory,
    }
    print(json.dumps(result, indent=1))


def percentiles(values: list[float]) -> dict[str, float]:
    return {f"{share} %": round(float(np.percentile(values, share)), 2) for share in (50, 90, 99)}


if __name__ == "__main__":
    main()
