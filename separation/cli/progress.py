"""Progress of long commands: bars on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from separation.cli.common import log_line

__all__ = ["Show", "progress"]


class Show(Protocol):
    """A function that shows the progress of a task: `text` next to a bar on a terminal, `line` elsewhere."""

    def __call__(self, task: str, done: int, total: int | None, line: str, text: str = "") -> None: ...


@contextmanager
def progress(*, unit: str = "percent", lines: int = 4, transient: bool = True) -> Iterator[Show]:
    """Yield a function that shows progress on standard error.

    Parameters
    ----------
    unit : "percent", "count" or "bytes"
        What the bars count.
    lines : int
        Number of lines per task if there is no terminal; 0 for one per call. Without a total, one line per 100 MB.
    transient : bool
        Whether finished bars are erased.
    """
    if not sys.stderr.isatty():
        yield _lines(lines)
        return
    from rich import progress as rich
    from rich.console import Console

    count = {"percent": rich.TaskProgressColumn, "count": rich.MofNCompleteColumn, "bytes": rich.DownloadColumn}[unit]
    title, text = (rich.TextColumn(field, markup=False) for field in ("{task.description}", "{task.fields[text]}"))
    columns = [title, rich.BarColumn(), count(), rich.TimeRemainingColumn(), text]
    with rich.Progress(*columns, console=Console(stderr=True), transient=transient) as bar:
        tasks: dict[str, Any] = {}

        def show(task: str, done: int, total: int | None, line: str, text: str = "") -> None:
            if task not in tasks:
                tasks[task] = bar.add_task(task, text="")
            bar.update(tasks[task], completed=done, total=total, text=text)

        yield show


def _lines(count: int) -> Show:
    last: dict[str, int] = {}

    def show(task: str, done: int, total: int | None, line: str, text: str = "") -> None:
        part = done // 100_000_000 if total is None else count * done // max(1, total)
        if not count or last.get(task) != part:
            last[task] = part
            log_line(line)

    return show
