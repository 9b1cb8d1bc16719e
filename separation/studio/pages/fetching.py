"""Downloads that visitors start: they wait their turn in the queue and end when the page is closed."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from html import escape

from separation.studio.components import fragments
from separation.studio.components.icons import icon
from separation.studio.errors import visitor_message
from separation.studio.i18n import Translator
from separation.studio.jobs.queue import QUEUE
from separation.studio.limits import may_manage_models
from separation.weights.download import DownloadCallback

__all__ = ["fetch_in_turn"]

_PAUSE = 0.3  # seconds between two messages
_SILENCE = 3.0  # seconds without news after which the last message is repeated


class _ClosedError(Exception):
    """The page was closed during the download."""


def fetch_in_turn(
    work: Callable[[DownloadCallback], object], visitor: str, words: Translator, *, retry: str
) -> Iterator[str]:
    """Wait in the queue, then call `work` in a thread, yielding its progress as HTML, and at its end nothing.

    Closing the generator ends the thread when its next bytes arrive; the partial download is kept for the next try. If
    the host does not allow downloads, the queue is full, or the download fails, the last HTML holds the reason and a
    button with the attributes `retry`. Downloads count like songs of the `visitor`.
    """
    try:
        if not may_manage_models():
            raise ValueError(words("models_off"))
        with QUEUE.queue(visitor) as turn:
            for ahead in turn.wait():
                yield _progress(f"{words('queue')}: {words('ahead', ahead=ahead)}", None)
            yield from _work(work, words)
        yield ""
    except (ValueError, OSError) as error:
        button = f'<button type="button" {retry}>{icon("retry")}{escape(words("retry"))}</button>'
        problem = f'<p class="problem" role="alert">{escape(visitor_message(error, words))}</p>'
        yield f'<div class="fetch failed">{problem}{button}</div>'


def _work(work: Callable[[DownloadCallback], object], words: Translator) -> Iterator[str]:
    news: queue.Queue[tuple[int, int | None] | None] = queue.Queue()
    failures: list[Exception] = []
    closed = threading.Event()

    def hear(_: str, received: int, total: int | None) -> None:
        if closed.is_set():
            raise _ClosedError
        news.put((received, total))

    def run() -> None:
        try:
            work(hear)
        except _ClosedError:
            pass
        except Exception as error:  # raised again where the visitor is told
            failures.append(error)
        finally:
            news.put(None)

    threading.Thread(target=run, name="download", daemon=True).start()
    try:
        shown = _progress(words("connecting"), 0.0)
        yield shown
        told = 0.0
        while True:
            try:
                step = news.get(timeout=_SILENCE)
            except queue.Empty:
                yield shown  # for Gradio to notice that the page was closed
                continue
            if step is None:
                break
            received, total = step
            if time.monotonic() - told > _PAUSE:
                told = time.monotonic()
                sizes = [words.number(size / 1e6, 1) for size in (received, total) if size is not None]
                shown = _progress(f"{' / '.join(sizes)} MB", received / total if total else None)
                yield shown
    finally:
        closed.set()
    if failures:
        error = failures[0]
        raise error if isinstance(error, (ValueError, OSError)) else ValueError(visitor_message(error, words))


def _progress(text: str, share: float | None) -> str:
    """Show a bar, if the share is known, and a text."""
    return f'<div class="fetch"><span>{escape(text)}</span>{fragments.bar(text, share)}</div>'
