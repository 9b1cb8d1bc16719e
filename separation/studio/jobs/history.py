"""The history: a visitor's songs of the last hour, with links, and the limits they share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

from separation.studio.i18n import Translator
from separation.studio.jobs.queue import MAX_PER_VISITOR
from separation.studio.jobs.store import JobState

__all__ = ["clock_time", "history", "summary", "time_span"]


def history(jobs: Sequence[tuple[str, JobState]], words: Translator, *, shown: str | None = None, busy: int = 0) -> str:
    """List jobs by token and state, the newest first; `shown` is the one on this page.

    `busy` is the number of the visitor's places in the queue that jobs and downloads take.
    """
    limits = words("limits", songs=MAX_PER_VISITOR)
    head = items = ""
    note = f"<p>{escape(words('places', busy=busy, most=MAX_PER_VISITOR))}</p>" if busy else ""
    if jobs:
        head = f'<h2 id="history-title">{escape(words("history"))}</h2>'
        items = f"<ul>{''.join(_item(token, state, words, token == shown) for token, state in jobs)}</ul>"
    label = ' aria-labelledby="history-title"' if jobs else ""
    return f'<nav class="history"{label}>{head}{note}{items}<p class="limits">{escape(limits)}</p></nav>'


def _item(token: str, state: JobState, words: Translator, shown: bool) -> str:
    current = ' aria-current="true"' if shown else ""
    link = f' href="?result={escape(token)}"' if state.is_worth_a_visit else ""
    minutes = round((time.time() - state.created) / 60)
    when = words("minutes_ago", minutes=minutes) if minutes else words("just_now")
    return (
        f'<li class="{escape(state.state)}"><a{link}{current}>{escape(words.sentence(state.name))}</a>'
        f"<span>{escape(summary(state, words))}</span><span>{escape(when)}</span></li>"
    )


def summary(state: JobState, words: Translator) -> str:
    """Describe a state in a few words."""
    if state.state == "waiting":
        return f"{words('queue')}, {words('ahead', ahead=state.place)}" if state.place else words("queue")
    if state.state == "working":
        return f"{words('at_work')}, {words('percent', percent=words.number(100 * state.share, 0))}"
    if state.state == "failed":
        return words("nothing")
    done = words("kept", done=state.finished, all=state.total)
    return f"{words(state.state)}, {done}"


def time_span(seconds: float, words: Translator) -> str:
    """Return a duration in whole seconds, or in minutes from 90 s on."""
    if seconds < 90:
        return words("seconds_span", seconds=words.number(seconds, 0))
    return words("minutes_span", minutes=words.number(seconds / 60, 0))


def clock_time(seconds: float) -> str:
    """Return a duration as a player shows it: minutes and seconds."""
    return "{}:{:02}".format(*divmod(round(seconds), 60))
