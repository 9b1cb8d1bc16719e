"""Many visitors at once: whether each is served, and their own song, how long they wait, what the studio holds.

Prints JSON. Everybody uploads a tone of their own under the same name and presses Separate at the same moment, as the
page does it; what comes back must be that tone. Meanwhile every visitor drops the page and comes back by its link, ten
times; and when half of them are done, the server is killed and started again. Then come hundreds of requests one after
the other, and the server's memory is looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tests.benchmarks.crowd import Crowd, Visit, tone_of
from tests.benchmarks.machine import anonymous_memory, describe
from tests.studio.server import Server, running
from tests.trust.visitor import Visitor

__all__ = ["many_requests", "visit_concurrently"]


def visit_concurrently(url: str, *, users: int, seconds: float, methods: tuple[str, ...]) -> list[Visit]:
    """All at once, from one page each."""
    with ThreadPoolExecutor(users) as pool:
        return [visit.result() for visit in _begin(pool, Crowd(url=url, users=users, seconds=seconds, methods=methods))]


def _begin(pool: ThreadPoolExecutor, crowd: Crowd) -> list[Future[Visit]]:
    return [pool.submit(crowd.visit, number) for number in range(crowd.users)]


def visit_through_a_restart(stack: ExitStack, folder: Path, crowd: Crowd, server: Server) -> tuple[list[Visit], Server]:
    """All at once; the server is killed when half are done. Returns the visits and the second server."""
    with ThreadPoolExecutor(crowd.users) as pool:
        visits = _begin(pool, crowd)
        crowd.wait_for_half(visits)
        os.kill(server.pid, signal.SIGKILL)
        again = stack.enter_context(running(folder, port=crowd.url.rpartition(":")[2]))
        return [visit.result() for visit in visits], again


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
    parser.add_argument("--seconds", type=float, default=10.0, help="of each song")
    parser.add_argument("--reloads", type=int, default=10, help="of each visitor")
    parser.add_argument("--requests", type=int, default=500, help="one by one; 0 for none")
    arguments = parser.parse_args()
    methods = ("open-unmix",)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(running(folder))
        # everything is loaded from here on
        visit_concurrently(server.url, users=2, seconds=3.0, methods=("mix", *methods))
        crowd = Crowd(
            url=server.url,
            users=arguments.users,
            seconds=arguments.seconds,
            methods=methods,
            reloads=arguments.reloads,
        )
        visits, server = visit_through_a_restart(stack, folder, crowd, server)
        memory = [round(many_requests(server, arguments.requests // 5)) for _ in range(5) if arguments.requests]
    result = {
        "benchmark": "load",
        **describe(),
        "users at once": arguments.users,
        "song (s)": arguments.seconds,
        "method": methods[0],
        "served": sum(visit.served for visit in visits),
        "their own song": sum(visit.own for visit in visits),
        "reloads": sum(visit.reloads for visit in visits),
        "interrupted by the server's restart, and gone on": sum(visit.resumed for visit in visits),
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
