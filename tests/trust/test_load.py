"""Many visitors at once, in a short form; ``make benchmarks ONLY=load`` has the long one."""

from __future__ import annotations

import os
import threading
import time

from tests.benchmarks.load import many_requests, storm, tone_of
from tests.studio.server import Server
from tests.trust.conftest import Tell
from tests.trust.visitor import Answer, Visitor, page


def test_twelve_at_once(studio: Server, told: Tell) -> None:
    visits = storm(studio.url, users=12, seconds=3.0, methods=("mix",))
    assert all(visit.served for visit in visits)
    assert all(visit.own for visit in visits)
    assert sum(bool(visit.places) for visit in visits) >= 6, "who waits is told how many are ahead"
    assert all(list(visit.places) == sorted(visit.places, reverse=True) for visit in visits)
    slowest = max(visit.told for visit in visits)
    told("12 visitors at once, a tone each under one name", f"all served, each their own; told within {slowest:.1f} s")


def test_memory_and_disk_stay_as_they_are(studio: Server, told: Tell) -> None:
    before = many_requests(studio, 8)
    after = many_requests(studio, 16)
    assert after - before < 50, "megabytes: the stems of each are 4"
    told("16 requests one by one", f"the server holds {after - before:+.0f} MB")
    results = studio.folder / f"stemscope-{os.getuid()}"
    past = time.time() - 3700
    for folder in results.iterdir():
        os.utime(folder, (past, past))
    many_requests(studio, 1)
    assert len(list(results.iterdir())) == 1
    told("all results an hour later", "swept")


def test_stop_works_while_others_wait(studio: Server, told: Tell) -> None:
    busy, waiting = Visitor(studio.url), Visitor(studio.url)
    long, short = busy.upload("long.wav", tone_of(1, 20)), waiting.upload("song.wav", tone_of(2, 3))
    answers: dict[str, Answer] = {}

    def ask(name: str, visitor: Visitor, song: dict[str, object], methods: tuple[str, ...]) -> None:
        answers[name] = visitor.ask("separate_1", *page(song, methods))

    def started(visitor: Visitor, *rest: object) -> threading.Thread:
        thread = threading.Thread(target=ask, args=(*rest[:1], visitor, *rest[1:]))
        thread.start()
        return thread

    at_work = started(busy, "busy", long, ("hpss", "open-unmix", "demucs"))
    time.sleep(0.5)
    in_line = started(waiting, "waiting", short, ("mix",))
    time.sleep(0.7)
    began = time.monotonic()
    Stopper(studio.url, waiting.session).press()
    in_line.join(timeout=30)
    first = time.monotonic() - began
    Stopper(studio.url, busy.session).press()
    at_work.join(timeout=60)
    second = time.monotonic() - began
    assert set(answers) == {"busy", "waiting"}
    assert all("Stopped" in str(answer) for answer in answers.values())
    told("Stop in the queue, and at work", f"heard after {first:.1f} s and {second:.1f} s")


class Stopper(Visitor):
    """The same page, from another thread."""

    def __init__(self, url: str, session: str) -> None:
        super().__init__(url)
        self.session = session

    def press(self) -> None:
        self.stop()
        self.close()


def test_one_visitor_does_not_starve_the_others(studio: Server, told: Tell) -> None:
    greedy = Visitor(studio.url)
    song = greedy.upload("song.wav", tone_of(1, 10))
    for _ in range(8):
        assert greedy.join("separate", song, ["hpss"], 0, None).is_success
    began = time.monotonic()
    modest = Visitor(studio.url)
    answer = modest.ask("separate", modest.upload("song.wav", tone_of(2, 1)), ["mix"], 0, None)
    waited = time.monotonic() - began
    assert answer.error is None
    ends = [event for event in greedy.events() if event["msg"] == "process_completed"]
    refused = [event["output"]["error"] for event in ends if not event["success"]]
    assert len(ends) == 8
    assert len(refused) == 4
    assert all("of your requests are in the queue already" in sentence for sentence in refused)
    assert waited < time.monotonic() - began, "the others' turn came before the last of the greedy one's"
    told("8 requests of one visitor at once", f"4 refused: {refused[0]}; another one was served after {waited:.1f} s")
