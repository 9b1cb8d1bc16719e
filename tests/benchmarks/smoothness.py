"""How smoothly a page plays: frames per second and the longest tasks of its main thread, from Chromium's tracing.

A task's own work is its processor time: on a busy machine a short task lasts long because it waits for a core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from playwright.sync_api import Browser, Page

__all__ = ["LONGEST_TASK", "Smoothness", "play_zoomed"]

LONGEST_TASK = 50.0  # milliseconds; a longer one is felt
SECOND = 1000.0
CATEGORIES = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]
TASK = "RunTask"
INNER = ("FunctionCall", "FireAnimationFrame", "Layout", "UpdateLayoutTree", "Paint", "MajorGC", "MinorGC")

PLAYER = "document.querySelector('stem-player[view=stems]')"

#: Zoom in until so many seconds fill the lanes, and play from the start.
ZOOM_AND_PLAY = f"""async (seconds) => {{
  const {{ session }} = {PLAYER};
  if (session.isActive) await session.toggle();
  await session.seek(0);
  session.showAll();
  session.zoom(session.duration / seconds, 0);
  await session.toggle();
}}"""

#: Count the frames and the turned pages from now on.
COUNT = f"""() => {{
  const {{ session }} = {PLAYER};
  const counts = (window.smoothness = {{ frames: 0, pages: 0, began: performance.now() }});
  session.addEventListener("view", () => counts.pages++);
  const frame = () => {{
    counts.frames++;
    if (window.smoothness === counts) requestAnimationFrame(frame);
  }};
  requestAnimationFrame(frame);
}}"""

COUNTED = """() => {
  const { frames, pages, began } = window.smoothness;
  window.smoothness = null;
  return { frames: (1000 * frames) / (performance.now() - began), pages };
}"""


@dataclass(frozen=True, kw_only=True)
class Smoothness:
    """How one stretch of playing went.

    Attributes
    ----------
    frames_per_second : float
        Of the page's animation.
    pages_turned : int
        How often the view has followed the playhead.
    longest_task, longest_work : float
        Milliseconds of the main thread's longest task, and of processor time in the one that worked the most.
    over : int
        Tasks that worked longer than :data:`LONGEST_TASK`.
    what : str
        What the task that worked the most was doing.
    """

    frames_per_second: float
    pages_turned: int
    longest_task: float
    longest_work: float
    over: int
    what: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded."""
        return {
            name.replace("_", " "): round(value, 1) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def play_zoomed(browser: Browser, page: Page, *, shown: float, seconds: float = 10.0) -> Smoothness:
    """Play so many seconds of the page's result while `shown` seconds of the song fill the view."""
    page.bring_to_front()
    page.evaluate(ZOOM_AND_PLAY, shown)
    page.wait_for_function(f"{PLAYER}.engine.playing && {PLAYER}.seconds > 0.5")
    browser.start_tracing(page=page, categories=CATEGORIES)
    page.evaluate(COUNT)
    page.wait_for_timeout(seconds * SECOND)
    counted = page.evaluate(COUNTED)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    page.evaluate(f"{PLAYER}.session.toggle()")
    tasks = list(_main_tasks(events))
    if not tasks:
        raise RuntimeError("the trace has no tasks of the page")
    most = max(tasks, key=_work)
    return Smoothness(
        frames_per_second=counted["frames"],
        pages_turned=counted["pages"],
        longest_task=max(task["dur"] for task in tasks) / 1000,
        longest_work=_work(most),
        over=sum(_work(task) > LONGEST_TASK for task in tasks),
        what=_what(events, most),
    )


def _work(task: dict[str, Any]) -> float:
    """Milliseconds of processor time."""
    return float(task.get("tdur", task["dur"])) / 1000


def _main_tasks(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The tasks of the main thread that runs the player: the one with the most frames."""
    frames: dict[tuple[int, int], int] = {}
    for event in events:
        if event["name"] == "FireAnimationFrame":
            thread = event["pid"], event["tid"]
            frames[thread] = frames.get(thread, 0) + 1
    if not frames:
        return
    main = max(frames, key=lambda thread: frames[thread])
    for event in events:
        if event["name"].endswith(TASK) and event.get("ph") == "X" and (event["pid"], event["tid"]) == main:
            yield event


def _what(events: list[dict[str, Any]], task: dict[str, Any]) -> str:
    """The longest parts of a task, with the functions' names and lines."""
    begin, end = task["ts"], task["ts"] + task["dur"]
    parts = [
        event
        for event in events
        if event is not task
        and event.get("ph") == "X"
        and (event["pid"], event["tid"]) == (task["pid"], task["tid"])
        and begin <= event["ts"] < end
        and event["name"] in INNER
    ]
    parts.sort(key=lambda part: -_work(part))
    return ", ".join(f"{_name(part)} {_work(part):.0f} ms" for part in parts[:4])


def _name(part: dict[str, Any]) -> str:
    data = part.get("args", {}).get("data", {})
    line = data.get("lineNumber")
    return f"{part['name']} {data.get('functionName', '')}{'' if line is None else f':{line}'}".strip()
