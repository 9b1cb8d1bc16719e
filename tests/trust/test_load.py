"""Many visitors at once, in a short form; ``make benchmarks ONLY=load`` has the long one."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

from tests.benchmarks.crowd import tone_of
from tests.benchmarks.load import many_requests, visit_concurrently
from tests.studio.server import Server
from tests.trust.conftest import RecordAttack
from tests.trust.visitor import Visitor, is_busy, page


@pytest.mark.slow  # a server under load
def test_twelve_concurrent_visitors(studio: Server, record_attack: RecordAttack) -> None:
    visits = visit_concurrently(studio.url, users=12, seconds=3.0, methods=("mix",))
    assert all(visit.served for visit in visits)
    assert all(visit.own for visit in visits)
    assert sum(bool(visit.places) for visit in visits) >= 6, "who waits is told how many are ahead"
    assert all(list(visit.places) == sorted(visit.places, reverse=True) for visit in visits)
    slowest = max(visit.told for visit in visits)
    record_attack(
        "12 visitors at once, a tone each under one name", f"all served, each their own; told within {slowest:.1f} s"
    )


@pytest.mark.slow  # a server under load
def test_memory_and_disk_use_do_not_grow(studio: Server, record_attack: RecordAttack) -> None:
    before = many_requests(studio, 8)
    after = many_requests(studio, 16)
    assert after - before < 50, "megabytes: the stems of each are 4"
    record_attack("16 requests one by one", f"the server holds {after - before:+.0f} MB")
    results = studio.folder / f"stemscope-{os.getuid()}"
    past = time.time() - 3700
    for place in results.iterdir():
        os.utime(place, (past, past))
    many_requests(studio, 1)
    assert len(list(results.iterdir())) == 1
    record_attack("all results an hour later", "swept")


@pytest.mark.slow  # a server under load
def test_stop_works_while_others_wait(studio: Server, record_attack: RecordAttack) -> None:
    busy, waiting = Visitor(studio.url), Visitor(studio.url)
    long, short = busy.upload("long.wav", tone_of(1, 20)), waiting.upload("song.wav", tone_of(2, 3))
    assert busy.ask("separate_1", *page(long, ("hpss", "open-unmix", "demucs"))).error is None
    assert waiting.ask("separate_1", *page(short, ("mix",))).error is None
    first, second = stop_separation(waiting), stop_separation(busy)
    record_attack("Stop in the queue, and at work", f"heard after {first:.1f} s and {second:.1f} s")


def stop_separation(visitor: Visitor) -> float:
    """Press Stop; return the seconds until the job has stopped."""
    began = time.monotonic()
    visitor.stop()
    while is_busy(view := visitor.look()):
        time.sleep(0.1)
    assert "Stopped" in view[0]
    return time.monotonic() - began


@pytest.mark.slow  # a server under load
def test_one_visitor_does_not_starve_the_others(studio: Server, record_attack: RecordAttack) -> None:
    greedy, modest = Visitor(studio.url), Visitor(studio.url)
    long, short = greedy.upload("song.wav", tone_of(1, 20)), modest.upload("song.wav", tone_of(2, 1))
    for _ in range(8):
        assert greedy.join("separate", long, ["hpss"], 0, None).is_success
    ends: list[tuple[float, dict[str, Any]]] = []

    def listen() -> None:
        ends.extend((time.monotonic(), event) for event in greedy.events() if event["msg"] == "process_completed")

    listener = threading.Thread(target=listen)
    listener.start()
    began = time.monotonic()
    answer = modest.ask("separate", short, ["mix"], 0, None)
    served = time.monotonic()
    listener.join(120)
    assert answer.error is None
    refused = [event["output"]["error"] for _, event in ends if not event["success"]]
    assert len(ends) == 8
    assert len(refused) == 4
    assert all("of your requests are in the queue already" in sentence for sentence in refused)
    last = max(end for end, event in ends if event["success"])
    assert served < last, "the other's turn came before the last of the greedy one's"
    waited = served - began
    record_attack(
        "8 requests of one visitor at once", f"4 refused: {refused[0]}; another one was served after {waited:.1f} s"
    )
