"""A script that runs before Gradio's own scripts.

The ``head`` of a Gradio app is inserted by a script, when the others have begun.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["EarlyScript"]


class EarlyScript:
    """ASGI middleware that puts a script at the beginning of the page.

    Parameters
    ----------
    app : ASGI application
    script : str
        JavaScript.
    """

    def __init__(self, app: ASGIApp, script: str) -> None:
        self.app = app
        self.element = f"<script>{script}</script>".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and scope["path"].rstrip("/") == scope.get("root_path", "").rstrip("/")
        await self.app(scope, receive, _Insertion(self.element, send) if is_page else send)


class _Insertion:
    """Sends a response with an element inserted after ``<head>``; it has one part, and nothing compresses it yet."""

    def __init__(self, element: bytes, send: Send) -> None:
        self.element, self.send = element, send
        self.start: Message = {}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message  # it names the length
            return
        if self.start:
            body: bytes = message.get("body", b"")
            message["body"] = body.replace(b"<head>", b"<head>" + self.element, 1)
            grown = len(message["body"]) - len(body)
            self.start["headers"] = [
                (name, b"%d" % (int(value) + grown) if name == b"content-length" else value)
                for name, value in self.start["headers"]
            ]
            await self.send(self.start)
            self.start = {}
        await self.send(message)
