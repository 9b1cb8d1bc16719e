"""A client that speaks HTTP with the studio as the page does, or as an attacker would."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

__all__ = ["Answer", "Visitor", "is_busy", "page"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How an event ended.

    Attributes
    ----------
    output : list
        Of the function, if it succeeded.
    error : str or None
        Message for the visitor, if it failed.
    steps : list
        Intermediate outputs of a function that yields several.
    """

    output: list[Any] = field(default_factory=list)
    error: str | None = None
    steps: list[Any] = field(default_factory=list)


@cache
def functions_of(url: str) -> dict[str, int]:
    """Return the number of each function of a studio, which are in a large document that never changes."""
    config = httpx.get(f"{url}/config", timeout=60).json()
    return {one["api_name"]: one["id"] for one in config["dependencies"]}


class Visitor:
    """A session of its own; not to be shared between threads."""

    def __init__(self, url: str, *, patience: float = 60.0) -> None:
        self.url, self.session = url, secrets.token_hex(6)
        self.http = httpx.Client(base_url=url, timeout=patience)

    def function(self, name: str) -> int:
        """The number of a function that the page, or a program, calls."""
        return functions_of(self.url)[name]

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Upload a file; return the value that stands for it in later calls."""
        answer = self.http.post("/gradio_api/upload", files={"files": (name, content)})
        answer.raise_for_status()
        return file(answer.json()[0], name)

    def ask(
        self,
        name: str | int,
        *data: Any,
        event: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> Answer:
        """Call a function and wait for its outcome; `query` is that of the page's address."""
        steps: list[Any] = []
        joined = self.join(name, *data, event=event, query=query)
        if joined.is_error:
            return Answer(error=joined.text)
        for told in self.events():
            if told["msg"] == "process_generating":
                steps.append(told["output"].get("data"))
            elif told["msg"] == "process_completed":
                if told["success"]:
                    return Answer(output=told["output"]["data"], steps=steps)
                return Answer(error=told["output"].get("error") or "", steps=steps)
        return Answer(error="the connection ended", steps=steps)

    def separate(self, values: list[Any], *, pause: float = 0.05) -> Answer:
        """Press Separate and look until the job has ended; `values` are those of :func:`page`."""
        answer = self.ask("separate_1", *values)
        if answer.error is not None:
            return answer
        views = [answer.output]
        while is_busy(views[-1]):
            time.sleep(pause)
            views.append(self.look())
        return Answer(output=views[-1], steps=views)

    def look(self) -> list[Any]:
        """Return the view that the page polls every second."""
        return self._at_once("watch", None, None, "", "")

    def _at_once(self, name: str, *data: Any) -> list[Any]:
        body = {"data": list(data), "fn_index": self.function(name), "session_hash": self.session}
        answer = self.http.post("/gradio_api/run/predict", json=body)
        answer.raise_for_status()
        output: list[Any] = answer.json()["data"]
        return output

    def join(
        self,
        name: str | int,
        *data: Any,
        event: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Start a call without waiting for its outcome; `event` is what a script of the page says of its cause."""
        number = self.function(name) if isinstance(name, str) else name
        call = {"data": data, "event_data": event, "fn_index": number, "session_hash": self.session}
        body = json.dumps(call)  # NaN allowed, unlike JSON
        headers = {"Content-Type": "application/json"}
        return self.http.post("/gradio_api/queue/join", content=body, params=query, headers=headers)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the session's events until no call is in progress."""
        parameters = {"session_hash": self.session}
        with self.http.stream("GET", "/gradio_api/queue/data", params=parameters) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    event = json.loads(line.removeprefix("data:"))
                    if event["msg"] == "close_stream":
                        return
                    yield event

    def stop(self) -> None:
        """Press Stop."""
        self._at_once("ask_to_stop", None)

    def fetch(self, url: str) -> bytes:
        """Return the content of a file that an answer named."""
        answer = self.http.get(f"/{url.lstrip('/')}")
        answer.raise_for_status()
        return answer.content

    def close(self) -> None:
        self.http.close()


def is_busy(view: list[Any]) -> bool:
    """Return whether the page continues to poll after this view."""
    return bool(view[7].get("active"))


def file(path: str, name: str = "song.wav", **more: Any) -> dict[str, Any]:
    """What stands for a file in a call."""
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}, **more}


def page(upload: Any = None, methods: Any = ("mix",), **other: Any) -> list[Any]:
    """Return the values that the page sends when Separate is pressed, after the visitor; the server keeps the token."""
    fields = {
        "kind": "upload",
        "upload": upload,
        "sample": None,
        "track": None,
        "methods": list(methods) if isinstance(methods, tuple) else methods,
        "start": 0,
        "duration": 0,
        "references": None,
        "estimates": None,
        "yours": "Your separator",
        "karaoke": False,
        "together": False,
        "more_metrics": False,
        "iterations": 1,
        "shifts": 0,
        "open-unmix": "open-unmix-compact",
        "demucs": "demucs-compact",
        "hybrid-demucs": None,
        "htdemucs": None,
        "spleeter": None,
        "roformer": None,
    }
    assert other.keys() <= fields.keys(), other
    return [None, None, *(fields | other).values()]
